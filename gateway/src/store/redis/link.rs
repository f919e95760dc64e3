//! The connection to Redis: kept by one task, which renews it and has the cache follow what Redis tracks for us.

use super::{
    super::{Error, Result, cache::SessionCache},
    DEADLINE,
    keys::Keys,
};
use ::redis::{
    AsyncConnectionConfig, Client, ErrorKind, PushInfo, PushKind, RedisError, ServerErrorKind, Value,
    aio::MultiplexedConnection, cmd,
};
use arc_swap::ArcSwap;
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
/// Commands that may wait to be written.
const QUEUE: usize = 1024;

/// The current connection, or why there is none.
pub(super) struct Link {
    state: ArcSwap<State>,
    /// Told when the server turns out to be a replica.
    demoted: Notify,
}

enum State {
    Up(MultiplexedConnection),
    Down(String),
}

impl Link {
    pub fn new() -> Self {
        Self { state: ArcSwap::from_pointee(State::Down("not connected yet".into())), demoted: Notify::new() }
    }

    /// The current connection.
    pub fn connection(&self) -> Result<MultiplexedConnection> {
        match &**self.state.load() {
            State::Up(connection) => Ok(connection.clone()),
            State::Down(reason) => Err(Error::Unavailable(format!("Redis: {reason}"))),
        }
    }

    /// An error in our words.
    pub fn unserved(&self, error: &RedisError) -> Error {
        match error.kind() {
            ErrorKind::UnexpectedReturnType | ErrorKind::Parse => {
                Error::Corrupt("Redis holds something else under this key".into())
            }
            kind => {
                // What was the master before a failover refuses to write: connect anew, to who is master now.
                if kind == ErrorKind::Server(ServerErrorKind::ReadOnly) {
                    self.demoted.notify_one();
                }
                Error::Unavailable(format!("Redis: {}", told(error)))
            }
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
    let mut reported = String::new();
    cache.pause();
    loop {
        let reason = match connect(&client, &cache, &keys).await {
            Ok((connection, tracking, closed)) => {
                reported.clear();
                tracing::info!(tracking, "connected to Redis");
                // Only in this order, and the reverse one below, is a ticket void once its connection is gone.
                if tracking {
                    cache.resume();
                }
                link.state.store(Arc::new(State::Up(connection.clone())));
                tried.take().map(|tried| tried.send(()));
                watch(connection, &link.demoted, &closed).await
            }
            Err(e) => told(&e),
        };
        link.state.store(Arc::new(State::Down(reason.clone())));
        cache.pause();
        tried.take().map(|tried| tried.send(()));
        if reason != reported {
            tracing::warn!(reason, "no connection to Redis; trying again");
            reported = reason;
        }
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
    Ok((connection, tracking, closed))
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
