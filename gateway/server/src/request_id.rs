//! The id of a request: the client's own, if it is a decent one, else one that no other request of ours has.

use aws_lc_rs::rand;
use http::HeaderName;
use std::sync::{
    LazyLock,
    atomic::{AtomicU64, Ordering},
};

/// The header that an id comes and goes with.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Tells this process from its replicas and from its former lives: what our ids start with.
static PROCESS: LazyLock<String> = LazyLock::new(|| {
    let mut bytes = [0; 8];
    // Without random bytes the process id has to do: nothing secret hangs on it.
    let process = rand::fill(&mut bytes).map_or_else(|_| std::process::id().into(), |()| u64::from_ne_bytes(bytes));
    format!("{process:016x}-")
});

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Draws what [`PROCESS`] is made of: the first random number of a process takes a tenth of a second, which no request
/// should wait for.
pub fn prepare() {
    LazyLock::force(&PROCESS);
}

/// Gives the id of a request that came with this `X-Request-Id`.
pub fn of(given: Option<&[u8]>) -> String {
    match given.and_then(|g| std::str::from_utf8(g).ok()).filter(|g| is_decent(g)) {
        Some(given) => given.to_owned(),
        None => numbered(NEXT.fetch_add(1, Ordering::Relaxed)),
    }
}

/// The number in hexadecimal after [`PROCESS`]. Written by hand: `format!` takes ten times as long, for each request.
fn numbered(number: u64) -> String {
    let digits = (64 - number.leading_zeros()).div_ceil(4).max(1);
    let mut id = String::with_capacity(PROCESS.len() + digits as usize);
    id.push_str(&PROCESS);
    for digit in (0..digits).rev() {
        id.push(char::from(b"0123456789abcdef"[(number >> (4 * digit)) as usize & 15]));
    }
    id
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

    #[test]
    fn our_own_ids_end_with_their_number() {
        for number in [0, 1, 15, 16, 0xabc, 1 << 32, u64::MAX] {
            assert_eq!(numbered(number), format!("{}{number:x}", *PROCESS));
            assert!(is_decent(&numbered(number)));
        }
    }
}
