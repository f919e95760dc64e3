//! Limits of attempts to log in with credentials, per account, per openid and per client address. They fail closed.
//!
//! A client that logged in to the account before, recognised by its openid or its address, has a budget of its own for this
//! account. Wrong passwords of strangers therefore do not lock the owner out.

use super::exhausted_counters::ExhaustedCounters;
use super::known_clients::{ClientKind, Fingerprint, KnownClients};
use crate::client_network;
use aws_lc_rs::digest;
use menlou_error::{Error, Result, codes};
use menlou_store::EphemeralKv;
use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

/// How many attempts are allowed.
#[derive(Clone, Copy, Debug)]
pub struct AttemptLimits {
    /// Attempts per account of a tenant within the window: by strangers together, and by each known client.
    pub per_account: u64,
    /// Attempts per openid within the window, for all accounts together.
    pub per_openid: u64,
    /// Attempts per client address within the window, for all accounts together.
    pub per_address: u64,
    /// Length of the window; it starts with the first attempt.
    pub window: Duration,
}

/// Who checks the credentials. Accounts of the same name are different accounts, and are counted separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialKind {
    /// The gateway, by a password of its own accounts.
    Password,
    /// An action, for example with the tenant's login service.
    Action,
}

/// One attempt to log in.
#[derive(Clone, Copy)]
pub struct LoginAttempt<'a> {
    /// The tenant.
    pub tenant: &'a str,
    /// Who checks the credentials.
    pub kind: CredentialKind,
    /// The account that the client names; empty if it names none. Then only openid and address are counted.
    pub account: &'a str,
    /// The platform of the client's session.
    pub platform: &'a str,
    /// The openid of the client's session.
    pub openid: &'a str,
    /// The client's address.
    pub address: IpAddr,
}

impl LoginAttempt<'_> {
    fn account_hash(&self) -> String {
        let kind = match self.kind {
            CredentialKind::Password => "password",
            CredentialKind::Action => "action",
        };
        hex::encode(hash(&[kind, self.account]))
    }

    fn known_clients_key(&self) -> String {
        format!("attempts:known:{}", self.account_hash())
    }

    fn openid_key(&self) -> String {
        format!("attempts:openid:{}", hex::encode(hash(&[self.platform, self.openid])))
    }

    fn address_key(&self) -> String {
        format!("attempts:address:{}", client_network(self.address))
    }

    fn fingerprints(&self) -> [(ClientKind, Fingerprint); 2] {
        let openid = fingerprint(&["openid", self.platform, self.openid]);
        let address = fingerprint(&["address", &client_network(self.address).to_string()]);
        [(ClientKind::Openid, openid), (ClientKind::Address, address)]
    }

    /// By what the account knows the client; the openid is preferred, because addresses are shared.
    fn recognised(&self, known: &KnownClients) -> Option<(ClientKind, Fingerprint)> {
        self.fingerprints().into_iter().find(|(kind, fingerprint)| known.contains(*kind, fingerprint))
    }

    /// The counter of the account: one for all strangers, and one for each known client.
    fn account_key(&self, recognised: Option<(ClientKind, Fingerprint)>) -> String {
        let account = self.account_hash();
        match recognised {
            None => format!("attempts:account:{account}"),
            Some((_, fingerprint)) => format!("attempts:account:{account}:{}", hex::encode(fingerprint)),
        }
    }
}

/// Counts attempts, in the store that all replicas share.
pub struct LoginAttempts {
    limits: AttemptLimits,
    exhausted: ExhaustedCounters,
}

impl LoginAttempts {
    /// Counts attempts against these limits.
    pub fn new(limits: AttemptLimits) -> Self {
        Self { limits, exhausted: ExhaustedCounters::default() }
    }

    /// Counts an attempt. Call this before the credentials are checked, so that concurrent attempts cannot exceed the limits.
    ///
    /// # Errors
    /// `too_many_attempts`; errors of the store: without it the attempt is rejected.
    pub async fn record(&self, store: &dyn EphemeralKv, attempt: &LoginAttempt<'_>) -> Result<()> {
        let limits = &self.limits;
        let (mut account, mut is_owner) = (None, false);
        if !attempt.account.is_empty() {
            let known = KnownClients::read(store, attempt.tenant, &attempt.known_clients_key()).await?;
            let recognised = attempt.recognised(&known);
            // An openid that the account knows is the owner's, so neither the neighbours at its address nor a former owner
            // of the address can lock it out. Its own budget bounds its attempts. An address is shared: it counts in total.
            is_owner = recognised.is_some_and(|(kind, _)| kind == ClientKind::Openid);
            account = Some((attempt.account_key(recognised), limits.per_account));
        }
        let address = (!is_owner).then(|| (attempt.address_key(), limits.per_address));
        let openid = (!is_owner).then(|| (attempt.openid_key(), limits.per_openid));
        let too_many = || Error::new(&codes::TOO_MANY_ATTEMPTS).retry_after(limits.window);
        let now = Instant::now();
        if [&account, &address, &openid]
            .into_iter()
            .flatten()
            .any(|(key, _)| self.exhausted.contains(attempt.tenant, key, now))
        {
            return Err(too_many());
        }
        let count = |counter| self.count(store, attempt.tenant, counter);
        let (account, address, openid) = tokio::try_join!(count(account), count(address), count(openid))?;
        if account && address && openid { Ok(()) } else { Err(too_many()) }
    }

    /// Returns whether the counter allows this attempt.
    async fn count(&self, store: &dyn EphemeralKv, tenant: &str, counter: Option<(String, u64)>) -> Result<bool> {
        let Some((key, limit)) = counter else { return Ok(true) };
        let is_allowed = store.increment(tenant, &key, self.limits.window).await? <= limit;
        if !is_allowed {
            self.exhausted.insert(tenant, key, Instant::now());
        }
        Ok(is_allowed)
    }

    /// Resets the counter of the account that the attempt was counted by, and makes the client known to the account. The
    /// counters of openid and address stay, because a client could otherwise reset them with an account of its own. The
    /// counter of strangers stays if the client was known before: otherwise each login of the owner would give strangers a
    /// new budget.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn record_success(&self, store: &dyn EphemeralKv, attempt: &LoginAttempt<'_>) -> Result<()> {
        if attempt.account.is_empty() {
            return Ok(());
        }
        let key = attempt.known_clients_key();
        let mut known = KnownClients::read(store, attempt.tenant, &key).await?;
        store.remove(attempt.tenant, &attempt.account_key(attempt.recognised(&known))).await?;
        known.add(store, attempt.tenant, &key, attempt.fingerprints()).await
    }
}

/// The parts as one hash, because input of clients must not become part of a key in the store.
fn hash(parts: &[&str]) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part.as_bytes());
    }
    context.finish()
}

fn fingerprint(parts: &[&str]) -> Fingerprint {
    hash(parts).as_ref().first_chunk().copied().unwrap_or_default() // a SHA-256 has 32 bytes
}
