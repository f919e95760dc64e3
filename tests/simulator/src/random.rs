//! Identifiers in the formats of the platform: random ones, and ones derived from a name.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

const ALPHANUMERIC: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// `N` random bytes. If the system source fails, they come from a digest of the time: these values
/// only need to differ and protect nothing.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    if rand::fill(&mut out).is_err() {
        let now = format!("{:?}", std::time::Instant::now());
        let seed = digest(&SHA256, now.as_bytes());
        for (byte, random) in out.iter_mut().zip(seed.as_ref().iter().cycle()) {
            *byte = *random;
        }
    }
    out
}

/// A login code: 32 letters and digits, the first of which is `0`.
pub(crate) fn login_code() -> String {
    let random = bytes::<31>();
    let tail = random.iter().map(|byte| char::from(ALPHANUMERIC[usize::from(*byte) % ALPHANUMERIC.len()]));
    std::iter::once('0').chain(tail).collect()
}

/// A phone code: 64 hex digits.
pub(crate) fn phone_code() -> String {
    hex(&bytes::<32>())
}

/// A session_key: 16 random bytes in standard base64, 24 characters.
pub(crate) fn session_key() -> String {
    STANDARD.encode(bytes::<16>())
}

/// An access_token of 512 characters, the length that the platform documents as the maximum.
pub(crate) fn access_token() -> String {
    format!("86_{}", &URL_SAFE_NO_PAD.encode(bytes::<384>())[..509])
}

/// The request id at the end of an errmsg: three groups of 8 hex digits, the first of which is the time.
pub(crate) fn rid(unix_seconds: u64) -> String {
    let random = hex(&bytes::<8>());
    format!("{:08x}-{}-{}", unix_seconds & 0xffff_ffff, &random[..8], &random[8..])
}

/// The openid of a user in an app: `o`, five characters that all users of the app share, and 22 that
/// differ by user.
pub(crate) fn openid(appid: &str, person: &str) -> String {
    derived_id("openid", appid, person)
}

/// The unionid of a user in an open-platform account, in the format of an openid.
pub(crate) fn unionid(account: &str, person: &str) -> String {
    derived_id("unionid", account, person)
}

fn derived_id(kind: &str, realm: &str, person: &str) -> String {
    // The length distinguishes ("ab", "c") from ("a", "bc").
    let realm = format!("{kind} {} {realm}", realm.len());
    let shared = digest(&SHA256, realm.as_bytes());
    let own = digest(&SHA256, format!("{realm} {person}").as_bytes());
    let shared = URL_SAFE_NO_PAD.encode(shared);
    let own = URL_SAFE_NO_PAD.encode(own);
    format!("o{}{}", &shared[..5], &own[..22])
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_openid_has_28_characters_starts_with_o_and_is_stable() {
        let openid_of_alice = openid("wx4f4bc4dec97d474b", "alice");
        assert_eq!(openid_of_alice.len(), 28);
        assert!(openid_of_alice.starts_with('o'));
        assert_eq!(openid_of_alice, openid("wx4f4bc4dec97d474b", "alice"));
    }

    #[test]
    fn openids_of_one_app_share_a_prefix_and_differ_between_users_and_apps() {
        let (alice, bob) = (openid("wx1", "alice"), openid("wx1", "bob"));
        assert_eq!(alice[..6], bob[..6]);
        assert_ne!(alice, bob);
        assert_ne!(alice, openid("wx2", "alice"));
    }

    #[test]
    fn an_access_token_has_512_characters() {
        assert_eq!(access_token().len(), 512);
    }

    #[test]
    fn a_rid_begins_with_the_time_in_hex() {
        let rid = rid(0x63e6_0657);
        assert!(rid.starts_with("63e60657-"));
        assert_eq!(rid.len(), 26);
    }
}
