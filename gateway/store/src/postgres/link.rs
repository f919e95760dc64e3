//! The connections to PostgreSQL: kept by one task, which renews them and has the cache follow the other replicas.

use super::{
    super::{
        cache::IdentityRef,
        guard::{Failure, Guard, Outcome},
    },
    DEADLINE,
    heard::Heard,
    schema, told,
};
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

/// Where replicas tell each other what to forget.
pub(super) const CHANNEL: &str = "menlou_users";
/// Connections per replica; one of them listens.
const CONNECTIONS: u32 = 16;
/// How long a connection may take, greetings and all.
const CONNECT: Duration = Duration::from_millis(700);
/// How long bringing the tables up to date may take, waiting for another replica that is at it included.
const MIGRATE: Duration = Duration::from_secs(60);
/// How long between two tries to connect.
const RETRY: Duration = Duration::from_millis(200);
/// How often the listening connection is tried while nothing comes.
const BEAT: Duration = Duration::from_millis(500);
/// How long a connection may have lain idle and still be used untried.
const FRESH: Duration = Duration::from_secs(1);

/// The current connections, if there are any, and the guard of the store.
pub(super) struct Link {
    current: ArcSwapOption<PgPool>,
    pub guard: Guard,
}

impl Link {
    pub fn new(guard: Guard) -> Self {
        Self { current: ArcSwapOption::empty(), guard }
    }

    /// The current connections.
    pub fn pool(&self) -> Outcome<PgPool> {
        self.current.load().as_deref().cloned().ok_or_else(|| Failure::Away("not connected".into()))
    }
}

/// What others must forget.
pub(super) enum Notice<'a> {
    /// Whose an openid is.
    Binding(IdentityRef<'a>),
    /// An account's name and picture.
    User(i64),
}

impl Notice<'_> {
    /// The text that is sent: `u7`, or `b["tenant","wechat","openid"]`.
    pub fn text(&self) -> String {
        match self {
            Self::Binding(IdentityRef { tenant, platform, openid }) => {
                format!("b{}", serde_json::json!([tenant, platform, openid]))
            }
            Self::User(id) => format!("u{id}"),
        }
    }
}

/// Keeps `link` connected for ever. `tried` is answered after the first attempt.
pub(super) async fn keep(options: PgConnectOptions, link: Arc<Link>, heard: Arc<Heard>, tried: oneshot::Sender<()>) {
    let mut tried = Some(tried);
    heard.pause();
    loop {
        match connect(&options).await {
            Ok((pool, listener)) => {
                tracing::debug!("connected to PostgreSQL");
                // What was read before this, when nobody listened, is not kept.
                heard.resume();
                link.current.store(Some(Arc::new(pool)));
                link.guard.force_close();
                tried.take().map(|tried| tried.send(()));
                let reason = listen(listener, &heard).await;
                // The other connections may still be good: they serve on, past the cache, while we try to reconnect.
                heard.pause();
                tracing::info!(reason, "lost the connection that hears of changes in PostgreSQL; reconnecting");
            }
            Err(reason) => {
                link.guard.force_open(&reason);
                link.current.store(None);
                tried.take().map(|tried| tried.send(()));
            }
        }
        sleep(RETRY).await;
    }
}

/// New connections to up-to-date tables, one of them listening.
async fn connect(options: &PgConnectOptions) -> std::result::Result<(PgPool, PgListener), String> {
    let told = |e: sqlx::Error| told(&e);
    let silent = |_| format!("no connection within {} ms", CONNECT.as_millis());

    let checked = async {
        let mut first = options.connect().await?;
        // It would serve what was true a while ago, and take no log-ins.
        if sqlx::query_scalar("SELECT pg_is_in_recovery()").fetch_one(&mut first).await? {
            return Err(sqlx::Error::Configuration("it is a standby, which takes no writes".into()));
        }
        let current = schema::is_current(&mut first).await?;
        Ok::<_, sqlx::Error>((first, current))
    };
    let (mut first, current) = timeout(CONNECT, checked).await.map_err(silent)?.map_err(told)?;
    if !current {
        let migrated = timeout(MIGRATE, schema::migrate(&mut first)).await;
        migrated.map_err(|_| "its tables could not be brought up to date in time")?.map_err(told)?;
    }
    // It has done its work; how it ends does not matter.
    let _ = timeout(CONNECT, first.close()).await;

    let limits = [
        // PostgreSQL itself ends what nobody waits for any more.
        ("statement_timeout", DEADLINE.as_millis().to_string()),
        // A replica that is frozen in the middle of a transaction must not lock the others out.
        ("idle_in_transaction_session_timeout", "5000".to_owned()),
    ];
    let pool = PgPoolOptions::new()
        .max_connections(CONNECTIONS)
        .acquire_timeout(DEADLINE)
        .test_before_acquire(false)
        .before_acquire(|connection, idle| {
            Box::pin(async move {
                if idle.idle_for > FRESH {
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
    let listener = timeout(CONNECT, listening).await.map_err(silent)?.map_err(told)?;
    Ok((pool, listener))
}

/// Heeds notices until the connection is no good any more; gives the reason.
async fn listen(mut listener: PgListener, heard: &Heard) -> String {
    loop {
        match timeout(BEAT, listener.try_recv()).await {
            Ok(Ok(Some(notice))) => heed(heard, notice.payload()),
            Ok(Ok(None)) => return "the connection was closed".into(),
            Ok(Err(e)) => return told(&e),
            // Nothing came: is it still there?
            Err(_) => match timeout(DEADLINE, sqlx::query("SELECT 1").execute(&mut listener)).await {
                Ok(Ok(_)) => {}
                Ok(Err(e)) => return told(&e),
                Err(_) => return format!("no answer within {} ms", DEADLINE.as_millis()),
            },
        }
    }
}

fn heed(heard: &Heard, notice: &str) {
    if let Some(id) = notice.strip_prefix('u').and_then(|id| id.parse().ok()) {
        heard.user(id);
    } else if let Some(names) = notice.strip_prefix('b')
        && let Ok([tenant, platform, openid]) = serde_json::from_str::<[String; 3]>(names)
    {
        heard.binding(&IdentityRef { tenant: &tenant, platform: &platform, openid: &openid });
    } else {
        // Another release's words: forget all rather than the wrong thing.
        heard.something();
    }
}
