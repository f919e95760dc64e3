//! Open stores for tests, with the servers and folders that they need.

use menlou_harness as harness;
use menlou_store::{
    AccountStore, AdminStore, EphemeralKv, Postgres, Redis, SessionStore, StoreConfig, Stores, UserStore,
};
use secrecy::SecretString;
use std::{any::Any, sync::Arc};

/// Open stores, and what has to live as long as they do.
pub struct TestStores {
    pub sessions: Arc<dyn SessionStore>,
    pub ephemeral: Arc<dyn EphemeralKv>,
    pub users: Arc<dyn UserStore>,
    pub accounts: Arc<dyn AccountStore>,
    pub admins: Arc<dyn AdminStore>,
    _resources: Box<dyn Any + Send + Sync>,
}

/// All data in one SQLite file.
pub async fn embedded() -> TestStores {
    open(StoreConfig { prefix: "menlou".into(), ..StoreConfig::default() }, ()).await
}

/// Sessions and ephemeral values in a new Redis.
pub async fn redis() -> TestStores {
    let server = harness::Redis::start();
    let config = StoreConfig { sessions: Some(server.url().into()), prefix: "menlou".into(), ..StoreConfig::default() };
    open(config, server).await
}

/// Sessions and ephemeral values in this Redis; keys start with `prefix`.
pub async fn redis_with_prefix(url: &str, prefix: &str) -> TestStores {
    open(StoreConfig { sessions: Some(url.into()), prefix: prefix.into(), ..StoreConfig::default() }, ()).await
}

/// Users in a new PostgreSQL.
pub async fn postgres() -> TestStores {
    let server = harness::Postgres::start();
    let config = StoreConfig { users: Some(server.url().into()), prefix: "menlou".into(), ..StoreConfig::default() };
    open(config, server).await
}

async fn open(config: StoreConfig, server: impl Any + Send + Sync) -> TestStores {
    let folder = tempfile::tempdir().unwrap();
    let config = StoreConfig { path: folder.path().join("menlou.db"), ..config };
    let Stores { sessions, ephemeral, users, accounts, admins, .. } = Stores::open(&config).await.unwrap();
    TestStores { sessions, ephemeral, users, accounts, admins, _resources: Box::new((folder, server)) }
}

/// A store in this Redis.
pub async fn open_redis(url: &str) -> Redis {
    Redis::open(&SecretString::from(url), None, "menlou").await.unwrap()
}

/// A store in this PostgreSQL with this replica.
pub async fn open_replicated(url: &str, replica: &str) -> Postgres {
    Postgres::open(&SecretString::from(url), Some(&SecretString::from(replica)), None).await.unwrap()
}

/// A store in this PostgreSQL.
pub async fn open_postgres(url: &str) -> Postgres {
    Postgres::open(&SecretString::from(url), None, None).await.unwrap()
}
