//! SHA-256 in hex: the form in which codes and credentials become keys of the shared store.

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};

/// The SHA-256 of the parts, each followed by a NUL so that no two lists of parts run together, in lower-case hex.
pub fn sha256_hex(parts: &[&str]) -> String {
    hex::encode(sha256(parts))
}

/// The same as bytes.
pub fn sha256(parts: &[&str]) -> [u8; SHA256_OUTPUT_LEN] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(part.as_bytes());
        context.update(b"\0");
    }
    let mut bytes = [0; SHA256_OUTPUT_LEN];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        // The reference value is that of coreutils: printf 'abc\0' | sha256sum.
        assert_eq!(sha256_hex(&["abc"]), "dc1114cd074914bd872cc1f9a23ec910ea2203bc79779ab2e17da25782a624fc");
        assert_ne!(sha256_hex(&["ab", "c"]), sha256_hex(&["a", "bc"]));
    }
}
