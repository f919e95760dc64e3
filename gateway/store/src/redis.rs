//! Sessions, ephemeral values and rate limits in Redis.
//!
//! Keys are `menlou:{tenant}:s:<SHA-256 of the token>`, `menlou:{tenant}:x:<key>` and `menlou:{tenant}:r:<limit>`. The
//! braces keep the keys of a tenant in one slot of a cluster. Each key is written together with its time to live. Redis 6 or
//! later is required, for RESP3.
//!
//! Each tenant also has lists of its sessions (`menlou:{tenant}:l:`, and `menlou:{tenant}:p:<hash>` for each identity): sorted
//! sets of the tokens' hashes, by expiry. No operation scans all keys of Redis.
//!
//! An acknowledged write is in the primary's memory, and on its disk as far as `appendfsync` says. Replicas get it a moment
//! later: a failover may lose the sessions of the last moments, and their users log in again. Redis's WAIT would not prevent
//! that, since it does not undo a write, and it would delay all operations that share the connection.

mod access;
mod address;
mod connection;
mod error;
mod keys;
mod rate_limits;
mod sentinel;

use crate::{
    cache::SessionCache,
    deadline_breaker::{DeadlineBreaker, up_gauge},
    ephemeral::EphemeralKv,
    error::{Error, Result},
    session::{MAX_LISTED, Session, SessionStore, TokenHash},
    session_record,
    ttl::{clamped_millis, millis_until},
};
use ::redis::{Cmd, FromRedisValue, cmd};
use address::RedisAddress;
use async_trait::async_trait;
use connection::{CONNECT_TIMEOUT, ConnectionManager, DEADLINE, keep_connected};
use keys::Keys;
use menlou_clock::{unix_millis_i64, unix_seconds};
use secrecy::{ExposeSecret, SecretString};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinSet;

/// The store's name in log lines and metrics.
const NAME: &str = "Redis";
/// Maximum time of an operation on a cluster's node, redirections included. It is shorter than the deadline, so that the
/// failure is attributed to the node.
const NODE_TIMEOUT: Duration = Duration::from_millis(350);
/// Maximum number of sessions that one command ends, so that other commands are not delayed.
const BATCH: usize = 500;

/// Increments a counter and sets its expiry in one step: a counter without expiry would lock its user out for ever.
const INCREMENT: &str = "local sum = redis.call('INCR', KEYS[1])
    if sum == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
    return sum";

/// Writes a session and its entries in the lists in one step. It also removes a few expired entries, so that lists stay
/// short and no single opening takes long. A list lives as long as its longest session.
const OPEN: &str = "redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
    for at = 2, 3 do
        local ended = redis.call('ZRANGEBYSCORE', KEYS[at], '-inf', ARGV[5], 'LIMIT', 0, 16)
        if #ended > 0 then redis.call('ZREM', KEYS[at], unpack(ended)) end
        redis.call('ZADD', KEYS[at], ARGV[3], ARGV[4])
        if redis.call('PTTL', KEYS[at]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[at], ARGV[2]) end
    end";

/// Deletes a session and its entry in the tenant's list, and returns its record.
const END: &str = "local record = redis.call('GET', KEYS[1])
    redis.call('ZREM', KEYS[2], ARGV[1])
    if record then redis.call('DEL', KEYS[1]) end
    return record";

/// Writes with the commands that requests need, and leaves no key. A server that is out of memory or a replica, or whose
/// user lacks one of the commands, refuses it, where it would respond to PING.
const PROBE: &str = "redis.call('SET', KEYS[1], '1', 'PX', 1000)
    redis.call('GET', KEYS[1])
    redis.call('ZADD', KEYS[2], 1, 'probe')
    redis.call('PEXPIRE', KEYS[2], 1000)
    redis.call('ZREM', KEYS[2], 'probe')
    redis.call('DEL', KEYS[1])
    return 1";

/// No tenant has this name.
const PROBE_TENANT: &str = "-";

/// A store in Redis. It has one connection (in a cluster: one per node), on which the commands of all callers are pipelined,
/// and reconnects by itself. While it is not connected, operations fail immediately with [`Error::Unavailable`].
///
/// Sessions are cached while Redis sends invalidations. In a cluster nothing is cached: each read goes to its node.
pub struct Redis {
    keys: Arc<Keys>,
    connections: Arc<ConnectionManager>,
    cache: Arc<SessionCache>,
    _keeper: JoinSet<()>,
}

