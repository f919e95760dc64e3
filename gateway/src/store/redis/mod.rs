//! Sessions and shared values in Redis.
//!
//! Keys are `menlou:{tenant}:s:<SHA-256 of the token>` and `menlou:{tenant}:x:<key>`; the braces keep a tenant's keys in
//! one slot of a cluster. Each is written together with its time to live. Redis 6 or later, for RESP3.
//!
//! What was acknowledged is in the primary's memory, and on its disk as far as its `appendfsync` says. Replicas get it a
//! moment later: a session of the last moments before a failover may be lost, and its person logs in again. Redis's WAIT
//! would not change that (it waits, but takes nothing back), and would hold up all who share the connection.

mod address;
mod keys;
mod link;
mod sentinel;

use super::{Error, Result, Session, Sessions, Shared, TokenHash, cache::SessionCache, clock, guard::Guard, record};
use ::redis::{Cmd, FromRedisValue, cmd};
use address::Place;
use async_trait::async_trait;
use keys::Keys;
use link::Link;
use secrecy::{ExposeSecret, SecretString};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// How long an operation may take as a whole.
const DEADLINE: Duration = Duration::from_millis(400);
/// How long it may take in a cluster, redirections included: less, so that it is known to be one node's fault.
const NODE: Duration = Duration::from_millis(350);

/// The count and its end are set in one step: a counter that nothing ends would lock its owner out for ever.
const COUNT: &str = "local sum = redis.call('INCR', KEYS[1])
    if sum == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
    return sum";

/// A store in Redis. It keeps one connection (in a cluster: one per node), on which commands of all callers follow each
/// other without waiting, and renews it by itself. While there is none, it answers [`Error::Down`] at once.
///
/// Sessions are cached while Redis tells us what changes. In a cluster nothing is cached: each read asks its node.
pub struct Redis {
    keys: Arc<Keys>,
    link: Arc<Link>,
    cache: Arc<SessionCache>,
    _keeper: JoinSet<()>,
}

impl Redis {
    /// Connects, or keeps trying to. All keys start with `prefix`; `ca` holds, as PEM, the CAs to trust in place of the
    /// system's. An error only where the URL is none or the CAs can't be read; its text does not hold the URL.
    pub async fn open(url: &SecretString, ca: Option<&[u8]>, prefix: &str) -> Result<Self> {
        let place = Place::of(url.expose_secret(), ca, (link::CONNECT, NODE)).ok_or_else(|| {
            let text = "the URL of the session store is not like redis://user:password@host:6379/0, \
                redis+sentinel://host:26379,host:26379/primary/0 or redis+cluster://host:6379,host:6379, \
                or its CA file holds no certificates";
            Error::Unavailable(text.into())
        })?;
        let keys = Arc::new(Keys::new(prefix));
        let cache = Arc::new(SessionCache::new());
        let link = Arc::new(Link::new(Guard::new("Redis", DEADLINE)));
        let (tried, first_try) = tokio::sync::oneshot::channel();
        let mut keeper = JoinSet::new();
        keeper.spawn(link::keep(place, Arc::clone(&link), Arc::clone(&cache), Arc::clone(&keys), tried));
        // So that who opens and asks at once is served. Whether it succeeded, the first question will tell.
        let _ = first_try.await;
        Ok(Self { keys, link, cache, _keeper: keeper })
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let question = async {
            let mut connection = self.link.connection()?;
            connection.ask(command).await.map_err(|e| self.link.failure(&e))
        };
        self.link.guard.ask(question).await
    }
}

#[async_trait]
impl Sessions for Redis {
    async fn open(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<()> {
        let key = self.keys.session(tenant, token);
        let opened = match clock::millis_until(session.expires_at) {
            Some(life) => self.ask(cmd("SET").arg(&key).arg(record::encode(&session)?).arg("PX").arg(life)).await,
            None => self.ask(cmd("DEL").arg(&key)).await.map(|_: u64| ()),
        };
        // Redis says so too, but perhaps later than our caller asks again.
        self.cache.forget(tenant, token);
        opened
    }

    async fn find(&self, tenant: &str, token: &TokenHash) -> Result<Option<Arc<Session>>> {
        if let Some(session) = self.cache.get(tenant, token) {
            return Ok(Some(session));
        }
        // Before the connection is taken: a ticket of one connection's time is void in the next one's.
        let ticket = self.cache.ticket(tenant, token);
        let Some(bytes) = self.ask::<Option<Vec<u8>>>(cmd("GET").arg(self.keys.session(tenant, token))).await? else {
            return Ok(None);
        };
        let session = Arc::new(record::decode(&bytes)?);
        // The server's clock may be behind ours.
        if session.expires_at <= clock::seconds() {
            return Ok(None);
        }
        self.cache.keep(ticket, tenant, token, &session);
        Ok(Some(session))
    }

    async fn replace(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<bool> {
        let Some(life) = clock::millis_until(session.expires_at) else { return Ok(false) };
        let mut set = cmd("SET");
        set.arg(self.keys.session(tenant, token)).arg(record::encode(&session)?).arg("XX").arg("PX").arg(life);
        let set = self.ask(&set).await.map(|set: Option<String>| set.is_some());
        self.cache.forget(tenant, token);
        set
    }

    async fn end(&self, tenant: &str, token: &TokenHash) -> Result<bool> {
        let ended = self.ask(cmd("DEL").arg(self.keys.session(tenant, token))).await.map(|ended: u64| ended == 1);
        self.cache.forget(tenant, token);
        ended
    }
}

#[async_trait]
impl Shared for Redis {
    async fn claim(&self, tenant: &str, key: &str, value: &[u8], life: Duration) -> Result<bool> {
        let life = clock::life_millis(life);
        let mut set = cmd("SET");
        set.arg(self.keys.shared(tenant, key)).arg(value).arg("NX").arg("PX").arg(life);
        let set: Option<String> = self.ask(&set).await?;
        Ok(set.is_some())
    }

    async fn put(&self, tenant: &str, key: &str, value: &[u8], life: Duration) -> Result<()> {
        let life = clock::life_millis(life);
        self.ask(cmd("SET").arg(self.keys.shared(tenant, key)).arg(value).arg("PX").arg(life)).await
    }

    async fn get(&self, tenant: &str, key: &str) -> Result<Option<Vec<u8>>> {
        self.ask(cmd("GET").arg(self.keys.shared(tenant, key))).await
    }

    async fn remove(&self, tenant: &str, key: &str) -> Result<()> {
        self.ask(cmd("DEL").arg(self.keys.shared(tenant, key))).await.map(|_: u64| ())
    }

    async fn count(&self, tenant: &str, key: &str, window: Duration) -> Result<u64> {
        // The script as a whole, not by its hash: a server that has just become primary need not know it.
        let key = self.keys.shared(tenant, key);
        self.ask(cmd("EVAL").arg(COUNT).arg(1).arg(key).arg(clock::life_millis(window))).await
    }

    async fn ping(&self) -> Result<()> {
        self.ask(&cmd("PING")).await.map(|_: String| ())
    }
}
