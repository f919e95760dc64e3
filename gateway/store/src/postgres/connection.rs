//! The connections to PostgreSQL. One task keeps them open, and applies the notifications of other replicas.

use super::{error::describe, invalidation::Invalidation, notice::CHANNEL, schema};
use crate::deadline_breaker::{DeadlineBreaker, Outcome, StoreFailure};
use arc_swap::ArcSwapOption;
use sqlx::{
    ConnectOptions, Connection, PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

/// Maximum time of an operation.
pub(super) const DEADLINE: Duration = Duration::from_millis(700);
/// Maximum number of connections of one gateway; one of them listens.
const CONNECTIONS: u32 = 16;
/// Maximum time of connecting, handshake included.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(700);
/// Maximum time of the migration of the tables, including the wait for another replica that migrates them.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60);
/// Pause between two attempts to connect.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// Interval at which the listening connection is checked while no notification arrives.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Idle time after which a connection is checked before it is used.
const MAX_UNCHECKED_IDLE: Duration = Duration::from_secs(1);

/// The current connection pool, if there is one, and the breaker of the store.
pub(super) struct ConnectionManager {
    current: ArcSwapOption<PgPool>,
    pub breaker: DeadlineBreaker,
}

impl ConnectionManager {
    pub fn new(breaker: DeadlineBreaker) -> Self {
        Self { current: ArcSwapOption::empty(), breaker }
    }

    /// The current connection pool.
    pub fn pool(&self) -> Outcome<PgPool> {
        self.current.load().as_deref().cloned().ok_or_else(|| StoreFailure::Down("not connected".into()))
    }
}

/// Keeps `manager` connected; never returns. `first_attempt` is sent after the first attempt to connect.
pub(super) async fn keep_connected(
    options: PgConnectOptions,
    manager: Arc<ConnectionManager>,
    invalidation: Arc<Invalidation>,
    first_attempt: oneshot::Sender<()>,
) {
    let mut first_attempt = Some(first_attempt);
    invalidation.notifications_down();
    loop {
        match connect(&options).await {
            Ok((pool, listener)) => {
                tracing::debug!("connected to PostgreSQL");
                // What was read while no notifications arrived is not cached.
                invalidation.notifications_up();
                manager.current.store(Some(Arc::new(pool)));
                manager.breaker.force_close();
                first_attempt.take().map(|sender| sender.send(()));
                let reason = listen(listener, &invalidation).await;
                // The other connections may still work: they stay in use, without the cache, until the reconnection.
                invalidation.notifications_down();
                tracing::info!(reason, "lost the connection for PostgreSQL notifications; reconnecting");
            }
            Err(reason) => {
                manager.breaker.force_open(&reason);
                manager.current.store(None);
                first_attempt.take().map(|sender| sender.send(()));
            }
        }
        sleep(RETRY_DELAY).await;
    }
}

/// New connections to migrated tables, one of them listening.
async fn connect(options: &PgConnectOptions) -> std::result::Result<(PgPool, PgListener), String> {
    let failed = |e: sqlx::Error| describe(&e);
    let timed_out = |_| format!("no connection within {} ms", CONNECT_TIMEOUT.as_millis());

    let checked = async {
        let mut first = options.connect().await?;
        // A standby would return stale data and refuse logins.
        if sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut first).await? {
            return Err(sqlx::Error::Configuration("it is a standby, which takes no writes".into()));
        }
        let is_current = schema::is_current(&mut first).await?;
        Ok::<_, sqlx::Error>((first, is_current))
    };
    let (mut first, is_current) = timeout(CONNECT_TIMEOUT, checked).await.map_err(timed_out)?.map_err(failed)?;
    if !is_current {
        let migrated = timeout(MIGRATION_TIMEOUT, schema::migrate(&mut first)).await;
        migrated.map_err(|_| "its tables were not migrated in time")?.map_err(failed)?;
    }
    // The connection is not used any more; an error of closing it does not matter.
    let _ = timeout(CONNECT_TIMEOUT, first.close()).await;

    let limits = [
        // PostgreSQL cancels statements that have outlived their deadline.
        ("statement_timeout", DEADLINE.as_millis().to_string()),
        // A gateway that freezes within a transaction must not block the others by its locks.
        ("idle_in_transaction_session_timeout", "5000".to_owned()),
    ];
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(DEADLINE)
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move {
                if idle.idle_for > MAX_UNCHECKED_IDLE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options.clone().options(limits));
    let listening = async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    };
    let listener = timeout(CONNECT_TIMEOUT, listening).await.map_err(timed_out)?.map_err(failed)?;
    Ok((pool, listener))
}

/// Applies notifications. Returns the reason when the connection is no longer usable.
async fn listen(mut listener: PgListener, invalidation: &Invalidation) -> String {
    loop {
        match timeout(HEARTBEAT, listener.try_recv()).await {
            Ok(Ok(Some(notification))) => invalidation.on_notice(notification.payload()),
            Ok(Ok(None)) => return "the connection was closed".into(),
            Ok(Err(e)) => return describe(&e),
            // No notification arrived: check the connection.
            Err(_) => match timeout(DEADLINE, sqlx::query("SELECT 1").execute(&mut listener)).await {
                Ok(Ok(_)) => {}
                Ok(Err(e)) => return describe(&e),
                Err(_) => return format!("no response within {} ms", DEADLINE.as_millis()),
            },
        }
    }
}