impl Redis {
    /// Connects, or keeps trying to. All keys start with `prefix`. `ca` holds, as PEM, the CAs to trust instead of the
    /// system's.
    ///
    /// # Errors
    /// Where the URL is malformed or the CAs are unreadable. The text does not hold the URL.
    pub async fn open(url: &SecretString, ca: Option<&[u8]>, prefix: &str) -> Result<Self> {
        let address = RedisAddress::parse(url.expose_secret(), ca, CONNECT_TIMEOUT, NODE_TIMEOUT).ok_or_else(|| {
            Error::unavailable(
                "the URL of the session store is not like redis://user:password@host:6379/0, \
                redis+sentinel://host:26379,host:26379/primary/0 or redis+cluster://host:6379,host:6379, \
                or its CA file holds no certificates",
            )
        })?;
        let keys = Arc::new(Keys::new(prefix));
        let cache = Arc::new(SessionCache::new());
        let connections = Arc::new(ConnectionManager::new(DeadlineBreaker::new(NAME, DEADLINE, up_gauge(NAME))));
        let (sender, first_attempt) = tokio::sync::oneshot::channel();
        let mut keeper = JoinSet::new();
        keeper.spawn(keep_connected(address, connections.clone(), cache.clone(), keys.clone(), sender));
        // The first operation is not refused for want of a connection. If the attempt fails, that operation reports it.
        let _ = first_attempt.await;
        Ok(Self { keys, connections, cache, _keeper: keeper })
    }

    /// Runs a command on the current connection, within the deadline.
    async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        let operation = async {
            let mut connection = self.connections.connection()?;
            connection.query(command).await.map_err(|e| self.connections.failure(&e))
        };
        self.connections.breaker.run(operation).await
    }
}

/// A script with its keys; the arguments follow. The script is sent in full and not by its hash, which a new primary may not
/// know.
fn eval(script: &str, keys: &[String]) -> Cmd {
    let mut command = cmd("EVAL");
    command.arg(script).arg(keys.len()).arg(keys);
    command
}

