//! The names of our keys in Redis, made and read.

use super::TokenHash;
use std::fmt::Write;

/// Makes keys with one prefix.
pub(super) struct Keys {
    prefix: String,
}

impl Keys {
    pub fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    /// The key of a session.
    pub fn session(&self, tenant: &str, token: &TokenHash) -> String {
        let mut key = self.start(tenant, "s", 2 * token.0.len());
        for byte in token.0 {
            // Writing to a String can't fail.
            let _ = write!(key, "{byte:02x}");
        }
        key
    }

    /// The key of a shared value.
    pub fn shared(&self, tenant: &str, name: &str) -> String {
        let mut key = self.start(tenant, "x", name.len());
        key.push_str(name);
        key
    }

    /// The key of a limit, as it holds for one caller or for all together.
    pub fn limit(&self, tenant: &str, limit: &str, who: Option<&str>) -> String {
        let mut key = self.start(tenant, "l", limit.len() + who.map_or(0, |who| who.len() + 1));
        key.push_str(limit);
        if let Some(who) = who {
            key.push(':');
            key.push_str(who);
        }
        key
    }

    /// Whose session this key is, where it is one's.
    pub fn read_session<'a>(&self, key: &'a [u8]) -> Option<(&'a str, TokenHash)> {
        let key = std::str::from_utf8(key).ok()?;
        let (start, hex) = key.rsplit_once("}:s:")?;
        let tenant = start.strip_prefix(&*self.prefix)?.strip_prefix(":{")?;
        let mut token = TokenHash([0; 32]);
        if hex.len() != 2 * token.0.len() || !hex.is_ascii() {
            return None;
        }
        for (at, byte) in token.0.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).ok()?;
        }
        Some((tenant, token))
    }

    fn start(&self, tenant: &str, kind: &str, rest: usize) -> String {
        let mut key = String::with_capacity(self.prefix.len() + tenant.len() + kind.len() + rest + 5);
        for part in [&self.prefix, ":{", tenant, "}:", kind, ":"] {
            key.push_str(part);
        }
        key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_s_key_is_read_as_it_was_made() {
        let keys = Keys::new("menlou");
        let token = TokenHash(std::array::from_fn(|at| at as u8 * 7));
        for tenant in ["manulife", "{}", "a}:s:b", ""] {
            let key = keys.session(tenant, &token);
            assert!(keys.read_session(key.as_bytes()).is_some_and(|read| read == (tenant, token)), "{key}");
        }
        assert!(keys.session("a", &token).starts_with("menlou:{a}:s:00070e15"));
    }

    #[test]
    fn other_keys_are_no_session_s() {
        let keys = Keys::new("menlou");
        let other = Keys::new("other").session("a", &TokenHash([1; 32]));
        let shared = keys.shared("a", "s:00");
        for key in [other.as_bytes(), shared.as_bytes(), b"menlou:{a}:s:", b"menlou:{a}:s:zz", b"\xff", b""] {
            assert!(keys.read_session(key).is_none());
        }
    }
}
