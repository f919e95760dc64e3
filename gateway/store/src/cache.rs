//! Bounded caches in front of a store. A value that changed while it was read is never cached.

use crate::{
    session::{Session, TokenHash},
    users::User,
};
use menlou_clock::unix_seconds;
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

/// Maximum number of entries of one cache.
const CAPACITY: u64 = 100_000;
/// Time for which an entry is valid. It bounds staleness where another process writes without a notification, such as
/// `menlou user add`.
const TTL: Duration = Duration::from_secs(5);
/// Number of version counters, 512 KiB in total. Keys that share one invalidate each other, which costs an extra read.
const VERSIONS: usize = 1 << 16;

/// Values by key. Absence is not cached.
///
/// A reader takes the [`ReadVersion`] of a key before it reads the store, and inserts the value with that version. An entry
/// is valid only while its version is current. The version becomes stale when the key is invalidated or the cache is
/// paused, whether that happens before or after the insertion.
struct Cache<K, V> {
    entries: moka::sync::Cache<K, (ReadVersion, V)>,
    /// Even while the cache is in use, odd while it is paused.
    epoch: AtomicU64,
    /// Number of invalidations, by hash of the key.
    versions: Box<[AtomicU64]>,
    /// Number of invalidations of all keys.
    total: AtomicU64,
    hasher: RandomState,
}

/// The version of one key before a read.
#[derive(Clone, Copy)]
struct ReadVersion {
    epoch: u64,
    /// Index of the key's counter, so that a hit need not hash the key again.
    slot: usize,
    version: u64,
}

/// The version of all keys, before a read that returns the key.
#[derive(Clone, Copy)]
struct TotalVersion {
    epoch: u64,
    total: u64,
}

impl<K: Hash + Eq + Send + Sync + 'static, V: Clone + Send + Sync + 'static> Cache<K, V> {
    fn new() -> Self {
        Self {
            entries: moka::sync::Cache::builder().max_capacity(CAPACITY).time_to_live(TTL).build(),
            epoch: AtomicU64::new(0),
            versions: (0..VERSIONS).map(|_| AtomicU64::new(0)).collect(),
            total: AtomicU64::new(0),
            hasher: RandomState::new(),
        }
    }

    fn get<Q: Hash + Equivalent<K>>(&self, key: &Q) -> Option<V> {
        let (version, value) = self.entries.get(key)?;
        self.is_current(version).then_some(value)
    }

    fn version<Q: Hash>(&self, key: &Q) -> ReadVersion {
        let slot = self.slot(key);
        ReadVersion { epoch: self.epoch.load(SeqCst), slot, version: self.versions[slot].load(SeqCst) }
    }

    fn is_current(&self, read: ReadVersion) -> bool {
        read.epoch == self.epoch.load(SeqCst) && read.version == self.versions[read.slot].load(SeqCst)
    }

    fn insert(&self, version: ReadVersion, key: K, value: V) {
        if version.epoch.is_multiple_of(2) && self.is_current(version) {
            self.entries.insert(key, (version, value));
        }
    }

    fn total_version(&self) -> TotalVersion {
        TotalVersion { epoch: self.epoch.load(SeqCst), total: self.total.load(SeqCst) }
    }

    fn insert_if_none_changed(&self, TotalVersion { epoch, total }: TotalVersion, key: K, value: V) {
        let version = ReadVersion { epoch, ..self.version(&key) };
        // `invalidate` counts the total first: while the total is unchanged, the version just read is from before it.
        if self.total.load(SeqCst) == total {
            self.insert(version, key, value);
        }
    }

    fn invalidate<Q: Hash + Equivalent<K>>(&self, key: &Q) {
        self.total.fetch_add(1, SeqCst);
        self.versions[self.slot(key)].fetch_add(1, SeqCst);
        self.entries.invalidate(key);
    }

    /// Removes all entries.
    fn clear(&self) {
        self.epoch.fetch_add(2, SeqCst);
        self.entries.invalidate_all();
    }

    /// Removes all entries, and caches nothing until [`Cache::resume`].
    fn pause(&self) {
        self.epoch.fetch_or(1, SeqCst);
        self.entries.invalidate_all();
    }

    /// Caches again what is read from now on.
    fn resume(&self) {
        self.pause();
        self.epoch.fetch_add(1, SeqCst);
    }

    fn slot<Q: Hash>(&self, key: &Q) -> usize {
        self.hasher.hash_one(key) as usize % VERSIONS
    }
}

/// Decoded sessions.
pub(crate) struct SessionCache(Cache<TokenKey, Arc<Session>>);

/// The version of a session before a read.
pub(crate) struct SessionVersion(ReadVersion);

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
    /// An empty cache, in use.
    pub fn new() -> Self {
        Self(Cache::new())
    }

    /// The cached session, if it has not expired.
    pub fn get(&self, tenant: &str, token: &TokenHash) -> Option<Arc<Session>> {
        self.0.get(&TokenRef { tenant, token }).filter(|session| unix_seconds() < session.expires_at)
    }

    /// The session's version; to be taken before the store is read.
    pub fn version(&self, tenant: &str, token: &TokenHash) -> SessionVersion {
        SessionVersion(self.0.version(&TokenRef { tenant, token }))
    }

    /// Caches what the store returned, unless the version is stale.
    pub fn insert(&self, version: SessionVersion, tenant: &str, token: &TokenHash, session: &Arc<Session>) {
        self.0.insert(version.0, TokenKey { tenant: tenant.into(), token: *token }, Arc::clone(session));
    }

    /// Removes a session; to be called after each change of it.
    pub fn invalidate(&self, tenant: &str, token: &TokenHash) {
        self.0.invalidate(&TokenRef { tenant, token });
    }

    /// Removes all entries.
    pub fn clear(&self) {
        self.0.clear();
    }

    /// Removes all entries, and caches nothing until [`SessionCache::resume`].
    pub fn pause(&self) {
        self.0.pause();
    }

    /// Caches again what is read from now on.
    pub fn resume(&self) {
        self.0.resume();
    }
}

