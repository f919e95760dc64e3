//! Sessions and shared values in Redis.
//!
//! Keys are `menlou:{tenant}:s:<SHA-256 of the token>`, `menlou:{tenant}:x:<key>` and `menlou:{tenant}:r:<limit>`; the
//! braces keep a tenant's keys in one slot of a cluster. Each is written together with its time to live. Redis 6 or later, for RESP3.
//!
//! Beside its sessions a tenant has lists of them (`menlou:{tenant}:l:`, and `menlou:{tenant}:p:<hash>` for each person):
//! sorted sets of the tokens' hashes by the time when they end. So nobody ever searches the whole of Redis.
//!
//! What was acknowledged is in the primary's memory, and on its disk as far as its `appendfsync` says. Replicas get it a
//! moment later: a session of the last moments before a failover may be lost, and its person logs in again. Redis's WAIT
//! would not change that (it waits, but takes nothing back), and would hold up all who share the connection.

mod address;
mod keys;
mod limits;
mod link;
mod sentinel;

use super::{
    EphemeralKv, Error, MAX_LISTED, Result, Session, SessionStore, TokenHash, cache::SessionCache, clock, guard::Guard,
    session_record,
};
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
/// How many sessions are ended at once where all are: more would hold others up.
const PORTION: usize = 500;
/// How long it may take in a cluster, redirections included: less, so that it is known to be one node's fault.
const NODE: Duration = Duration::from_millis(350);

/// The count and its end are set in one step: a counter that nothing ends would lock its owner out for ever.
const COUNT: &str = "local sum = redis.call('INCR', KEYS[1])
    if sum == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
    return sum";

/// A session and its places in the lists are one step. Each opening clears a few of those away that have ended, so that
/// lists don't grow and no one opening takes long. A list lives as long as its longest session.
const OPEN: &str = "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    for at = 2, 3 do
        local ended = redis.call('ZRANGEBYSCORE', KEYS[at], '-inf', ARGV[5], 'LIMIT', 0, 16)
        if #ended > 0 then redis.call('ZREM', KEYS[at], unpack(ended)) end
        redis.call('ZADD', KEYS[at], ARGV[3], ARGV[4])
        if redis.call('PTTL', KEYS[at]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[at], ARGV[2]) end
    end";

const END: &str = "local record = redis.call('GET', KEYS[1])
    redis.call('ZREM', KEYS[2], ARGV[1])
    if record then redis.call('DEL', KEYS[1]) end
    return record";

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

/// A script with its keys; its arguments follow. It goes as a whole, not by its hash: a server that has just become primary
/// need not know it.
fn eval(script: &str, keys: &[String]) -> Cmd {
    let mut call = cmd("EVAL");
    call.arg(script).arg(keys.len()).arg(keys);
    call
}

#[async_trait]
impl SessionStore for Redis {
    async fn open(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<()> {
        let Some(life) = clock::millis_until(session.expires_at) else {
            return self.end(tenant, token).await.map(|_| ());
        };
        let now = clock::millis();
        let keys = [
            self.keys.session(tenant, token),
            self.keys.sessions_of_person(tenant, &session.platform, &session.openid),
            self.keys.sessions_of(tenant),
        ];
        let mut call = eval(OPEN, &keys);
        call.arg(session_record::encode(&session)?).arg(life).arg(now.saturating_add(life)).arg(token.hex()).arg(now);
        let opened = self.ask(&call).await;
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
        let session = Arc::new(session_record::decode(&bytes)?);
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
        set.arg(self.keys.session(tenant, token)).arg(session_record::encode(&session)?).arg("XX").arg("PX").arg(life);
        let set = self.ask(&set).await.map(|set: Option<String>| set.is_some());
        self.cache.forget(tenant, token);
        set
    }

    async fn end(&self, tenant: &str, token: &TokenHash) -> Result<bool> {
        let keys = [self.keys.session(tenant, token), self.keys.sessions_of(tenant)];
        let ended: Result<Option<Vec<u8>>> = self.ask(eval(END, &keys).arg(token.hex())).await;
        self.cache.forget(tenant, token);
        let Some(bytes) = ended? else { return Ok(false) };
        if let Ok(session) = session_record::decode(&bytes) {
            let person = self.keys.sessions_of_person(tenant, &session.platform, &session.openid);
            // Where this fails, whoever lists the person's sessions tidies up.
            let _: Result<u64> = self.ask(cmd("ZREM").arg(person).arg(token.hex())).await;
        }
        Ok(true)
    }

    async fn count(&self, tenant: &str) -> Result<u64> {
        let from = format!("({}", clock::millis());
        self.ask(cmd("ZCOUNT").arg(self.keys.sessions_of(tenant)).arg(from).arg("+inf")).await
    }

    async fn list(&self, tenant: &str, platform: &str, openid: &str) -> Result<Vec<(TokenHash, Arc<Session>)>> {
        let list = self.keys.sessions_of_person(tenant, platform, openid);
        let tokens: Vec<String> = self.ask(cmd("ZREVRANGE").arg(&list).arg(0).arg(MAX_LISTED - 1)).await?;
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let mut read = cmd("MGET");
        for token in &tokens {
            read.arg(self.keys.session_named(tenant, token));
        }
        let records: Vec<Option<Vec<u8>>> = self.ask(&read).await?;
        let (mut found, mut gone) = (Vec::new(), cmd("ZREM"));
        gone.arg(&list);
        for (token, record) in tokens.iter().zip(&records) {
            match (TokenHash::from_hex(token), record) {
                (Some(hash), Some(bytes)) => found.push((hash, Arc::new(session_record::decode(bytes)?))),
                _ => drop(gone.arg(token)),
            }
        }
        if found.len() < tokens.len() {
            // Only tidying up.
            let _: Result<u64> = self.ask(&gone).await;
        }
        found.retain(|(_, session)| session.expires_at > clock::seconds());
        found.sort_by_key(|(_, session)| std::cmp::Reverse(session.created_at));
        Ok(found)
    }

    async fn end_all(&self, tenant: &str) -> Result<u64> {
        let list = self.keys.sessions_of(tenant);
        let mut ended = 0;
        loop {
            let tokens: Vec<String> = self.ask(cmd("ZRANGE").arg(&list).arg(0).arg(PORTION - 1)).await?;
            if tokens.is_empty() {
                return Ok(ended);
            }
            let (mut sessions, mut listed) = (cmd("DEL"), cmd("ZREM"));
            listed.arg(&list).arg(&tokens);
            for token in &tokens {
                sessions.arg(self.keys.session_named(tenant, token));
            }
            let gone = self.ask::<u64>(&sessions).await;
            for token in tokens.iter().filter_map(|token| TokenHash::from_hex(token)) {
                self.cache.forget(tenant, &token);
            }
            ended += gone?;
            self.ask::<u64>(&listed).await?;
        }
    }
}

#[async_trait]
impl EphemeralKv for Redis {
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

    async fn increment(&self, tenant: &str, key: &str, window: Duration) -> Result<u64> {
        let key = self.keys.shared(tenant, key);
        self.ask(eval(COUNT, &[key]).arg(clock::life_millis(window))).await
    }

    async fn ping(&self) -> Result<()> {
        self.ask(&cmd("PING")).await.map(|_: String| ())
    }
}
