//! Users, accounts, admin tokens and the audit log in PostgreSQL, shared by all replicas of the gateway.

mod accounts;
mod admins;
mod bind;
mod connection;
mod error;
mod invalidation;
mod notice;
mod replica;
mod replica_lag;
mod rows;
mod schema;

use crate::{
    cache::{IdentityRef, UserCache},
    deadline_breaker::{DeadlineBreaker, up_gauge},
    error::{Error, Result},
    users::{AccountSelector, Identity, PasswordCredentials, User, UserStore},
};
use async_trait::async_trait;
use bind::bind;
use connection::{ConnectionManager, DEADLINE, keep_connected};
use error::failure;
use invalidation::Invalidation;
use notice::{CHANNEL, Notice};
use replica::Replica;
use rows::{BOUND_USER, UserRow, without_nul};
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgSslMode},
};
use std::{future::Future, str::FromStr, sync::Arc, time::Duration};
use tokio::{sync::oneshot, task::JoinSet, time::timeout};

/// The store's name in log lines and metrics.
const NAME: &str = "PostgreSQL";
/// Time for which opening waits for the first attempt to connect and to migrate the tables.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// A store in PostgreSQL. It connects and reconnects by itself. While it is not connected, operations fail immediately with
/// [`Error::Unavailable`]. Its cache follows the changes of other replicas by LISTEN and NOTIFY, and is paused while no
/// notifications arrive.
pub struct Postgres {
    connections: Arc<ConnectionManager>,
    invalidation: Arc<Invalidation>,
    _keepers: JoinSet<()>,
}

impl Postgres {
    /// Connects, or keeps trying to, and creates or migrates the tables, which several replicas may try at the same time.
    ///
    /// `ca` holds, as PEM, the CAs to trust instead of the system's. With it TLS is required and the server's name is
    /// verified, unless the URL's `sslmode` says otherwise. Look-ups go to `replica`, a read-only replica of the same
    /// database, where their result cannot be stale.
    ///
    /// # Errors
    /// Where a URL is malformed. The text does not hold the URL.
    pub async fn open(url: &SecretString, replica: Option<&SecretString>, ca: Option<Vec<u8>>) -> Result<Self> {
        let options = parse_options(url, &ca)?;
        let replica = match replica {
            Some(url) => Some(Arc::new(Replica::new(parse_options(url, &ca)?))),
            None => None,
        };
        let invalidation = Arc::new(Invalidation { cache: UserCache::new(), replica: replica.clone() });
        let connections = Arc::new(ConnectionManager::new(DeadlineBreaker::new(NAME, DEADLINE, up_gauge(NAME))));
        let (sender, first_attempt) = oneshot::channel();
        let mut keepers = JoinSet::new();
        keepers.spawn(keep_connected(options, Arc::clone(&connections), Arc::clone(&invalidation), sender));
        if let Some(replica) = replica {
            keepers.spawn(replica_lag::measure(replica, Arc::clone(&connections)));
        }
        // The first operation is not refused for want of a connection. If the attempt fails, that operation reports it.
        let _ = timeout(OPEN_TIMEOUT, first_attempt).await;
        Ok(Self { connections, invalidation, _keepers: keepers })
    }

    /// Runs a query on the current connections, within the deadline.
    async fn query<T, F: Future<Output = sqlx::Result<T>>>(&self, query: impl FnOnce(PgPool) -> F) -> Result<T> {
        let operation = async { query(self.connections.pool()?).await.map_err(|e| failure(&e)) };
        self.connections.breaker.run(operation).await
    }
}

#[async_trait]
impl UserStore for Postgres {
    async fn find(&self, tenant: &str, platform: &str, openid: &str) -> Result<Option<Arc<User>>> {
        let identity = IdentityRef { tenant, platform, openid };
        if let Some(user) = self.invalidation.cache.get(&identity) {
            return Ok(Some(user));
        }
        let version = self.invalidation.cache.version(&identity);
        let row = match &self.invalidation.replica {
            Some(replica) => replica.find(&identity).await,
            None => None,
        };
        let row = match row {
            Some(row) => Some(row),
            None => {
                let query =
                    sqlx::query_as::<_, UserRow>(BOUND_USER).bind(tenant).bind(platform).bind(without_nul(openid));
                self.query(|pool| async move { query.fetch_optional(&pool).await }).await?
            }
        };
        let user: Option<Arc<User>> = row.map(Into::into);
        if let Some(user) = &user {
            self.invalidation.cache.insert(version, &identity, user);
        }
        Ok(user)
    }

