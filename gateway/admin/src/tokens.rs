//! Admins' tokens: made, listed and revoked by command, checked at each request.
//!
//! A token is `mla_<id>_<secret>`: the id (48 random bits) finds its row, of the secret (256 random bits) only the SHA-256
//! is stored. So the database compares nothing that is secret, and the comparison here takes the same time whatever was
//! sent.

use super::caller::{Caller, Role};
use aws_lc_rs::{constant_time, digest, rand};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use menlou_call::Token;
use menlou_clock::unix_millis_i64;
use menlou_error::text::Text;
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_policy::network;
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

/// What every token starts with, so that scanners of code and logs know one.
const PREFIX: &str = "mla_";
/// The longest label, in characters.
const LABEL: usize = 64;
/// When a token was used last is told to this precision, milliseconds: it costs a write.
const USED: i64 = 10 * 60 * 1000;
/// So many bad tokens may come from one address within [`WINDOW`] of its first.
const ATTEMPTS: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Of so many addresses attempts are counted; more push others out.
const ADDRESSES: u64 = 10_000;

/// Bad tokens by address.
pub struct FailedAttempts(Cache<IpAddr, Arc<AddressAttempts>>);

/// Those of one address.
#[derive(Default)]
struct AddressAttempts {
    bad: AtomicU32,
    turns: Mutex<()>,
}

/// Makes a token; the secret is in the answer only.
///
/// # Errors
/// A label that is too long or unprintable; a store that is away.
pub async fn create(
    admins: &dyn AdminStore,
    by: &str,
    role: &Role,
    label: &str,
    life: Option<Duration>,
) -> Result<(AdminToken, SecretString), Text> {
    if label.chars().count() > LABEL || label.chars().any(char::is_control) {
        return Err(Text::new(
            format!("标签最多 {LABEL} 个字符，不含控制字符"),
            format!("a label has at most {LABEL} characters, and no control characters"),
        ));
    }
    let (mut id, mut secret) = ([0; 6], [0; 32]);
    let random = rand::fill(&mut id).and_then(|()| rand::fill(&mut secret));
    random.map_err(|_| Text::fixed("系统没有给出随机数", "the system gave no random numbers"))?;
    let (id, secret) = (hex::encode(id), URL_SAFE_NO_PAD.encode(secret));
    let created_at = unix_millis_i64();
    let life = life.map(|life| i64::try_from(life.as_millis()).unwrap_or(i64::MAX));
    let token = AdminToken {
        hash: hash(&secret),
        role: role.to_string(),
        label: label.to_owned(),
        created_at,
        expires_at: life.map(|life| created_at.saturating_add(life)),
        used_at: None,
        id,
    };
    let after = format!("{} {label}", token.role);
    let deed = deed(by, "token.new", &token.id, None, Some(after.trim().to_owned()));
    admins.append_audit_entry(&deed).await.map_err(unavailable)?;
    admins.add_token(&token).await.map_err(unavailable)?;
    let whole = SecretString::from(format!("{PREFIX}{}_{secret}", token.id));
    Ok((token, whole))
}

/// Takes a token away; false where there is none of this id.
///
/// # Errors
/// A store that is away.
pub async fn revoke(admins: &dyn AdminStore, by: &str, id: &str) -> Result<bool, Text> {
    let Some(token) = admins.token(id).await.map_err(unavailable)? else { return Ok(false) };
    let before = format!("{} {}", token.role, token.label);
    let deed = deed(by, "token.revoke", id, Some(before.trim().to_owned()), None);
    admins.append_audit_entry(&deed).await.map_err(unavailable)?;
    admins.revoke(id).await.map_err(unavailable)
}

