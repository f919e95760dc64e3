//! The names of the gateway's keys in Redis.

use crate::session::TokenHash;
use aws_lc_rs::digest;

/// Makes and parses keys with one prefix.
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

    /// The key of a session, by the hex digits of its token's hash.
    pub fn session_named(&self, tenant: &str, token: &str) -> String {
        let mut key = self.start(tenant, "s", token.len());
        key.push_str(token);
        key
    }

    /// The key of the list of a tenant's sessions.
    pub fn sessions_of_tenant(&self, tenant: &str) -> String {
        self.start(tenant, "l", 0)
    }

    /// The key of the list of one identity's sessions. The openid is hashed, since the platform chooses its characters.
    pub fn sessions_of_identity(&self, tenant: &str, platform: &str, openid: &str) -> String {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in [platform, "\0", openid] {
            hash.update(part.as_bytes());
        }
        let identity = hex::encode(hash.finish());
        let mut key = self.start(tenant, "p", identity.len());
        key.push_str(&identity);
        key
    }

    /// The key of an ephemeral value.
    pub fn ephemeral(&self, tenant: &str, name: &str) -> String {
        let mut key = self.start(tenant, "x", name.len());
        key.push_str(name);
        key
    }

    /// The key of a rate limit for one subject, or for all requests together.
    pub fn rate_limit(&self, tenant: &str, limit: &str, subject: Option<&str>) -> String {
        let mut key = self.start(tenant, "r", limit.len() + subject.map_or(0, |subject| subject.len() + 1));
        key.push_str(limit);
        if let Some(subject) = subject {
            key.push(':');
            key.push_str(subject);
        }
        key
    }

    /// Tenant and token of a session's key; `None` for other keys.
    pub fn parse_session<'a>(&self, key: &'a [u8]) -> Option<(&'a str, TokenHash)> {
        let key = std::str::from_utf8(key).ok()?;
        let (start, digits) = key.rsplit_once("}:s:")?;
        let tenant = start.strip_prefix(&*self.prefix)?.strip_prefix(":{")?;
        Some((tenant, TokenHash::from_hex(digits)?))
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
    fn session_key_is_parsed_as_it_was_made() {
        let keys = Keys::new("menlou");
        let token = TokenHash(std::array::from_fn(|at| at as u8 * 7));
        for tenant in ["manulife", "{}", "a}:s:b", ""] {
            let key = keys.session(tenant, &token);
            assert!(keys.parse_session(key.as_bytes()).is_some_and(|parsed| parsed == (tenant, token)), "{key}");
        }
        assert!(keys.session("a", &token).starts_with("menlou:{a}:s:00070e15"));
    }

    #[test]
    fn other_keys_are_not_parsed_as_session_keys() {
        let keys = Keys::new("menlou");
        let other = Keys::new("other").session("a", &TokenHash([1; 32]));
        let (ephemeral, of_tenant, of_identity) =
            (keys.ephemeral("a", "s:00"), keys.sessions_of_tenant("a"), keys.sessions_of_identity("a", "w", "o"));
        for key in [
            other.as_bytes(),
            ephemeral.as_bytes(),
            of_tenant.as_bytes(),
            of_identity.as_bytes(),
            b"menlou:{a}:s:",
            b"menlou:{a}:s:zz",
            b"\xff",
            b"",
        ] {
            assert!(keys.parse_session(key).is_none());
        }
    }
}
