//! The connection to Redis. One task keeps it open, finds a new primary, and invalidates cached sessions that have changed.

use super::{
    address::RedisAddress,
    error::{describe, failure, is_read_only},
    keys::Keys,
    sentinel::Sentinels,
};
use crate::{
    cache::SessionCache,
    deadline_breaker::{DeadlineBreaker, Outcome, StoreFailure},
};
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, PushInfo, PushKind, RedisError, Value,
    aio::MultiplexedConnection, cluster::ClusterClient, cluster_async::ClusterConnection, cmd, from_redis_value_ref,
};
use arc_swap::ArcSwapOption;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, oneshot},
    time::{sleep, timeout},
};

/// Maximum time of an operation.
pub(super) const DEADLINE: Duration = Duration::from_millis(400);
/// Maximum time of connecting to a server, handshake included.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_millis(300);
/// Maximum time of connecting to a cluster, whose nodes are tried one after another.
const CLUSTER_CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Pause between two attempts to connect.
const RETRY_DELAY: Duration = Duration::from_millis(100);
/// Interval of PINGs on an open connection. Together with [`HEARTBEAT_TIMEOUT`] it bounds for how long cached sessions are
/// served while Redis is frozen.
const HEARTBEAT: Duration = Duration::from_millis(200);
/// Maximum time of the response to a PING.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_millis(500);
/// Interval at which the Sentinels are asked for the primary. It bounds for how long a server that was cut off from them is
/// used as the primary.
const SENTINEL_INTERVAL: Duration = Duration::from_secs(1);
/// Number of consecutive PINGs that may fail in a cluster; each goes to another node.
const MAX_MISSED_HEARTBEATS: u32 = 3;
/// Maximum number of commands that wait to be written.
const QUEUE: usize = 1024;

/// The current connection, if there is one, and the breaker of the store.
pub(super) struct ConnectionManager {
    current: ArcSwapOption<Connection>,
    pub breaker: DeadlineBreaker,
    /// Notified when the server turns out to be a replica.
    demoted: Notify,
}

