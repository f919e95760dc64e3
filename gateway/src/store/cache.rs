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
/// Counts of what was forgotten. Keys that share one cost each other a read now and then, so there are many: 512 KiB.
const TURNS: usize = 1 << 16;

/// Values by key, positive ones only.
///
/// A reader takes a ticket before it asks the store and hands it in with the value. An entry is worth something only
/// while its ticket is: until its key is forgotten or the cache paused, be it before or after it was put here.
struct Cache<K, V> {
    entries: moka::sync::Cache<K, (Ticket, V)>,
    /// Even while serving, odd while paused.
    epoch: AtomicU64,
    /// How often something was forgotten, by hash of the key.
    turns: Box<[AtomicU64]>,
    /// How often anything was.
    total: AtomicU64,
    hasher: RandomState,
}

/// The moment before a read of one key.
#[derive(Clone, Copy, PartialEq)]
struct Ticket {
    epoch: u64,
    turn: u64,
}

/// The moment before a read whose key turns out only by it.
#[derive(Clone, Copy)]
struct AnyTicket {
    epoch: u64,
    total: u64,
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    fn new() -> Self {
        Self {
            entries: moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(LIFE).build(),
            epoch: AtomicU64::new(0),
            turns: (0..TURNS).map(|_| AtomicU64::new(0)).collect(),
            total: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }

    fn get<Q: Hash + Equivalent<K>>(&self, key: &Q) -> Option<V> {
        let (ticket, value) = self.entries.get(key)?;
        (ticket == self.ticket(key)).then_some(value)
    }

    fn ticket<Q: Hash>(&self, key: &Q) -> Ticket {
        Ticket { epoch: self.epoch.load(SeqCst), turn: self.turn(key).load(SeqCst) }
    }

    fn keep(&self, ticket: Ticket, key: K, value: V) {
        if ticket.epoch.is_multiple_of(2) && ticket == self.ticket(&key) {
            self.entries.insert(key, (ticket, value));
        }
    }

    fn any_ticket(&self) -> AnyTicket {
        AnyTicket { epoch: self.epoch.load(SeqCst), total: self.total.load(SeqCst) }
    }

    fn keep_any(&self, ticket: AnyTicket, key: K, value: V) {
        let turn = self.turn(&key).load(SeqCst);
        // `forget` counts the total first: where that has not changed yet, the turn just read is from before it, too.
        if self.total.load(SeqCst) == ticket.total {
            self.keep(Ticket { epoch: ticket.epoch, turn }, key, value);
        }
    }

    fn forget<Q: Hash + Equivalent<K>>(&self, key: &Q) {
        self.total.fetch_add(1, SeqCst);
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
        &self.turns[self.hasher.hash_one(key) as usize % TURNS]
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
        Self(Cache::new())
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
    user: AnyTicket,
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
        Self { bindings: Cache::new(), users: Cache::new() }
    }

    /// The kept account of this openid.
    pub fn get(&self, identity: &IdentityRef<'_>) -> Option<Arc<User>> {
        self.users.get(&self.bindings.get(identity)?)
    }

    /// To be taken before the store is asked.
    pub fn ticket(&self, identity: &IdentityRef<'_>) -> UserTicket {
        UserTicket { binding: self.bindings.ticket(identity), user: self.users.any_ticket() }
    }

    /// Keeps what the store gave, unless it was overtaken.
    pub fn keep(&self, ticket: UserTicket, identity: &IdentityRef<'_>, user: &Arc<User>) {
        let IdentityRef { tenant, platform, openid } = identity;
        let key = IdentityKey { tenant: (*tenant).into(), platform: (*platform).into(), openid: (*openid).into() };
        self.users.keep_any(ticket.user, user.id, Arc::clone(user));
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
