//! Opens the stores that the configuration names.

use crate::{
    accounts::AccountStore,
    admins::AdminStore,
    ephemeral::EphemeralKv,
    error::{Error, Result},
    postgres::Postgres,
    rate_limits::SharedRateLimiter,
    redis::Redis,
    session::SessionStore,
    sqlite::Sqlite,
    users::UserStore,
};
use secrecy::SecretString;
use std::{path::PathBuf, sync::Arc};
use tokio::sync::OnceCell;

/// Where each kind of data is stored. [`Stores::open`] opens it.
#[derive(Clone, Debug, Default)]
pub struct StoreConfig {
    /// The SQLite file, for all data without a server below.
    pub path: PathBuf,
    /// The Redis of sessions and short-lived values, such as `redis://user:password@host:6379/0`.
    pub sessions: Option<SecretString>,
    /// The PostgreSQL of users and bindings, such as `postgres://user:password@host:5432/database`.
    pub users: Option<SecretString>,
    /// A read-only replica of `users`, for look-ups.
    pub users_replica: Option<SecretString>,
    /// A PEM file with the CAs that Redis and PostgreSQL are verified against, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The first part of all keys in Redis.
    pub prefix: String,
}

/// The open stores of a gateway.
#[derive(Clone)]
pub struct Stores {
    /// Sessions.
    pub sessions: Arc<dyn SessionStore>,
    /// Short-lived values that replicas share.
    pub ephemeral: Arc<dyn EphemeralKv>,
    /// Users and bindings.
    pub users: Arc<dyn UserStore>,
    /// The same users and bindings, for admins.
    pub accounts: Arc<dyn AccountStore>,
    /// Admin tokens and the audit log. They are stored beside the users, so that all replicas share them.
    pub admins: Arc<dyn AdminStore>,
    /// Rate limits that all replicas share; `None` where sessions are not in Redis.
    pub rate_limits: Option<Arc<dyn SharedRateLimiter>>,
}

impl Stores {
    /// Opens each store within a few seconds. The SQLite file is only created where it stores something. A Redis or
    /// PostgreSQL that is down is no error: its operations fail with [`Error::Unavailable`] until it is up.
    ///
    /// # Errors
    /// Where a URL is malformed, or a file cannot be opened. The text says which and why, and holds no credentials.
    pub async fn open(config: &StoreConfig) -> Result<Self> {
        let file = OnceCell::new();
        let file = || file.get_or_try_init(|| async { Sqlite::open(&config.path).await.map(Arc::new) });
        let ca = match &config.ca_file {
            Some(path) => {
                let failed = |e| Error::unavailable(format!("cannot read the CA file {}: {e}", path.display()));
                Some(std::fs::read(path).map_err(failed)?)
            }
            None => None,
        };
        let redis = match &config.sessions {
            Some(url) => Some(Arc::new(Redis::open(url, ca.as_deref(), &config.prefix).await?)),
            None => None,
        };
        let (sessions, ephemeral): (Arc<dyn SessionStore>, Arc<dyn EphemeralKv>) = match &redis {
            Some(redis) => (redis.clone(), redis.clone()),
            None => (file().await?.clone(), file().await?.clone()),
        };
        let rate_limits = redis.map(|redis| redis as _);
        Ok(match &config.users {
            Some(url) => {
                let users = Arc::new(Postgres::open(url, config.users_replica.as_ref(), ca).await?);
                Self { sessions, ephemeral, users: users.clone(), accounts: users.clone(), admins: users, rate_limits }
            }
            None => {
                let users = file().await?.clone();
                Self { sessions, ephemeral, users: users.clone(), accounts: users.clone(), admins: users, rate_limits }
            }
        })
    }
}