/// Users by the openids bound to them. An openid maps to an account id, and each account is cached once, so that a changed
/// name applies to all its openids.
pub(crate) struct UserCache {
    bindings: Cache<IdentityKey, i64>,
    users: Cache<i64, Arc<User>>,
}

/// The version of a binding and of all users before a read.
pub(crate) struct UserVersion {
    binding: ReadVersion,
    users: TotalVersion,
}

#[derive(PartialEq, Eq, Hash)]
struct IdentityKey {
    tenant: Box<str>,
    platform: Box<str>,
    openid: Box<str>,
}

/// An openid of a tenant, borrowed.
#[derive(Clone, Copy, Hash)]
pub(crate) struct IdentityRef<'a> {
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
    /// An empty cache, in use.
    pub fn new() -> Self {
        Self { bindings: Cache::new(), users: Cache::new() }
    }

    /// The cached account of this openid.
    pub fn get(&self, identity: &IdentityRef<'_>) -> Option<Arc<User>> {
        self.users.get(&self.bindings.get(identity)?)
    }

    /// The version of the binding and of all users; to be taken before the store is read.
    pub fn version(&self, identity: &IdentityRef<'_>) -> UserVersion {
        UserVersion { binding: self.bindings.version(identity), users: self.users.total_version() }
    }

    /// Caches what the store returned, unless the version is stale.
    pub fn insert(&self, version: UserVersion, identity: &IdentityRef<'_>, user: &Arc<User>) {
        let IdentityRef { tenant, platform, openid } = identity;
        let key = IdentityKey { tenant: (*tenant).into(), platform: (*platform).into(), openid: (*openid).into() };
        self.users.insert_if_none_changed(version.users, user.id, Arc::clone(user));
        self.bindings.insert(version.binding, key, user.id);
    }

    /// Removes a binding; to be called after each change of it.
    pub fn invalidate_binding(&self, identity: &IdentityRef<'_>) {
        self.bindings.invalidate(identity);
    }

    /// Removes an account; to be called after each change of its name or picture.
    pub fn invalidate_user(&self, user: i64) {
        self.users.invalidate(&user);
    }

    /// Removes all entries.
    pub fn clear(&self) {
        self.bindings.clear();
        self.users.clear();
    }

    /// Removes all entries, and caches nothing until [`UserCache::resume`].
    pub fn pause(&self) {
        self.bindings.pause();
        self.users.pause();
    }

    /// Caches again what is read from now on.
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

    /// The name that is cached when `meanwhile` runs between the read and the insertion.
    fn cached(meanwhile: fn(&UserCache)) -> Option<String> {
        let cache = UserCache::new();
        let version = cache.version(&PERSON);
        meanwhile(&cache);
        cache.insert(version, &PERSON, &user(1, "read"));
        cache.get(&PERSON).map(|user| user.name.clone())
    }

    #[test]
    fn value_is_cached_unless_it_changed_while_it_was_read() {
        assert_eq!(cached(|_| ()).as_deref(), Some("read"));
        assert_eq!(cached(|cache| cache.invalidate_binding(&PERSON)), None);
        assert_eq!(cached(|cache| cache.invalidate_user(1)), None);
        assert_eq!(cached(UserCache::clear), None);
        assert_eq!(cached(UserCache::pause), None);
        assert_eq!(cached(UserCache::resume), None);
    }

    #[test]
    fn entry_is_gone_after_an_invalidation() {
        let invalidations: [fn(&UserCache); 5] = [
            |cache| cache.invalidate_binding(&PERSON),
            |cache| cache.invalidate_user(1),
            UserCache::clear,
            UserCache::pause,
            UserCache::resume,
        ];
        for invalidate in invalidations {
            let cache = UserCache::new();
            cache.insert(cache.version(&PERSON), &PERSON, &user(1, "one"));
            assert!(cache.get(&PERSON).is_some());
            invalidate(&cache);
            assert!(cache.get(&PERSON).is_none());
        }
    }

    #[test]
    fn change_of_another_key_leaves_the_entry() {
        let cache = UserCache::new();
        cache.insert(cache.version(&PERSON), &PERSON, &user(1, "one"));
        cache.invalidate_user(2);
        cache.invalidate_binding(&IdentityRef { tenant: "b", ..PERSON });
        assert!(cache.get(&PERSON).is_some());
        assert!(cache.get(&IdentityRef { tenant: "b", ..PERSON }).is_none());
    }

    #[test]
    fn paused_cache_stores_nothing_until_it_is_resumed() {
        let cache = UserCache::new();
        cache.pause();
        cache.insert(cache.version(&PERSON), &PERSON, &user(1, "one"));
        assert!(cache.get(&PERSON).is_none());
        cache.resume();
        assert!(cache.get(&PERSON).is_none());
        cache.insert(cache.version(&PERSON), &PERSON, &user(1, "two"));
        assert_eq!(cache.get(&PERSON).map(|user| user.name.clone()).as_deref(), Some("two"));
    }
}