#[async_trait]
impl SessionStore for Redis {
    async fn open(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<()> {
        let Some(ttl) = millis_until(session.expires_at) else {
            return self.end(tenant, token).await.map(|_| ());
        };
        let now = unix_millis_i64();
        let keys = [
            self.keys.session(tenant, token),
            self.keys.sessions_of_identity(tenant, &session.platform, &session.openid),
            self.keys.sessions_of_tenant(tenant),
        ];
        let mut command = eval(OPEN, &keys);
        command.arg(session_record::encode(&session)?).arg(ttl).arg(now.saturating_add(ttl)).arg(token.hex()).arg(now);
        let opened = self.query(&command).await;
        // Redis sends an invalidation too, but the caller may read again before it arrives.
        self.cache.invalidate(tenant, token);
        opened
    }

    async fn find(&self, tenant: &str, token: &TokenHash) -> Result<Option<Arc<Session>>> {
        if let Some(session) = self.cache.get(tenant, token) {
            return Ok(Some(session));
        }
        // Before the connection is taken: a version that was read on one connection is stale on the next.
        let version = self.cache.version(tenant, token);
        let Some(bytes) = self.query::<Option<Vec<u8>>>(cmd("GET").arg(self.keys.session(tenant, token))).await? else {
            return Ok(None);
        };
        let session = Arc::new(session_record::decode(&bytes)?);
        // The server's clock may be behind this one.
        if session.expires_at <= unix_seconds() {
            return Ok(None);
        }
        self.cache.insert(version, tenant, token, &session);
        Ok(Some(session))
    }

    async fn replace(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<bool> {
        let Some(ttl) = millis_until(session.expires_at) else { return Ok(false) };
        let mut set = cmd("SET");
        set.arg(self.keys.session(tenant, token)).arg(session_record::encode(&session)?).arg("XX").arg("PX").arg(ttl);
        let set = self.query(&set).await.map(|set: Option<String>| set.is_some());
        self.cache.invalidate(tenant, token);
        set
    }

    async fn end(&self, tenant: &str, token: &TokenHash) -> Result<bool> {
        let keys = [self.keys.session(tenant, token), self.keys.sessions_of_tenant(tenant)];
        let ended: Result<Option<Vec<u8>>> = self.query(eval(END, &keys).arg(token.hex())).await;
        self.cache.invalidate(tenant, token);
        let Some(bytes) = ended? else { return Ok(false) };
        if let Ok(session) = session_record::decode(&bytes) {
            let list = self.keys.sessions_of_identity(tenant, &session.platform, &session.openid);
            // Where this fails, the next `list` for this identity removes the entry.
            let _: Result<u64> = self.query(cmd("ZREM").arg(list).arg(token.hex())).await;
        }
        Ok(true)
    }

    async fn count(&self, tenant: &str) -> Result<u64> {
        let from = format!("({}", unix_millis_i64());
        self.query(cmd("ZCOUNT").arg(self.keys.sessions_of_tenant(tenant)).arg(from).arg("+inf")).await
    }

    async fn list(&self, tenant: &str, platform: &str, openid: &str) -> Result<Vec<(TokenHash, Arc<Session>)>> {
        let list = self.keys.sessions_of_identity(tenant, platform, openid);
        let tokens: Vec<String> = self.query(cmd("ZREVRANGE").arg(&list).arg(0).arg(MAX_LISTED - 1)).await?;
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let mut read = cmd("MGET");
        for token in &tokens {
            read.arg(self.keys.session_named(tenant, token));
        }
        let records: Vec<Option<Vec<u8>>> = self.query(&read).await?;
        let (mut found, mut stale) = (Vec::new(), cmd("ZREM"));
        stale.arg(&list);
        for (token, record) in tokens.iter().zip(&records) {
            match (TokenHash::from_hex(token), record) {
                (Some(hash), Some(bytes)) => found.push((hash, Arc::new(session_record::decode(bytes)?))),
                _ => drop(stale.arg(token)),
            }
        }
        if found.len() < tokens.len() {
            // A failure is harmless: the next call removes the entries.
            let _: Result<u64> = self.query(&stale).await;
        }
        found.retain(|(_, session)| session.expires_at > unix_seconds());
        found.sort_by_key(|(_, session)| std::cmp::Reverse(session.created_at));
        Ok(found)
    }

    async fn end_all(&self, tenant: &str) -> Result<u64> {
        let list = self.keys.sessions_of_tenant(tenant);
        let mut ended = 0;
        loop {
            let tokens: Vec<String> = self.query(cmd("ZRANGE").arg(&list).arg(0).arg(BATCH - 1)).await?;
            if tokens.is_empty() {
                return Ok(ended);
            }
            let (mut sessions, mut listed) = (cmd("DEL"), cmd("ZREM"));
            listed.arg(&list).arg(&tokens);
            for token in &tokens {
                sessions.arg(self.keys.session_named(tenant, token));
            }
            let deleted = self.query::<u64>(&sessions).await;
            for token in tokens.iter().filter_map(|token| TokenHash::from_hex(token)) {
                self.cache.invalidate(tenant, &token);
            }
            ended += deleted?;
            self.query::<u64>(&listed).await?;
        }
    }
}

#[async_trait]
impl EphemeralKv for Redis {
    async fn claim(&self, tenant: &str, key: &str, value: &[u8], ttl: Duration) -> Result<bool> {
        let ttl = clamped_millis(ttl);
        let mut set = cmd("SET");
        set.arg(self.keys.ephemeral(tenant, key)).arg(value).arg("NX").arg("PX").arg(ttl);
        let set: Option<String> = self.query(&set).await?;
        Ok(set.is_some())
    }

    async fn put(&self, tenant: &str, key: &str, value: &[u8], ttl: Duration) -> Result<()> {
        let ttl = clamped_millis(ttl);
        self.query(cmd("SET").arg(self.keys.ephemeral(tenant, key)).arg(value).arg("PX").arg(ttl)).await
    }

    async fn get(&self, tenant: &str, key: &str) -> Result<Option<Vec<u8>>> {
        self.query(cmd("GET").arg(self.keys.ephemeral(tenant, key))).await
    }

    async fn remove(&self, tenant: &str, key: &str) -> Result<()> {
        self.query(cmd("DEL").arg(self.keys.ephemeral(tenant, key))).await.map(|_: u64| ())
    }

    async fn increment(&self, tenant: &str, key: &str, window: Duration) -> Result<u64> {
        let key = self.keys.ephemeral(tenant, key);
        self.query(eval(INCREMENT, &[key]).arg(clamped_millis(window))).await
    }

    async fn ping(&self) -> Result<()> {
        let keys = [self.keys.ephemeral(PROBE_TENANT, "readiness"), self.keys.sessions_of_tenant(PROBE_TENANT)];
        self.query(&eval(PROBE, &keys)).await.map(|_: i64| ())
    }
}
