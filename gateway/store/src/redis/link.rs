//! The connection to Redis: kept by one task, which renews it, finds the primary anew, and has the cache follow what
//! Redis tracks for us.

use super::{
    super::{
        cache::SessionCache,
        guard::{Failure, Guard, Outcome},
    },
    DEADLINE,
    address::Place,
    keys::Keys,
    sentinel::Sentinels,
};
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, PushInfo, PushKind, RedisError, ServerErrorKind,
    Value, aio::MultiplexedConnection, cluster::ClusterClient, cluster_async::ClusterConnection, cmd,
    from_redis_value_ref,
};
use arc_swap::ArcSwapOption;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, oneshot},
    time::{sleep, timeout},
};

/// How long a connection may take, greetings and all.
pub(super) const CONNECT: Duration = Duration::from_millis(300);
/// How long connecting to a cluster may take: it asks its nodes one after another.
const JOIN: Duration = Duration::from_secs(2);
/// How long between two tries to connect.
const RETRY: Duration = Duration::from_millis(100);
/// How often an open connection is tried. With [`ALIVE`] this bounds for how long a frozen Redis goes unnoticed, and so
/// for how long what is cached may be served without it.
const BEAT: Duration = Duration::from_millis(200);
/// How long the answer to a beat may take.
const ALIVE: Duration = Duration::from_millis(500);
/// How often Sentinels are asked whether they name another primary: for so long one that was cut off from them may
/// still serve us.
const LOOK: Duration = Duration::from_secs(1);
/// So many beats in a row may get no answer from a cluster: each asks another node.
const MISSED: u32 = 3;
/// Commands that may wait to be written.
const QUEUE: usize = 1024;

/// The current connection, if there is one, and the guard of the store.
pub(super) struct Link {
    current: ArcSwapOption<Connection>,
    pub guard: Guard,
    /// Told when the server turns out to be a replica.
    demoted: Notify,
}

/// A connection; clones share it.
#[derive(Clone)]
pub(super) enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    pub async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> std::result::Result<T, RedisError> {
        match self {
            Self::One(connection) => command.query_async(connection).await,
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }
}

impl Link {
    pub fn new(guard: Guard) -> Self {
        Self { current: ArcSwapOption::empty(), guard, demoted: Notify::new() }
    }

    /// The current connection.
    pub fn connection(&self) -> Outcome<Connection> {
        let current = self.current.load();
        current.as_deref().cloned().ok_or_else(|| Failure::Away("not connected".into()))
    }

    /// An error in our words.
    pub fn failure(&self, error: &RedisError) -> Failure {
        let of_cluster = matches!(self.current.load().as_deref(), Some(Connection::Cluster(_)));
        match self.failure_of_one(error) {
            // A node's failure is no other node's: that a cluster as a whole is away is found by its keeper.
            Failure::Away(reason) if of_cluster => Failure::Refused(reason),
            failure => failure,
        }
    }

    fn failure_of_one(&self, error: &RedisError) -> Failure {
        match error.kind() {
            ErrorKind::UnexpectedReturnType | ErrorKind::Parse => {
                Failure::Corrupt("something else is held under this key".into())
            }
            ErrorKind::Server(ServerErrorKind::ReadOnly) => {
                // What was the primary before a failover refuses to write: connect anew, to who is primary now.
                self.demoted.notify_one();
                Failure::Away(told(error))
            }
            ErrorKind::Server(
                ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::ClusterDown,
            ) => Failure::Away(told(error)),
            ErrorKind::Server(_) | ErrorKind::Extension => Failure::Refused(told(error)),
            _ => Failure::Away(told(error)),
        }
    }
}

