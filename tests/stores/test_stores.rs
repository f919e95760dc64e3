//! Opened stores, with what they stand on.

use menlou_harness as harness;
use menlou_store::{
    AccountStore, AdminStore, EphemeralKv, Postgres, Redis, SessionStore, StoreConfig, Stores, UserStore,
};
use secrecy::SecretString;
use std::{any::Any, sync::Arc};

/// An open store of each kind that a promise may be held against, and what has to live as long.
pub struct TestStores {
    pub sessions: Arc<dyn SessionStore>,
    pub shared: Arc<dyn EphemeralKv>,
    pub users: Arc<dyn UserStore>,
    pub accounts: Arc<dyn AccountStore>,
    pub admins: Arc<dyn AdminStore>,
    _ground: Box<dyn Any + Send + Sync>,
}

/// All in one SQLite file.
pub async fn embedded() -> TestStores {
    home(None, None, ()).await
}

/// Sessions and shared values in a Redis of its own.
pub async fn redis() -> TestStores {
    let server = harness::Redis::start();
    home(Some(server.url().into()), None, server).await
}

/// Sessions and shared values in this Redis, whose keys start with `prefix`.
pub async fn at(url: &str, prefix: &str) -> TestStores {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    let settings = StoreConfig { path, sessions: Some(url.into()), prefix: prefix.into(), ..StoreConfig::default() };
    let Stores { sessions, ephemeral: shared, users, accounts, admins, .. } = Stores::open(&settings).await.unwrap();
    TestStores { sessions, shared, users, accounts, admins, _ground: Box::new(folder) }
}

/// Users in a PostgreSQL of its own.
pub async fn postgres() -> TestStores {
    let server = harness::Postgres::start();
    home(None, Some(server.url().into()), server).await
}

async fn home(
    sessions: Option<SecretString>,
    users: Option<SecretString>,
    server: impl Any + Send + Sync,
) -> TestStores {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    let settings = StoreConfig { path, sessions, users, prefix: "menlou".into(), ..StoreConfig::default() };
    let Stores { sessions, ephemeral: shared, users, accounts, admins, .. } = Stores::open(&settings).await.unwrap();
    TestStores { sessions, shared, users, accounts, admins, _ground: Box::new((folder, server)) }
}

/// A store in this Redis.
pub async fn in_redis(url: &str) -> Redis {
    Redis::open(&SecretString::from(url), None, "menlou").await.unwrap()
}

/// A store in this PostgreSQL, with its replica.
pub async fn in_replicated(url: &str, replica: &str) -> Postgres {
    Postgres::open(&SecretString::from(url), Some(&SecretString::from(replica)), None).await.unwrap()
}

/// A store in this PostgreSQL.
pub async fn in_postgres(url: &str) -> Postgres {
    Postgres::open(&SecretString::from(url), None, None).await.unwrap()
}
