//! Admin tokens: created and revoked by the command line, checked at each request.
//!
//! A token is `mla_<id>_<secret>`. The id (48 random bits) finds the row in the store; of the secret (256 random bits) only
//! the SHA-256 is stored. The database therefore compares nothing secret, and the comparison here takes constant time.

use super::caller::{Caller, Role};
use aws_lc_rs::{constant_time, digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use menlou_call::Token;
use menlou_clock::unix_millis_i64;
use menlou_error::text::Text;
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_policy::client_network;
use menlou_store::{AdminStore, AdminToken, NewAuditEntry};
use moka::sync::Cache;
use secrecy::SecretString;
use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::{Mutex, MutexGuard};

/// The prefix of every token, by which secret scanners recognise one.
const PREFIX: &str = "mla_";
/// Maximum length of a label, in characters.
const MAX_LABEL: usize = 64;
/// Precision of the time of last use, in milliseconds. Recording it costs a write.
const USE_PRECISION: i64 = 10 * 60 * 1000;
/// Invalid tokens from one address within [`WINDOW`] before further ones are rejected with `too_many_attempts`.
const MAX_ATTEMPTS: u32 = 20;
/// The period of [`MAX_ATTEMPTS`], starting with the first invalid token.
const WINDOW: Duration = Duration::from_secs(60);
/// Maximum number of addresses that are tracked. More evict others.
const MAX_ADDRESSES: u64 = 10_000;

/// Counts invalid tokens by client address.
pub struct FailedAttempts(Cache<IpAddr, Arc<AddressAttempts>>);

/// The invalid tokens of one address.
#[derive(Default)]
struct AddressAttempts {
    invalid: AtomicU32,
    /// Held while a token is looked up, once the address has exceeded [`MAX_ATTEMPTS`].
    lookup: Mutex<()>,
}

/// Creates a token. Only the return value contains the secret. `created_by` is written to the audit log. Without
/// `lifetime` the token never expires.
///
/// # Errors
/// The label is too long or contains control characters; the store is unavailable.
pub async fn create(
    admins: &dyn AdminStore,
    created_by: &str,
    role: &Role,
    label: &str,
    lifetime: Option<Duration>,
) -> Result<(AdminToken, SecretString), Text> {
    if label.chars().count() > MAX_LABEL || label.chars().any(char::is_control) {
        return Err(Text::new(
            format!("标签最多 {MAX_LABEL} 个字符，不含控制字符"),
            format!("a label must have at most {MAX_LABEL} characters and no control characters"),
        ));
    }
    let (mut id, mut secret) = ([0; 6], [0; 32]);
    let random = rand::fill(&mut id).and_then(|()| rand::fill(&mut secret));
    random.map_err(|_| Text::fixed("无法从系统获取随机数", "the operating system returned no random numbers"))?;
    let (id, secret) = (hex::encode(id), URL_SAFE_NO_PAD.encode(secret));
    let created_at = unix_millis_i64();
    let lifetime = lifetime.map(|lifetime| i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX));
    let token = AdminToken {
        hash: hash(&secret),
        role: role.to_string(),
        label: label.to_owned(),
        created_at,
        expires_at: lifetime.map(|lifetime| created_at.saturating_add(lifetime)),
        used_at: None,
        id,
    };
    let after = format!("{} {label}", token.role);
    let entry = audit_entry(created_by, "token.new", &token.id, None, Some(after.trim().to_owned()));
    admins.append_audit_entry(&entry).await.map_err(unavailable)?;
    admins.add_token(&token).await.map_err(unavailable)?;
    let complete = SecretString::from(format!("{PREFIX}{}_{secret}", token.id));
    Ok((token, complete))
}

/// Revokes a token. Returns false if there is no token with this id.
///
/// # Errors
/// The store is unavailable.
pub async fn revoke(admins: &dyn AdminStore, revoked_by: &str, id: &str) -> Result<bool, Text> {
    let Some(token) = admins.token(id).await.map_err(unavailable)? else { return Ok(false) };
    let before = format!("{} {}", token.role, token.label);
    let entry = audit_entry(revoked_by, "token.revoke", id, Some(before.trim().to_owned()), None);
    admins.append_audit_entry(&entry).await.map_err(unavailable)?;
    admins.revoke(id).await.map_err(unavailable)
}

/// Checks a token. A valid token is accepted even if its address has sent many invalid ones; otherwise one client could
/// lock out all others behind the same proxy. This does not help guessing: 256 random bits cannot be guessed.
///
/// # Errors
/// `admin_token_required`, `admin_token_invalid`, `too_many_attempts`, `store_unavailable`.
pub async fn authenticate(
    admins: &dyn AdminStore,
    attempts: &FailedAttempts,
    token: Option<&Token>,
    remote: IpAddr,
) -> Result<Caller> {
    let token = token.ok_or_else(|| Error::new(&admin_codes::ADMIN_TOKEN_REQUIRED))?;
    let attempts = attempts.for_address(remote);
    let _guard = attempts.wait_for_lookup().await;
    match find_valid(admins, token.expose()).await? {
        Some(found) => into_caller(admins, found).await,
        None => Err(attempts.record_invalid()),
    }
}

