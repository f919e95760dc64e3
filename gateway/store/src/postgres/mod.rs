//! Accounts and bindings in PostgreSQL, shared by all replicas.

mod accounts;
mod admins;
mod bind;
mod heard;
mod link;
mod replica;
mod schema;

use super::{
    AccountSelector, Error, Identity, PasswordCredentials, Result, User, UserStore,
    cache::{IdentityRef, UserCache},
    guard::{Failure, Guard},
};
use async_trait::async_trait;
use bind::{bind, plain};
use heard::Heard;
use link::{CHANNEL, Link, Notice};
use replica::Replica;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    FromRow, PgPool,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{future::Future, str::FromStr, sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};

/// How long an operation may take as a whole.
const DEADLINE: Duration = Duration::from_millis(700);
/// How long opening waits for the first attempt to connect and to bring the tables up to date.
const PATIENCE: Duration = Duration::from_secs(5);

/// A store in PostgreSQL. It connects and reconnects by itself; while it can't, it answers [`Error::Unavailable`] at
/// once. Its cache follows the changes of other replicas by LISTEN and NOTIFY, and is out of use while it can't.
pub struct Postgres {
    link: Arc<Link>,
    heard: Arc<Heard>,
    _keepers: JoinSet<()>,
}

#[derive(FromRow)]
struct UserRow {
    id: i64,
    name: String,
    avatar_url: String,
}

impl From<UserRow> for Arc<User> {
    fn from(UserRow { id, name, avatar_url }: UserRow) -> Self {
        Self::new(User { id, name, avatar_url })
    }
}

impl Postgres {
    /// Connects, or keeps trying to; makes the tables or brings them up to date, which several replicas may try at
    /// once. An error only where the URL is none; its text does not hold the URL.
    ///
    /// `ca` holds, as PEM, the CAs to trust in place of the system's; with it TLS is asked for and the server's name
    /// checked, unless the URL's `sslmode` says otherwise.
    ///
    /// Look-ups go to `replica`, a read-only replica of the same database, where there is one and its answers can't be
    /// overtaken.
    pub async fn open(url: &SecretString, replica: Option<&SecretString>, ca: Option<Vec<u8>>) -> Result<Self> {
        let options = options_of(url, &ca)?;
        let replica = match replica {
            Some(url) => Some(Arc::new(Replica::new(options_of(url, &ca)?))),
            None => None,
        };
        let heard = Arc::new(Heard { cache: UserCache::new(), replica: replica.clone() });
        let link = Arc::new(Link::new(Guard::new("PostgreSQL", DEADLINE)));
        let (tried, first_try) = oneshot::channel();
        let mut keepers = JoinSet::new();
        keepers.spawn(link::keep(options, Arc::clone(&link), Arc::clone(&heard), tried));
        if let Some(replica) = replica {
            keepers.spawn(replica::watch(replica, Arc::clone(&link)));
        }
        // So that who opens and asks at once is served. Whether it succeeded, the first question will tell.
        let _ = timeout(PATIENCE, first_try).await;
        Ok(Self { link, heard, _keepers: keepers })
    }

    /// Asks over the current connections, within the deadline.
    async fn ask<T, F: Future<Output = sqlx::Result<T>>>(&self, question: impl FnOnce(PgPool) -> F) -> Result<T> {
        let question = async { question(self.link.pool()?).await.map_err(|e| failure(&e)) };
        self.link.guard.ask(question).await
    }
}

#[async_trait]
impl UserStore for Postgres {
    async fn find(&self, tenant: &str, platform: &str, openid: &str) -> Result<Option<Arc<User>>> {
        let identity = IdentityRef { tenant, platform, openid };
        if let Some(user) = self.heard.cache.get(&identity) {
            return Ok(Some(user));
        }
        let ticket = self.heard.cache.ticket(&identity);
        let row = match &self.heard.replica {
            Some(replica) => replica.find(&identity).await,
            None => None,
        };
        let row = match row {
            Some(row) => Some(row),
            None => {
                let query = sqlx::query_as::<_, UserRow>(bind::BOUND).bind(tenant).bind(platform).bind(plain(openid));
                self.ask(|pool| async move { query.fetch_optional(&pool).await }).await?
            }
        };
        let user: Option<Arc<User>> = row.map(Into::into);
        if let Some(user) = &user {
            self.heard.cache.keep(ticket, &identity, user);
        }
        Ok(user)
    }

    async fn bind(&self, tenant: &str, identity: &Identity, account: AccountSelector<'_>) -> Result<Option<Arc<User>>> {
        let bound = self.ask(|pool| async move { bind(&pool, tenant, identity, account).await }).await;
        // PostgreSQL notifies us too, but perhaps later than our caller asks again.
        self.heard.binding(&IdentityRef { tenant, platform: &identity.platform, openid: &identity.openid });
        let bound: Option<Arc<User>> = bound?.map(Into::into);
        if let Some(user) = &bound {
            self.heard.user(user.id);
        }
        Ok(bound)
    }

