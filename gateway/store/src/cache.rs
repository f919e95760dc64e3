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
#[derive(Clone, Copy)]
struct Ticket {
    epoch: u64,
    /// Which count is its key's, so that a hit need not hash the key again.
    slot: usize,
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
        self.is_good(ticket).then_some(value)
    }

    fn ticket<Q: Hash>(&self, key: &Q) -> Ticket {
        let slot = self.slot(key);
        Ticket { epoch: self.epoch.load(SeqCst), slot, turn: self.turns[slot].load(SeqCst) }
    }

    fn is_good(&self, ticket: Ticket) -> bool {
        ticket.epoch == self.epoch.load(SeqCst) && ticket.turn == self.turns[ticket.slot].load(SeqCst)
    }

    fn keep(&self, ticket: Ticket, key: K, value: V) {
        if ticket.epoch.is_multiple_of(2) && self.is_good(ticket) {
            self.entries.insert(key, (ticket, value));
        }
    }

    fn any_ticket(&self) -> AnyTicket {
        AnyTicket { epoch: self.epoch.load(SeqCst), total: self.total.load(SeqCst) }
    }

    fn keep_any(&self, AnyTicket { epoch, total }: AnyTicket, key: K, value: V) {
        let ticket = Ticket { epoch, ..self.ticket(&key) };
        // `forget` counts the total first: where that has not changed yet, the turn just read is from before it, too.
        if self.total.load(SeqCst) == total {
            self.keep(ticket, key, value);
        }
    }

    fn forget<Q: Hash + Equivalent<K>>(&self, key: &Q) {
        self.total.fetch_add(1, SeqCst);
        self.turns[self.slot(key)].fetch_add(1, SeqCst);
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

    fn slot<Q: Hash>(&self, key: &Q) -> usize {
        self.hasher.hash_one(key) as usize % TURNS
    }
}

/// Parsed sessions.
pub(super) struct SessionCache(Cache<TokenKey, Arc<Session>>);

/// The moment before a session was read.
pub(super) struct SessionTicket(Ticket);

#[derive(PartialEq, Eq, Hash)]
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

#[derive(PartialEq, Eq, Hash)]
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

#[cfg(test)]
mod tests {
    use super::*;

    const PERSON: IdentityRef<'static> = IdentityRef { tenant: "a", platform: "wechat", openid: "o" };

    fn user(id: i64, name: &str) -> Arc<User> {
        Arc::new(User { id, name: name.into(), avatar_url: String::new() })
    }

    /// The name that is kept after something happened between reading and keeping.
    fn kept(meanwhile: fn(&UserCache)) -> Option<String> {
        let cache = UserCache::new();
        let ticket = cache.ticket(&PERSON);
        meanwhile(&cache);
        cache.keep(ticket, &PERSON, &user(1, "read"));
        cache.get(&PERSON).map(|user| user.name.clone())
    }

    #[test]
    fn what_was_read_is_kept_unless_it_was_overtaken() {
        assert_eq!(kept(|_| ()).as_deref(), Some("read"));
        assert_eq!(kept(|cache| cache.forget_binding(&PERSON)), None);
        assert_eq!(kept(|cache| cache.forget_user(1)), None);
        assert_eq!(kept(UserCache::clear), None);
        assert_eq!(kept(UserCache::pause), None);
        assert_eq!(kept(UserCache::resume), None);
    }

    #[test]
    fn what_is_kept_is_gone_when_it_is_forgotten() {
        let forgetting: [fn(&UserCache); 5] = [
            |cache| cache.forget_binding(&PERSON),
            |cache| cache.forget_user(1),
            UserCache::clear,
            UserCache::pause,
            UserCache::resume,
        ];
        for forget in forgetting {
            let cache = UserCache::new();
            cache.keep(cache.ticket(&PERSON), &PERSON, &user(1, "one"));
            assert!(cache.get(&PERSON).is_some());
            forget(&cache);
            assert!(cache.get(&PERSON).is_none());
        }
    }

    #[test]
    fn another_s_change_leaves_what_is_kept() {
        let cache = UserCache::new();
        cache.keep(cache.ticket(&PERSON), &PERSON, &user(1, "one"));
        cache.forget_user(2);
        cache.forget_binding(&IdentityRef { tenant: "b", ..PERSON });
        assert!(cache.get(&PERSON).is_some());
        assert!(cache.get(&IdentityRef { tenant: "b", ..PERSON }).is_none());
    }

    #[test]
    fn a_paused_cache_keeps_nothing_until_it_resumes() {
        let cache = UserCache::new();
        cache.pause();
        cache.keep(cache.ticket(&PERSON), &PERSON, &user(1, "one"));
        assert!(cache.get(&PERSON).is_none());
        cache.resume();
        assert!(cache.get(&PERSON).is_none());
        cache.keep(cache.ticket(&PERSON), &PERSON, &user(1, "two"));
        assert_eq!(cache.get(&PERSON).map(|user| user.name.clone()).as_deref(), Some("two"));
    }
}
