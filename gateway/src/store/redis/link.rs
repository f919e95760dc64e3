//! The connection to Redis: kept by one task, which renews it and has the cache follow what Redis tracks for us.

use super::{
    super::{
        cache::SessionCache,
        guard::{Failure, Guard, Outcome},
    },
    DEADLINE,
    keys::Keys,
};
use ::redis::{
    AsyncConnectionConfig, Client, ErrorKind, PushInfo, PushKind, RedisError, ServerErrorKind, Value,
    aio::MultiplexedConnection, cmd, from_redis_value_ref,
};
use arc_swap::ArcSwapOption;
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, oneshot},
    time::{sleep, timeout},
};

/// How long a connection may take, greetings and all.
const CONNECT: Duration = Duration::from_millis(300);
/// How long between two tries to connect.
const RETRY: Duration = Duration::from_millis(100);
/// How often an open connection is tried. With [`ALIVE`] this bounds for how long a frozen Redis goes unnoticed, and so
/// for how long what is cached may be served without it.
const BEAT: Duration = Duration::from_millis(200);
/// How long the answer to a beat may take.
const ALIVE: Duration = Duration::from_millis(500);
/// Why a server that is none's primary does not serve us.
const REPLICA: &str = "it is a replica, which takes no writes";
/// Commands that may wait to be written.
const QUEUE: usize = 1024;

/// The current connection, if there is one, and the guard of the store.
pub(super) struct Link {
    current: ArcSwapOption<MultiplexedConnection>,
    pub guard: Guard,
    /// Told when the server turns out to be a replica.
    demoted: Notify,
}

impl Link {
    pub fn new(guard: Guard) -> Self {
        Self { current: ArcSwapOption::empty(), guard, demoted: Notify::new() }
    }

    /// The current connection.
    pub fn connection(&self) -> Outcome<MultiplexedConnection> {
        let current = self.current.load();
        current.as_deref().cloned().ok_or_else(|| Failure::Away("not connected".into()))
    }

    /// An error in our words.
    pub fn failure(&self, error: &RedisError) -> Failure {
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
    client: Client,
    link: Arc<Link>,
    cache: Arc<SessionCache>,
    keys: Arc<Keys>,
    tried: oneshot::Sender<()>,
) {
    let mut tried = Some(tried);
    cache.pause();
    loop {
        let reason = match connect(&client, &cache, &keys).await {
            Ok((connection, tracking, closed)) => {
                tracing::debug!(tracking, "connected to Redis");
                // Only in this order, and the reverse one below, is a ticket void once its connection is gone.
                if tracking {
                    cache.resume();
                }
                link.current.store(Some(Arc::new(connection.clone())));
                link.guard.back();
                tried.take().map(|tried| tried.send(()));
                watch(connection, &link.demoted, &closed).await
            }
            Err(e) => told(&e),
        };
        link.guard.away(&reason);
        link.current.store(None);
        cache.pause();
        tried.take().map(|tried| tried.send(()));
        sleep(RETRY).await;
    }
}

type Connected = (MultiplexedConnection, bool, Arc<Notify>);

/// A connection, whether Redis tracks on it what we read, and who tells when it is closed.
async fn connect(
    client: &Client,
    cache: &Arc<SessionCache>,
    keys: &Arc<Keys>,
) -> std::result::Result<Connected, RedisError> {
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
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let tracking = match cmd("CLIENT").arg("TRACKING").arg("ON").exec_async(&mut connection).await {
        Ok(()) => true,
        // Some hosted services don't allow it: then every session is read anew.
        Err(e) if e.code().is_some() => false,
        Err(e) => return Err(e),
    };
    // One that loads its data or has no primary greets as if nothing were wrong.
    cmd("PING").exec_async(&mut connection).await?;
    match cmd("ROLE").query_async::<Vec<Value>>(&mut connection).await {
        Ok(role) if is_replica(&role) => Err((ErrorKind::Client, REPLICA).into()),
        Err(e) if e.code().is_none() => Err(e),
        // Who may not ask is told by the first write.
        _ => Ok((connection, tracking, closed)),
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
        ErrorKind::Client if error.detail().is_none() => REPLICA.into(),
        ErrorKind::AuthenticationFailed => "it refused the credentials".into(),
        ErrorKind::RESP3NotSupported => "it is older than Redis 6, which is needed for RESP3".into(),
        kind => format!("{kind:?}"),
    }
}
