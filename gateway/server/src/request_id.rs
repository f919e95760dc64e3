//! Request ids: the client's own if it is valid, else one that is unique among all gateways.

use aws_lc_rs::rand;
use http::HeaderName;
use std::sync::{
    Arc, LazyLock,
    atomic::{AtomicU64, Ordering},
};

/// The header of request ids, in requests and responses.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Prefix of the ids that this process makes: 16 random hexadecimal digits, different in every process.
static PROCESS: LazyLock<String> = LazyLock::new(|| {
    let mut bytes = [0; 8];
    // Ids are not secret: without random bytes the process id is used.
    let process = rand::fill(&mut bytes).map_or_else(|_| std::process::id().into(), |()| u64::from_ne_bytes(bytes));
    format!("{process:016x}-")
});

/// Length of [`PROCESS`], and of the largest number.
const LONGEST: usize = 17 + 16;

static NEXT: AtomicU64 = AtomicU64::new(1);

/// Makes [`PROCESS`] in advance. This may take a tenth of a second.
pub fn prepare() {
    LazyLock::force(&PROCESS);
}

/// The id of a request with this `X-Request-Id`.
pub fn for_request(header: Option<&[u8]>) -> Arc<str> {
    match header.and_then(|h| std::str::from_utf8(h).ok()).filter(|h| is_valid(h)) {
        Some(id) => id.into(),
        None => numbered(NEXT.fetch_add(1, Ordering::Relaxed)),
    }
}

/// [`PROCESS`] and the number in hexadecimal. Written by hand: `format!` takes ten times as long, for each request.
fn numbered(number: u64) -> Arc<str> {
    let mut id = [0; LONGEST];
    let prefix = PROCESS.as_bytes();
    let digits = (64 - number.leading_zeros()).div_ceil(4).max(1) as usize;
    let (start, rest) = id.split_at_mut(prefix.len());
    start.copy_from_slice(prefix);
    for (at, byte) in rest.iter_mut().take(digits).enumerate() {
        *byte = b"0123456789abcdef"[(number >> (4 * (digits - 1 - at))) as usize & 15];
    }
    // Hexadecimal digits and a hyphen.
    std::str::from_utf8(id.get(..prefix.len() + digits).unwrap_or_default()).unwrap_or_default().into()
}

fn is_valid(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_id_is_kept_and_any_other_replaced() {
        assert_eq!(&*for_request(Some(b"abc-1.2_3")), "abc-1.2_3");
        for bad in [&b""[..], b"a b", b"a\nb", "请求".as_bytes(), &[0xff], &[b'a'; 65]] {
            assert_ne!(for_request(Some(bad)).as_bytes(), bad);
        }
        assert_ne!(for_request(None), for_request(None));
    }

    #[test]
    fn made_ids_end_with_their_number() {
        for number in [0, 1, 15, 16, 0xabc, 1 << 32, u64::MAX] {
            assert_eq!(*numbered(number), format!("{}{number:x}", *PROCESS));
            assert!(is_valid(&numbered(number)));
        }
    }
}