/// Keeps `link` connected for ever. `tried` is answered after the first attempt.
pub(super) async fn keep(
    place: Place,
    link: Arc<Link>,
    cache: Arc<SessionCache>,
    keys: Arc<Keys>,
    tried: oneshot::Sender<()>,
) {
    let mut tried = Some(tried);
    cache.pause();
    loop {
        let reason = match find(&place, &cache, &keys).await {
            Ok(Found { connection, tracking, closed, host }) => {
                tracing::debug!(tracking, host, "connected to Redis");
                // Only in this order, and the reverse one below, is a ticket void once its connection is gone.
                if tracking {
                    cache.resume();
                }
                link.current.store(Some(Arc::new(connection.clone())));
                link.guard.force_close();
                tried.take().map(|tried| tried.send(()));
                match (&connection, &place) {
                    (Connection::One(one), Place::Sentinels(sentinels)) => tokio::select! {
                        reason = watch(one.clone(), &link.demoted, &closed) => reason,
                        reason = left(sentinels, &host) => reason,
                    },
                    (Connection::One(one), _) => watch(one.clone(), &link.demoted, &closed).await,
                    (Connection::Cluster(cluster), _) => watch_cluster(cluster.clone()).await,
                }
            }
            Err(reason) => reason,
        };
        link.guard.force_open(&reason);
        link.current.store(None);
        cache.pause();
        tried.take().map(|tried| tried.send(()));
        sleep(RETRY).await;
    }
}

/// A connection to whoever serves now.
struct Found {
    connection: Connection,
    /// Whether Redis tracks on it what we read.
    tracking: bool,
    /// Told when it is closed.
    closed: Arc<Notify>,
    /// Where it leads, where Sentinels named that.
    host: String,
}

/// Connects to whoever serves now, or tells why nobody does.
async fn find(place: &Place, cache: &Arc<SessionCache>, keys: &Arc<Keys>) -> std::result::Result<Found, String> {
    match place {
        Place::One(client) => connect(client, cache, keys, String::new()).await,
        Place::Sentinels(sentinels) => {
            let mut reason = "no Sentinel names a primary".to_owned();
            for named in sentinels.ask().await {
                let Some(client) = sentinels.client(&named.host) else { continue };
                match connect(&client, cache, keys, named.host).await {
                    Ok(found) => return Ok(found),
                    Err(why) => reason = why,
                }
            }
            Err(reason)
        }
        Place::Cluster(client) => join(client).await,
    }
}

/// A connection to a cluster. Its nodes don't track for us: which of them would tell what is not for one connection to
/// know, so nothing is cached.
async fn join(client: &ClusterClient) -> std::result::Result<Found, String> {
    let late = |_| format!("no connection within {} ms", JOIN.as_millis());
    let mut cluster = timeout(JOIN, client.get_async_connection()).await.map_err(late)?.map_err(|e| told(&e))?;
    let pinged = timeout(ALIVE, cmd("PING").exec_async(&mut cluster)).await;
    pinged.map_err(late)?.map_err(|e| told(&e))?;
    let connection = Connection::Cluster(cluster);
    Ok(Found { connection, tracking: false, closed: Arc::default(), host: String::new() })
}

/// Returns when no node of a cluster answers any more. One that is away is the others' to replace, and the connection
/// finds out by itself; from time to time it is renewed all the same while its nodes do not answer.
async fn watch_cluster(mut cluster: ClusterConnection) -> String {
    let mut missed = 0;
    loop {
        sleep(BEAT).await;
        let reason = match timeout(ALIVE, cmd("PING").exec_async(&mut cluster)).await {
            Ok(Ok(())) => {
                missed = 0;
                continue;
            }
            Ok(Err(e)) => told(&e),
            Err(_) => format!("no answer within {} ms", ALIVE.as_millis()),
        };
        missed += 1;
        if missed > MISSED {
            return reason;
        }
    }
}

/// Returns when the Sentinels name another primary: the one of before may not know it yet.
async fn left(sentinels: &Sentinels, host: &str) -> String {
    loop {
        sleep(LOOK).await;
        if sentinels.have_left(host).await {
            return "the Sentinels name another primary".into();
        }
    }
}

