//! Bounded caches in front of a store, which never keep a value that was overtaken while it was being read.

use super::{Session, TokenHash, User, clock};
use moka::Equivalent;
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hash},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

/// How many entries a cache holds at most.
const CAPACITY: u64 = 100_000;
/// How long an entry is trusted: the bound where another process may write and can't tell us (`menlou user add`).
const LIFE: Duration = Duration::from_secs(5);

/// Values by key, positive ones only.
///
/// A reader takes a [`Ticket`] before it asks the store and hands it in with the value; the value is kept only if the
/// key was not forgotten, and the cache not paused, in between.
struct Cache<K, V> {
    /// Each value with the epoch in which it was read.
    entries: moka::sync::Cache<K, (u64, V)>,
    /// Even while serving, odd while paused. An entry of another epoch is no entry.
    epoch: AtomicU64,
    /// Counts of what was forgotten, by hash of the key. Keys that share one only cost each other a read now and then.
    turns: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// The moment before a read.
#[derive(Clone, Copy)]
struct Ticket {
    epoch: u64,
    turn: u64,
}

impl<K: Hash + Eq + Clone + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    fn new(turns: usize) -> Self {
        Self {
            entries: moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(LIFE).build(),
            epoch: AtomicU64::new(0),
            turns: (0..turns).map(|_| AtomicU64::new(0)).collect(),
            hasher: RandomState::new(),
        }
    }

    fn get<Q: Hash + Equivalent<K>>(&self, key: &Q) -> Option<V> {
        let (epoch, value) = self.entries.get(key)?;
        (epoch == self.epoch.load(SeqCst)).then_some(value)
    }

    fn ticket<Q: Hash>(&self, key: &Q) -> Ticket {
        Ticket { epoch: self.epoch.load(SeqCst), turn: self.turn(key).load(SeqCst) }
    }

    fn keep(&self, ticket: Ticket, key: K, value: V) {
        if ticket.epoch % 2 == 1 || ticket.epoch != self.epoch.load(SeqCst) {
            return;
        }
        self.entries.insert(key.clone(), (ticket.epoch, value));
        // `forget` counts first and removes then: either it removes what was just put, or its count is seen here.
        if self.turn(&key).load(SeqCst) != ticket.turn {
            self.entries.invalidate(&key);
        }
    }

    fn forget<Q: Hash + Equivalent<K>>(&self, key: &Q) {
        self.turn(key).fetch_add(1, SeqCst);
        self.entries.invalidate(key);
    }

    /// Forgets all.
    fn clear(&self) {
        self.epoch.fetch_add(2, SeqCst);
        self.entries.invalidate_all();
    }

    /// Forgets all and keeps nothing until [`Cache::resume`].
    fn pause(&self) {
        self.epoch.fetch_or(1, SeqCst);
        self.entries.invalidate_all();
    }

    /// Serves again, of what is read from now on.
    fn resume(&self) {
        self.pause();
        self.epoch.fetch_add(1, SeqCst);
    }

    fn turn<Q: Hash>(&self, key: &Q) -> &AtomicU64 {
        &self.turns[self.hasher.hash_one(key) as usize % self.turns.len()]
    }
}

/// Parsed sessions.
pub(super) struct SessionCache(Cache<TokenKey, Arc<Session>>);

/// The moment before a session was read.
pub(super) struct SessionTicket(Ticket);

#[derive(Clone, PartialEq, Eq, Hash)]
struct TokenKey {
    tenant: Box<str>,
    token: TokenHash,
}

#[derive(Hash)]
struct TokenRef<'a> {
    tenant: &'a str,
    token: &'a TokenHash,
}

impl Equivalent<TokenKey> for TokenRef<'_> {
    fn equivalent(&self, key: &TokenKey) -> bool {
        *self.token == key.token && *self.tenant == *key.tenant
    }
}

impl SessionCache {
    /// A cache that serves from the start.
    pub fn new() -> Self {
        Self(Cache::new(256))
    }

