//! The names of our keys in Redis, made and read.

use super::TokenHash;
use aws_lc_rs::digest;

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
        self.session_named(tenant, &token.hex())
    }

    /// The key of a session whose token's hash is written as hex digits.
    pub fn session_named(&self, tenant: &str, token: &str) -> String {
        let mut key = self.start(tenant, "s", token.len());
        key.push_str(token);
        key
    }

    /// The key of the list of a tenant's sessions.
    pub fn sessions_of(&self, tenant: &str) -> String {
        self.start(tenant, "l", 0)
    }

    /// The key of the list of one person's sessions. Platforms choose openids: hashed, one is a name like any other.
    pub fn sessions_of_person(&self, tenant: &str, platform: &str, openid: &str) -> String {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in [platform, "\0", openid] {
            hash.update(part.as_bytes());
        }
        let mut person = TokenHash([0; 32]);
        person.0.copy_from_slice(hash.finish().as_ref());
        let hex = person.hex();
        let mut key = self.start(tenant, "p", hex.len());
        key.push_str(&hex);
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
        let mut key = self.start(tenant, "r", limit.len() + who.map_or(0, |who| who.len() + 1));
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
        Some((tenant, TokenHash::from_hex(hex)?))
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
        let (shared, list, person) =
            (keys.shared("a", "s:00"), keys.sessions_of("a"), keys.sessions_of_person("a", "w", "o"));
        for key in [
            other.as_bytes(),
            shared.as_bytes(),
            list.as_bytes(),
            person.as_bytes(),
            b"menlou:{a}:s:",
            b"menlou:{a}:s:zz",
            b"\xff",
            b"",
        ] {
            assert!(keys.read_session(key).is_none());
        }
    }
}