/// A connection to a server that says that it is a primary and serves.
async fn connect(
    client: &Client,
    cache: &Arc<SessionCache>,
    keys: &Arc<Keys>,
    host: String,
) -> std::result::Result<Found, String> {
    let closed = Arc::new(Notify::new());
    let (cache, keys, closing) = (Arc::clone(cache), Arc::clone(keys), Arc::clone(&closed));
    // Called on the connection's own task, in the order in which Redis sent: an invalidation is heeded before any
    // answer behind it is handed out.
    let heed = move |push: PushInfo| {
        match push.kind {
            PushKind::Invalidate => invalidate(&cache, &keys, &push.data),
            PushKind::Disconnection => closing.notify_one(),
            _ => {}
        }
        Ok::<(), Infallible>(())
    };
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT))
        .set_response_timeout(Some(DEADLINE))
        .set_pipeline_buffer_size(QUEUE)
        .set_push_sender(heed);
    let opened = client.get_multiplexed_async_connection_with_config(&config).await;
    let mut connection = opened.map_err(|e| told(&e))?;
    let tracking = match cmd("CLIENT").arg("TRACKING").arg("ON").exec_async(&mut connection).await {
        Ok(()) => true,
        // Some hosted services don't allow it: then every session is read anew.
        Err(e) if e.code().is_some() => false,
        Err(e) => return Err(told(&e)),
    };
    // One that loads its data or has no primary greets as if nothing were wrong.
    cmd("PING").exec_async(&mut connection).await.map_err(|e| told(&e))?;
    match cmd("ROLE").query_async::<Vec<Value>>(&mut connection).await {
        Ok(role) if is_replica(&role) => Err("it is a replica, which takes no writes".into()),
        Err(e) if e.code().is_none() => Err(told(&e)),
        // Who may not ask is told by the first write.
        _ => Ok(Found { connection: Connection::One(connection), tracking, closed, host }),
    }
}

fn is_replica(role: &[Value]) -> bool {
    let name: Option<String> = role.first().and_then(|name| from_redis_value_ref(name).ok());
    name.is_some_and(|name| name != "master")
}

/// Returns when the connection is no good any more, with the reason.
async fn watch(mut connection: MultiplexedConnection, demoted: &Notify, closed: &Notify) -> String {
    loop {
        tokio::select! {
            () = closed.notified() => return "the connection was closed".into(),
            () = demoted.notified() => return "it takes no writes".into(),
            () = sleep(BEAT) => {}
        }
        match timeout(ALIVE, cmd("PING").exec_async(&mut connection)).await {
            Ok(Ok(())) => {}
            Ok(Err(e)) => return told(&e),
            Err(_) => return format!("no answer within {} ms", ALIVE.as_millis()),
        }
    }
}

/// Heeds `invalidate [key…]`, or `invalidate nil` where all keys were flushed.
fn invalidate(cache: &SessionCache, keys: &Keys, data: &[Value]) {
    for value in data {
        match value {
            Value::Array(names) => {
                for name in names {
                    if let Value::BulkString(name) = name
                        && let Some((tenant, token)) = keys.read_session(name)
                    {
                        cache.forget(tenant, &token);
                    }
                }
            }
            _ => cache.clear(),
        }
    }
}

/// What went wrong, without anything that a server's text may repeat of ours.
fn told(error: &RedisError) -> String {
    match error.kind() {
        _ if matches!(error.code(), Some("WRONGPASS" | "NOAUTH")) => "it refused the credentials".into(),
        ErrorKind::Server(_) | ErrorKind::Extension => format!("it answered {}", error.code().unwrap_or("an error")),
        ErrorKind::Io => error.to_string(),
        ErrorKind::AuthenticationFailed => "it refused the credentials".into(),
        ErrorKind::RESP3NotSupported => "it is older than Redis 6, which is needed for RESP3".into(),
        kind => format!("{kind:?}"),
    }
}