/// The owner of the token with this id, for a console session that was opened with the token. A token that has been
/// revoked or has expired is invalid immediately.
///
/// # Errors
/// `admin_token_invalid`, `store_unavailable`.
pub async fn find_caller(admins: &dyn AdminStore, id: &str) -> Result<Caller> {
    let found = admins.token(id).await?.filter(is_current);
    into_caller(admins, found.ok_or_else(|| Error::new(&admin_codes::ADMIN_TOKEN_INVALID))?).await
}

async fn into_caller(admins: &dyn AdminStore, found: AdminToken) -> Result<Caller> {
    let now = unix_millis_i64();
    if found.used_at.is_none_or(|used| used <= now - USE_PRECISION) {
        // If this fails, the next use records it.
        let _ = admins.record_token_use(&found.id, now - now % USE_PRECISION).await;
    }
    let role = Role::parse(&found.role).map_err(|_| Error::new(&admin_codes::ADMIN_TOKEN_INVALID))?;
    Ok(Caller { id: found.id, label: found.label, role })
}

/// The stored token, if `written` is a valid token.
async fn find_valid(admins: &dyn AdminStore, written: &str) -> Result<Option<AdminToken>> {
    let parts = written.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
    let Some((id, secret)) = parts.filter(|(id, secret)| id.len() == 12 && secret.len() <= 64) else {
        return Ok(None);
    };
    let found = admins.token(id).await?;
    // The hashes are compared even if there is no such token, so that the duration does not reveal it.
    let stored = found.as_ref().map_or([0; 32], |token| token.hash);
    let is_equal = constant_time::verify_slices_are_equal(&stored, &hash(secret)).is_ok();
    Ok(found.filter(|token| is_equal && is_current(token)))
}

fn is_current(token: &AdminToken) -> bool {
    token.expires_at.is_none_or(|end| unix_millis_i64() < end)
}

impl FailedAttempts {
    /// Without any attempts.
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(MAX_ADDRESSES).time_to_live(WINDOW).build())
    }

    fn for_address(&self, remote: IpAddr) -> Arc<AddressAttempts> {
        self.0.get_with(client_network(remote), Arc::default)
    }
}

impl AddressAttempts {
    /// Waits until a token of this address may be looked up. Once the address has exceeded [`MAX_ATTEMPTS`], its tokens
    /// are looked up one at a time, which bounds the load on the store.
    async fn wait_for_lookup(&self) -> Option<MutexGuard<'_, ()>> {
        if self.invalid.load(Relaxed) < MAX_ATTEMPTS { None } else { Some(self.lookup.lock().await) }
    }

    /// Counts an invalid token and returns the error of the response.
    fn record_invalid(&self) -> Error {
        if self.invalid.fetch_add(1, Relaxed) < MAX_ATTEMPTS {
            Error::new(&admin_codes::ADMIN_TOKEN_INVALID)
        } else {
            Error::new(&codes::TOO_MANY_ATTEMPTS).retry_after(WINDOW)
        }
    }
}

impl Default for FailedAttempts {
    fn default() -> Self {
        Self::new()
    }
}

fn hash(secret: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, secret.as_bytes()).as_ref());
    hash
}

fn audit_entry(who: &str, what: &str, id: &str, before: Option<String>, after: Option<String>) -> NewAuditEntry {
    NewAuditEntry {
        who: who.to_owned(),
        role: "command".to_owned(),
        what: what.to_owned(),
        tenant: None,
        target: Some(id.to_owned()),
        before,
        after,
        diff: None,
        failed: None,
    }
}

fn unavailable(e: menlou_store::Error) -> Text {
    Text::new(format!("存储不可用：{e}"), e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invalid_tokens_are_counted_per_network() {
        let attempts = FailedAttempts::new();
        let address = |text: &str| attempts.for_address(text.parse().unwrap());
        let code = |remote: &str| address(remote).record_invalid().code().to_owned();
        for n in 0..MAX_ATTEMPTS {
            assert_eq!(code(&format!("2001:db8::{n:x}")), "admin_token_invalid");
        }
        assert_eq!(code("2001:db8::ffff"), "too_many_attempts", "the same /64");
        for other in ["2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1"] {
            assert_eq!(code(other), "admin_token_invalid", "{other}");
        }
        assert_eq!(address("192.0.2.1").invalid.load(Relaxed), 2, "an IPv4-mapped address is the IPv4 address");
    }
}