    /// A kept session that has not ended.
    pub fn get(&self, tenant: &str, token: &TokenHash) -> Option<Arc<Session>> {
        self.0.get(&TokenRef { tenant, token }).filter(|session| clock::seconds() < session.expires_at)
    }

    /// To be taken before the store is asked.
    pub fn ticket(&self, tenant: &str, token: &TokenHash) -> SessionTicket {
        SessionTicket(self.0.ticket(&TokenRef { tenant, token }))
    }

    /// Keeps what the store gave, unless it was overtaken.
    pub fn keep(&self, ticket: SessionTicket, tenant: &str, token: &TokenHash, session: &Arc<Session>) {
        self.0.keep(ticket.0, TokenKey { tenant: tenant.into(), token: *token }, Arc::clone(session));
    }

    /// To be called after each change of this session.
    pub fn forget(&self, tenant: &str, token: &TokenHash) {
        self.0.forget(&TokenRef { tenant, token });
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// Forgets all and keeps nothing until [`SessionCache::resume`].
    pub fn pause(&self) {
        self.0.pause();
    }

    /// Serves again.
    pub fn resume(&self) {
        self.0.resume();
    }
}

/// Users by the openids bound to them: which account an openid has, and each account once, so that a changed name
/// holds for all its openids.
pub(super) struct UserCache {
    bindings: Cache<IdentityKey, i64>,
    users: Cache<i64, Arc<User>>,
}

/// The moment before a user was read.
pub(super) struct UserTicket {
    binding: Ticket,
    user: Ticket,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct IdentityKey {
    tenant: Box<str>,
    platform: Box<str>,
    openid: Box<str>,
}

/// An openid of a tenant, borrowed.
#[derive(Clone, Copy, Hash)]
pub(super) struct IdentityRef<'a> {
    pub tenant: &'a str,
    pub platform: &'a str,
    pub openid: &'a str,
}

impl Equivalent<IdentityKey> for IdentityRef<'_> {
    fn equivalent(&self, key: &IdentityKey) -> bool {
        *self.openid == *key.openid && *self.platform == *key.platform && *self.tenant == *key.tenant
    }
}

impl UserCache {
    /// A cache that serves from the start.
    pub fn new() -> Self {
        // One count for all users: whose account it is turns out only when it has been read.
        Self { bindings: Cache::new(256), users: Cache::new(1) }
    }

    /// The kept account of this openid.
    pub fn get(&self, identity: &IdentityRef<'_>) -> Option<Arc<User>> {
        self.users.get(&self.bindings.get(identity)?)
    }

    /// To be taken before the store is asked.
    pub fn ticket(&self, identity: &IdentityRef<'_>) -> UserTicket {
        UserTicket { binding: self.bindings.ticket(identity), user: self.users.ticket(&0) }
    }

    /// Keeps what the store gave, unless it was overtaken.
    pub fn keep(&self, ticket: UserTicket, identity: &IdentityRef<'_>, user: &Arc<User>) {
        let IdentityRef { tenant, platform, openid } = identity;
        let key = IdentityKey { tenant: (*tenant).into(), platform: (*platform).into(), openid: (*openid).into() };
        self.users.keep(ticket.user, user.id, Arc::clone(user));
        self.bindings.keep(ticket.binding, key, user.id);
    }

    /// To be called after each change of this openid's binding.
    pub fn forget_binding(&self, identity: &IdentityRef<'_>) {
        self.bindings.forget(identity);
    }

    /// To be called after each change of this account's name or picture.
    pub fn forget_user(&self, user: i64) {
        self.users.forget(&user);
    }

    /// Forgets all.
    pub fn clear(&self) {
        self.bindings.clear();
        self.users.clear();
    }

    /// Forgets all and keeps nothing until [`UserCache::resume`].
    pub fn pause(&self) {
        self.bindings.pause();
        self.users.pause();
    }

    /// Serves again.
    pub fn resume(&self) {
        self.bindings.resume();
        self.users.resume();
    }
}
