//! Sessions and shared values in Redis.
//!
//! Keys are `menlou:{tenant}:s:<SHA-256 of the token>`, `menlou:{tenant}:x:<key>` and `menlou:{tenant}:l:<limit>`; the braces keep a tenant's keys in
//! one slot of a cluster. Each is written together with its time to live. Redis 6 or later, for RESP3.

mod keys;
mod limits;
mod link;

use super::{Error, Result, Session, Sessions, Shared, TokenHash, cache::SessionCache, clock, record};
use ::redis::{Client, Cmd, FromRedisValue, ProtocolVersion, RedisError, Script, cmd};
use async_trait::async_trait;
use keys::Keys;
use link::Link;
use secrecy::{ExposeSecret, SecretString};
use std::{future::Future, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};

/// How long an operation may take as a whole.
const DEADLINE: Duration = Duration::from_millis(400);

/// A store in Redis. It keeps one connection, on which commands of all callers follow each other without waiting, and
/// renews it by itself. While there is none, it answers [`Error::Unavailable`] at once.
pub struct Redis {
    keys: Arc<Keys>,
    link: Arc<Link>,
    cache: Arc<SessionCache>,
    counter: Script,
    _keeper: JoinSet<()>,
}

impl Redis {
    /// Connects, or keeps trying to. All keys start with `prefix`. An error only where the URL is none; its text does
    /// not hold the URL.
    pub async fn open(url: &SecretString, prefix: &str) -> Result<Self> {
        let unfit = |_: RedisError| {
            let text = "the URL of the session store is not like redis://user:password@host:6379/0 (without TLS)";
            Error::Unavailable(text.into())
        };
        let client = Client::open(url.expose_secret()).map_err(unfit)?;
        let info = client.get_connection_info().clone();
        let resp3 = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = Client::open(info.set_redis_settings(resp3)).map_err(unfit)?;

        let keys = Arc::new(Keys::new(prefix));
        let cache = Arc::new(SessionCache::new());
        let link = Arc::new(Link::new());
        let (tried, first_try) = tokio::sync::oneshot::channel();
        let mut keeper = JoinSet::new();
        keeper.spawn(link::keep(client, Arc::clone(&link), Arc::clone(&cache), Arc::clone(&keys), tried));
        // So that who opens and asks at once is served. Whether it succeeded, the first question will tell.
        let _ = first_try.await;
        // The count and its end are set in one step: a counter that nothing ends would lock its owner out for ever.
        let counter = Script::new(
            "local sum = redis.call('INCR', KEYS[1])
            if sum == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
            return sum",
        );
        Ok(Self { keys, link, cache, counter, _keeper: keeper })
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let mut connection = self.link.connection()?;
        self.answered(command.query_async(&mut connection)).await
    }

    async fn answered<T>(&self, question: impl Future<Output = std::result::Result<T, RedisError>>) -> Result<T> {
        match timeout(DEADLINE, question).await {
            Ok(answer) => answer.map_err(|e| self.link.unserved(&e)),
            Err(_) => Err(Error::Unavailable(format!("Redis did not answer within {} ms", DEADLINE.as_millis()))),
        }
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
        let mut connection = self.link.connection()?;
        let mut call = self.counter.key(self.keys.shared(tenant, key));
        call.arg(clock::life_millis(window));
        self.answered(call.invoke_async(&mut connection)).await
    }

    async fn ping(&self) -> Result<()> {
        self.ask(&cmd("PING")).await.map(|_: String| ())
    }
}
