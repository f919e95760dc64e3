//! The stores that a configuration opens.

use menlou_harness as harness;
use menlou_store::{Error, StoreConfig, Stores};
use secrecy::SecretString;
use tokio::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_file_is_created_where_it_stores_nothing_and_servers_that_are_down_are_no_error() {
    let folder = tempfile::tempdir().unwrap();
    let (mut redis, mut postgres) = (harness::Redis::start(), harness::Postgres::start());
    let config = StoreConfig {
        path: folder.path().join("menlou.db"),
        sessions: Some(redis.url().into()),
        users: Some(postgres.url().into()),
        prefix: "menlou".into(),
        ..StoreConfig::default()
    };
    let stores = Stores::open(&config).await.unwrap();
    stores.ephemeral.ping().await.unwrap();
    stores.users.ping().await.unwrap();
    redis.kill();
    postgres.kill();
    let start = Instant::now();
    let later = Stores::open(&config).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(3));
    assert!(matches!(later.ephemeral.ping().await, Err(Error::Unavailable { .. })));
    assert!(matches!(later.users.ping().await, Err(Error::Unavailable { .. })));
    assert!(!config.path.exists());
}

#[tokio::test]
async fn config_prints_no_credentials() {
    let url = || Some(SecretString::from("redis://u:hunter2@127.0.0.1"));
    let config = StoreConfig { path: "x".into(), sessions: url(), users: url(), ..StoreConfig::default() };
    assert!(!format!("{config:?}").contains("hunter2"));
}
