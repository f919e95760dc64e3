//! The id of a request: the client's own, if it is a decent one, else one that no other request of ours has.

use aws_lc_rs::rand;
use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

/// Tells this process from its replicas and from its former lives.
static PROCESS: LazyLock<u64> = LazyLock::new(|| {
    let mut bytes = [0; 8];
    // Without random bytes the process id has to do: nothing secret hangs on it.
    rand::fill(&mut bytes).map_or_else(|_| std::process::id().into(), |()| u64::from_ne_bytes(bytes))
});

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Gives the id of a request that came with this `X-Request-Id`.
pub fn of(given: Option<&[u8]>) -> String {
    match given.and_then(|g| std::str::from_utf8(g).ok()).filter(|g| is_decent(g)) {
        Some(given) => given.to_owned(),
        None => format!("{:016x}-{:x}", *PROCESS, NEXT.fetch_add(1, Ordering::Relaxed)),
    }
}

fn is_decent(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decent_id_is_kept_and_any_other_replaced() {
        assert_eq!(of(Some(b"abc-1.2_3")), "abc-1.2_3");
        for bad in [&b""[..], b"a b", b"a\nb", "请求".as_bytes(), &[0xff], &[b'a'; 65]] {
            assert_ne!(of(Some(bad)).as_bytes(), bad);
        }
        assert_ne!(of(None), of(None));
    }
}
