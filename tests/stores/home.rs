//! Opened stores, with what they stand on.

use menlou::store::{Redis, RedisSettings, Sessions, Shared, Sqlite, Users};
use secrecy::SecretString;
use std::{any::Any, sync::Arc};

/// An open store of each kind that a promise may be held against, and what has to live as long.
pub struct Home {
    pub sessions: Arc<dyn Sessions>,
    pub shared: Arc<dyn Shared>,
    pub users: Arc<dyn Users>,
    _ground: Box<dyn Any + Send + Sync>,
}

/// All in one SQLite file.
pub async fn embedded() -> Home {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(&folder.path().join("menlou.db")).await.unwrap());
    Home { sessions: store.clone(), shared: store.clone(), users: store, _ground: Box::new(folder) }
}

/// Sessions and shared values in a Redis of its own.
pub async fn redis() -> Home {
    let folder = tempfile::tempdir().unwrap();
    let server = menlou_harness::Redis::start();
    let users = Arc::new(Sqlite::open(&folder.path().join("menlou.db")).await.unwrap());
    let store = Arc::new(in_redis(&server.url()).await);
    Home { sessions: store.clone(), shared: store, users, _ground: Box::new((folder, server)) }
}

/// A store in this Redis.
pub async fn in_redis(url: &str) -> Redis {
    let settings = RedisSettings { url: SecretString::from(url), prefix: "menlou".into() };
    Redis::open(&settings).await.unwrap()
}