/// Tells who sent this token. A good one passes whatever else came from its address, or anyone could lock out whoever is
/// behind the same proxy. That gives nothing to who guesses: no number of guesses finds 256 random bits.
///
/// # Errors
/// `admin_token_required`, `admin_token_invalid`, `too_many_attempts`, `store_unavailable`.
pub async fn authenticate(
    admins: &dyn AdminStore,
    attempts: &FailedAttempts,
    token: Option<&Token>,
    from: IpAddr,
) -> Result<Caller> {
    let token = token.ok_or_else(|| Error::new(&admin_codes::ADMIN_TOKEN_REQUIRED))?;
    let tried = attempts.of(from);
    let _turn = tried.turn().await;
    match find(admins, token.expose()).await? {
        Some(found) => known(admins, found).await,
        None => Err(tried.refused()),
    }
}

async fn known(admins: &dyn AdminStore, found: AdminToken) -> Result<Caller> {
    let now = unix_millis_i64();
    if found.used_at.is_none_or(|used| used <= now - USED) {
        // What was not remembered now is at the next use.
        let _ = admins.record_token_use(&found.id, now - now % USED).await;
    }
    let role = Role::parse(&found.role).map_err(|_| Error::new(&admin_codes::ADMIN_TOKEN_INVALID))?;
    Ok(Caller { id: found.id, label: found.label, role })
}

/// Who a token's bearer is, told by its id: for whoever showed the token before. What it was revoked of or has run out of
/// holds at once.
///
/// # Errors
/// `admin_token_invalid`, `store_unavailable`.
pub async fn find_caller(admins: &dyn AdminStore, id: &str) -> Result<Caller> {
    let found = admins.token(id).await?.filter(is_current);
    known(admins, found.ok_or_else(|| Error::new(&admin_codes::ADMIN_TOKEN_INVALID))?).await
}

/// The token, where it is a good one.
async fn find(admins: &dyn AdminStore, written: &str) -> Result<Option<AdminToken>> {
    let parts = written.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_'));
    let Some((id, secret)) = parts.filter(|(id, secret)| id.len() == 12 && secret.len() <= 64) else {
        return Ok(None);
    };
    let found = admins.token(id).await?;
    // Compared with something also where there is none.
    let stored = found.as_ref().map_or([0; 32], |token| token.hash);
    let fits = constant_time::verify_slices_are_equal(&stored, &hash(secret)).is_ok();
    Ok(found.filter(|token| fits && is_current(token)))
}

fn is_current(token: &AdminToken) -> bool {
    token.expires_at.is_none_or(|end| unix_millis_i64() < end)
}

impl FailedAttempts {
    /// Nobody has tried yet.
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(ADDRESSES).time_to_live(WINDOW).build())
    }

    fn of(&self, from: IpAddr) -> Arc<AddressAttempts> {
        self.0.get_with(network(from), Arc::default)
    }
}

impl AddressAttempts {
    /// Waits until a token may be looked at. Of those who have shown too many bad ones that is one at a time: however many
    /// they send, the store has little to look up.
    async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        if self.bad.load(Relaxed) < ATTEMPTS { None } else { Some(self.turns.lock().await) }
    }

    /// A bad token was shown.
    fn refused(&self) -> Error {
        if self.bad.fetch_add(1, Relaxed) < ATTEMPTS {
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

fn deed(by: &str, what: &str, id: &str, before: Option<String>, after: Option<String>) -> NewAuditEntry {
    NewAuditEntry {
        who: by.to_owned(),
        role: "command".to_owned(),
        what: what.to_owned(),
        tenant: None,
        target: Some(id.to_owned()),
        before,
        after,
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
    fn one_address_has_so_many_attempts_and_another_its_own() {
        let attempts = FailedAttempts::new();
        let of = |text: &str| attempts.of(text.parse().unwrap());
        let word = |from: &str| of(from).refused().code().to_owned();
        for n in 0..ATTEMPTS {
            assert_eq!(word(&format!("2001:db8::{n:x}")), "admin_token_invalid");
        }
        assert_eq!(word("2001:db8::ffff"), "too_many_attempts", "the same network");
        for other in ["2001:db8:0:1::1", "192.0.2.1", "::ffff:192.0.2.1"] {
            assert_eq!(word(other), "admin_token_invalid", "{other}");
        }
        assert_eq!(of("192.0.2.1").bad.load(Relaxed), 2, "one address, however it is written");
    }
}