    async fn unbind(&self, tenant: &str, platform: &str, openid: &str) -> Result<bool> {
        let identity = IdentityRef { tenant, platform, openid };
        let sql = "WITH gone AS (DELETE FROM bindings WHERE tenant = $1 AND platform = $2 AND openid = $3 RETURNING 1)
            SELECT pg_notify($4, $5) FROM gone";
        let query = sqlx::query(sql).bind(tenant).bind(platform).bind(plain(openid));
        let query = query.bind(CHANNEL).bind(Notice::Binding(identity).text());
        let gone = self.ask(|pool| async move { query.fetch_optional(&pool).await }).await;
        self.heard.binding(&identity);
        Ok(gone?.is_some())
    }

    async fn update(
        &self,
        tenant: &str,
        user: i64,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<Option<Arc<User>>> {
        let sql = "WITH changed AS (
                UPDATE users SET name = coalesce($1, name), avatar_url = coalesce($2, avatar_url), updated_at = now(),
                    version = version + 1
                WHERE id = $3 AND tenant = $4 RETURNING id, name, avatar_url)
            SELECT id, name, avatar_url, pg_notify($5, $6) FROM changed";
        let query = sqlx::query_as::<_, UserRow>(sql).bind(name.map(plain)).bind(avatar_url.map(plain)).bind(user);
        let query = query.bind(tenant).bind(CHANNEL).bind(Notice::User(user).text());
        let changed = self.ask(|pool| async move { query.fetch_optional(&pool).await }).await;
        self.heard.user(user);
        Ok(changed?.map(Into::into))
    }

    async fn credentials(&self, tenant: &str, account: &str) -> Result<Option<PasswordCredentials>> {
        let sql = "SELECT id, password_hash FROM users
            WHERE tenant = $1 AND account = $2 AND password_hash IS NOT NULL";
        let query = sqlx::query_as::<_, (i64, String)>(sql).bind(tenant).bind(plain(account));
        let row = self.ask(|pool| async move { query.fetch_optional(&pool).await }).await?;
        Ok(row.map(|(user, hash)| PasswordCredentials { user, password_hash: SecretString::from(hash) }))
    }

    async fn add(
        &self,
        tenant: &str,
        account: &str,
        password_hash: &SecretString,
        name: &str,
        avatar_url: &str,
    ) -> Result<Option<Arc<User>>> {
        let sql = "INSERT INTO users (tenant, account, password_hash, name, avatar_url) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant, account) DO NOTHING RETURNING id, name, avatar_url";
        let query = sqlx::query_as::<_, UserRow>(sql).bind(tenant).bind(plain(account));
        let query = query.bind(password_hash.expose_secret()).bind(plain(name)).bind(plain(avatar_url));
        let row = self.ask(|pool| async move { query.fetch_optional(&pool).await }).await?;
        Ok(row.map(Into::into))
    }

    async fn ping(&self) -> Result<()> {
        self.ask(|pool| async move { sqlx::query("SELECT 1").execute(&pool).await }).await.map(|_| ())
    }
}

/// How to connect to a URL; see [`Postgres::open`].
fn options_of(url: &SecretString, ca: &Option<Vec<u8>>) -> Result<PgConnectOptions> {
    let text = url.expose_secret();
    // sqlx takes any scheme.
    let ours = text.starts_with("postgres://") || text.starts_with("postgresql://");
    let options = PgConnectOptions::from_str(text).ok().filter(|_| ours).ok_or_else(|| {
        let text = "the URL of the user store is not like postgres://user:password@host:5432/database";
        Error::Unavailable(text.into())
    })?;
    Ok(match ca.clone() {
        Some(pem) if text.contains("sslmode=") => options.ssl_root_cert_from_pem(pem),
        Some(pem) => options.ssl_root_cert_from_pem(pem).ssl_mode(PgSslMode::VerifyFull),
        None => options,
    })
}

/// An SQL error in our words.
fn failure(error: &sqlx::Error) -> Failure {
    match error {
        sqlx::Error::ColumnDecode { index, .. } => Failure::Corrupt(format!("column {index}")),
        // What is not about its connections, its credentials or its coming and going is about the statement.
        sqlx::Error::Database(e) => match e.code().unwrap_or_default().get(..2) {
            Some("08" | "28" | "3D" | "57") => Failure::Away(told(error)),
            _ if e.code().as_deref() == Some("53300") => Failure::Away(told(error)),
            _ => Failure::Refused(told(error)),
        },
        error => Failure::Away(told(error)),
    }
}

/// What went wrong, by its SQLSTATE: PostgreSQL's own text may repeat what we sent, or the user's name.
fn told(error: &sqlx::Error) -> String {
    let error = match error {
        sqlx::Error::Database(error) => error,
        sqlx::Error::Io(e) => return e.to_string(),
        sqlx::Error::PoolTimedOut => return "no connection was free in time".into(),
        sqlx::Error::Configuration(e) => return e.to_string(),
        sqlx::Error::Tls(e) => return format!("TLS: {e}"),
        // What remains is about sqlx itself or the shape of an answer.
        error => return format!("{error}"),
    };
    let code = error.code().unwrap_or_default();
    let meaning = match code.get(..2).unwrap_or_default() {
        "08" => "connection error",
        "25" => "it takes no writes",
        "28" => "it refused the credentials",
        "3D" => "no such database",
        "42" => "its tables are not as expected, or not ours to use",
        "53" => "out of connections, memory or disk",
        "57" => "it is starting, stopping or ended the statement",
        _ => "error",
    };
    format!("{meaning} (SQLSTATE {code})")
}