    async fn bind(&self, tenant: &str, identity: &Identity, account: AccountSelector<'_>) -> Result<Option<Arc<User>>> {
        let bound = self.query(|pool| async move { bind(&pool, tenant, identity, account).await }).await;
        // PostgreSQL sends a notification too, but the caller may read again before it arrives.
        self.invalidation.binding(&IdentityRef { tenant, platform: &identity.platform, openid: &identity.openid });
        let bound: Option<Arc<User>> = bound?.map(Into::into);
        if let Some(user) = &bound {
            self.invalidation.user(user.id);
        }
        Ok(bound)
    }

    async fn unbind(&self, tenant: &str, platform: &str, openid: &str) -> Result<bool> {
        let identity = IdentityRef { tenant, platform, openid };
        let sql = "WITH gone AS (DELETE FROM bindings WHERE tenant = $1 AND platform = $2 AND openid = $3 RETURNING 1)
            SELECT pg_notify($4, $5) FROM gone";
        let query = sqlx::query(sql).bind(tenant).bind(platform).bind(without_nul(openid));
        let query = query.bind(CHANNEL).bind(Notice::Binding(identity).payload());
        let gone = self.query(|pool| async move { query.fetch_optional(&pool).await }).await;
        self.invalidation.binding(&identity);
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
        let query =
            sqlx::query_as::<_, UserRow>(sql).bind(name.map(without_nul)).bind(avatar_url.map(without_nul)).bind(user);
        let query = query.bind(tenant).bind(CHANNEL).bind(Notice::User(user).payload());
        let changed = self.query(|pool| async move { query.fetch_optional(&pool).await }).await;
        self.invalidation.user(user);
        Ok(changed?.map(Into::into))
    }

    async fn credentials(&self, tenant: &str, account: &str) -> Result<Option<PasswordCredentials>> {
        let sql = "SELECT id, password_hash FROM users
            WHERE tenant = $1 AND account = $2 AND password_hash IS NOT NULL";
        let query = sqlx::query_as::<_, (i64, String)>(sql).bind(tenant).bind(without_nul(account));
        let row = self.query(|pool| async move { query.fetch_optional(&pool).await }).await?;
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
        let query = sqlx::query_as::<_, UserRow>(sql).bind(tenant).bind(without_nul(account));
        let query = query.bind(password_hash.expose_secret()).bind(without_nul(name)).bind(without_nul(avatar_url));
        let row = self.query(|pool| async move { query.fetch_optional(&pool).await }).await?;
        Ok(row.map(Into::into))
    }

    async fn ping(&self) -> Result<()> {
        // Deletes nothing, but needs the table, the right to write, and a server that is no read-only replica.
        let sql = "DELETE FROM bindings WHERE false";
        self.query(|pool| async move { sqlx::query(sql).execute(&pool).await }).await.map(|_| ())
    }
}

/// The connection parameters of a URL; see [`Postgres::open`].
fn parse_options(url: &SecretString, ca: &Option<Vec<u8>>) -> Result<PgConnectOptions> {
    let text = url.expose_secret();
    // sqlx accepts any scheme.
    let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
    let options = PgConnectOptions::from_str(text).ok().filter(|_| is_postgres).ok_or_else(|| {
        Error::unavailable("the URL of the user store is not like postgres://user:password@host:5432/database")
    })?;
    Ok(match ca.clone() {
        Some(pem) if text.contains("sslmode=") => options.ssl_root_cert_from_pem(pem),
        Some(pem) => options.ssl_root_cert_from_pem(pem).ssl_mode(PgSslMode::VerifyFull),
        None => options,
    })
}