/// A connection. Clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    Single(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Sends a command and waits for the response.
    pub async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> std::result::Result<T, RedisError> {
        match self {
            Self::Single(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

impl ConnectionManager {
    pub fn new(breaker: DeadlineBreaker) -> Self {
        Self { current: ArcSwapOption::empty(), breaker, demoted: Notify::new() }
    }

    /// The current connection.
    pub fn connection(&self) -> Outcome<Connection> {
        let current = self.current.load();
        current.as_deref().cloned().ok_or_else(|| StoreFailure::Down("not connected".into()))
    }

    /// Translates an error of the current connection.
    pub fn failure(&self, error: &RedisError) -> StoreFailure {
        if is_read_only(error) {
            // After a failover the former primary refuses writes: reconnect, to the new primary.
            self.demoted.notify_one();
        }
        let is_cluster = matches!(self.current.load().as_deref(), Some(Connection::Cluster(_)));
        match failure(error) {
            // The failure of one node says nothing about the others. `watch_cluster` finds out when all are down.
            StoreFailure::Down(reason) if is_cluster => StoreFailure::Refused(reason),
            failure => failure,
        }
    }
}

/// Keeps `manager` connected; never returns. `first_attempt` is sent after the first attempt to connect.
pub(super) async fn keep_connected(
    address: RedisAddress,
    manager: Arc<ConnectionManager>,
    cache: Arc<SessionCache>,
    keys: Arc<Keys>,
    first_attempt: oneshot::Sender<()>,
) {
    let mut first_attempt = Some(first_attempt);
    cache.pause();
    loop {
        let reason = match connect(&address, &cache, &keys).await {
            Ok(Connected { connection, tracking, closed, host }) => {
                tracing::debug!(tracking, host, "connected to Redis");
                // The cache is resumed before the connection is published, and paused after it is withdrawn: a version that
                // was read on one connection is stale on the next.
                if tracking {
                    cache.resume();
                }
                manager.current.store(Some(Arc::new(connection.clone())));
                manager.breaker.force_close();
                first_attempt.take().map(|sender| sender.send(()));
                match (&connection, &address) {
                    (Connection::Single(single), RedisAddress::Sentinels(sentinels)) => tokio::select! {
                        reason = watch(single.clone(), &manager.demoted, &closed) => reason,
                        reason = watch_sentinels(sentinels, &host) => reason,
                    },
                    (Connection::Single(single), _) => watch(single.clone(), &manager.demoted, &closed).await,
                    (Connection::Cluster(cluster), _) => watch_cluster(cluster.clone()).await,
                }
            }
            Err(reason) => reason,
        };
        manager.breaker.force_open(&reason);
        manager.current.store(None);
        cache.pause();
        first_attempt.take().map(|sender| sender.send(()));
        sleep(RETRY_DELAY).await;
    }
}

/// A new connection to the primary or the cluster.
struct Connected {
    connection: Connection,
    /// Whether Redis tracks the keys that are read on it.
    tracking: bool,
    /// Notified when the connection is closed.
    closed: Arc<Notify>,
    /// The server's `host:port`, where Sentinels named it.
    host: String,
}

/// Connects to the primary or the cluster. The error says why that failed.
async fn connect(
    address: &RedisAddress,
    cache: &Arc<SessionCache>,
    keys: &Arc<Keys>,
) -> std::result::Result<Connected, String> {
    match address {
        RedisAddress::Single(client) => connect_to(client, cache, keys, String::new()).await,
        RedisAddress::Sentinels(sentinels) => {
            let mut reason = "no Sentinel names a primary".to_owned();
            for named in sentinels.primaries().await {
                let Some(client) = sentinels.client(&named.host) else { continue };
                match connect_to(&client, cache, keys, named.host).await {
                    Ok(connected) => return Ok(connected),
                    Err(failed) => reason = failed,
                }
            }
            Err(reason)
        }
        RedisAddress::Cluster(client) => connect_cluster(client).await,
    }
}

/// Connects to a cluster. Its nodes do not track keys: one connection cannot know which node would send an invalidation. So
/// nothing is cached.
async fn connect_cluster(client: &ClusterClient) -> std::result::Result<Connected, String> {
    let timed_out = |_| format!("no connection within {} ms", CLUSTER_CONNECT_TIMEOUT.as_millis());
    let connected = timeout(CLUSTER_CONNECT_TIMEOUT, client.get_async_connection()).await;
    let mut cluster = connected.map_err(timed_out)?.map_err(|e| describe(&e))?;
    let pinged = timeout(HEARTBEAT_TIMEOUT, cmd("PING").exec_async(&mut cluster)).await;
    pinged.map_err(timed_out)?.map_err(|e| describe(&e))?;
    let connection = Connection::Cluster(cluster);
    Ok(Connected { connection, tracking: false, closed: Arc::default(), host: String::new() })
}

/// Connects to a server, and checks that it is a primary and serves.
async fn connect_to(
    client: &Client,
    cache: &Arc<SessionCache>,
    keys: &Arc<Keys>,
    host: String,
) -> std::result::Result<Connected, String> {
    let closed = Arc::new(Notify::new());
    let (cache, keys, closing) = (Arc::clone(cache), Arc::clone(keys), Arc::clone(&closed));
    // Runs on the connection's own task, in the order in which Redis sent: an invalidation is applied before any response
    // that follows it is returned to its caller.
    let on_push = move |push: PushInfo| {
        match push.kind {
            PushKind::Invalidate => invalidate(&cache, &keys, &push.data),
            PushKind::Disconnection => closing.notify_one(),
            _ => {}
        }
        Ok::<(), Infallible>(())
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(DEADLINE))
        .set_pipeline_buffer_size(QUEUE)
        .set_push_sender(on_push);
    let opened = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = opened.map_err(|e| describe(&e))?;
    let tracking = match cmd("CLIENT").arg("TRACKING").arg("ON").exec_async(&mut connection).await {
        Ok(()) => true,
        // Some hosted services do not permit it: then no session is cached.
        Err(e) if e.code().is_some() => false,
        Err(e) => return Err(describe(&e)),
    };
    // A server that loads its data, or lacks its primary, accepts connections but fails this PING.
    cmd("PING").exec_async(&mut connection).await.map_err(|e| describe(&e))?;
    match cmd("ROLE").query_async::<Vec<Value>>(&mut connection).await {
        Ok(role) if is_replica(&role) => Err("it is a replica, which takes no writes".into()),
        Err(e) if e.code().is_none() => Err(describe(&e)),
        // Where ROLE is not permitted, the first write shows whether the server is a replica.
        _ => Ok(Connected { connection: Connection::Single(connection), tracking, closed, host }),
    }
}

fn is_replica(role: &[Value]) -> bool {
    let name: Option<String> = role.first().and_then(|name| from_redis_value_ref(name).ok());
    name.is_some_and(|name| name != "master")
}

/// Returns the reason when the connection is no longer usable.
async fn watch(mut connection: MultiplexedConnection, demoted: &Notify, closed: &Notify) -> String {
    loop {
        tokio::select! {
            () = closed.notified() => return "the connection was closed".into(),
            () = demoted.notified() => return "it takes no writes".into(),
            () = sleep(HEARTBEAT) => {}
        }
        match timeout(HEARTBEAT_TIMEOUT, cmd("PING").exec_async(&mut connection)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return describe(&e),
            Err(_) => return format!("no response within {} ms", HEARTBEAT_TIMEOUT.as_millis()),
        }
    }
}

/// Returns the reason when the Sentinels name another primary, which the former one may not know yet.
async fn watch_sentinels(sentinels: &Sentinels, host: &str) -> String {
    loop {
        sleep(SENTINEL_INTERVAL).await;
        if sentinels.have_failed_over(host).await {
            return "the Sentinels name another primary".into();
        }
    }
}

/// Returns the reason when no node of a cluster responds. A single node that is down is replaced by the cluster, and the
/// client discovers the replacement by itself.
async fn watch_cluster(mut cluster: ClusterConnection) -> String {
    let mut missed = 0;
    loop {
        sleep(HEARTBEAT).await;
        let reason = match timeout(HEARTBEAT_TIMEOUT, cmd("PING").exec_async(&mut cluster)).await {
            Ok(Ok(())) => {
                missed = 0;
                continue;
            }
            Ok(Err(e)) => describe(&e),
            Err(_) => format!("no response within {} ms", HEARTBEAT_TIMEOUT.as_millis()),
        };
        missed += 1;
        if missed > MAX_MISSED_HEARTBEATS {
            return reason;
        }
    }
}

/// Applies `invalidate [key…]`, or `invalidate nil` after all keys were flushed.
fn invalidate(cache: &SessionCache, keys: &Keys, data: &[Value]) {
    for value in data {
        match value {
            Value::Array(names) => {
                for name in names {
                    if let Value::BulkString(name) = name
                        && let Some((tenant, token)) = keys.parse_session(name)
                    {
                        cache.invalidate(tenant, &token);
                    }
                }
            }
            _ => cache.clear(),
        }
    }
}
