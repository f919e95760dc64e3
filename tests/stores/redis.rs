//! What the Redis store guarantees beyond the contract.

use crate::{
    sessions::{session, token},
    test_stores::open_redis,
    waiting::within,
};
use menlou_harness as harness;
use menlou_store::{EphemeralKv, Error, Redis, SessionStore};
use secrecy::SecretString;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_secs(60);
/// Well under a second, with a margin for a busy machine.
const SOON: Duration = Duration::from_millis(800);

/// Asserts that all operations fail as unavailable, each within [`SOON`].
async fn assert_all_unavailable(store: &Redis) {
    async fn refused<T: std::fmt::Debug>(what: &str, operation: impl Future<Output = Result<T, Error>>) {
        let start = Instant::now();
        let outcome = operation.await;
        assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{what}: {outcome:?}");
        assert!(start.elapsed() < SOON, "{what} took {:?}", start.elapsed());
    }
    refused("open", store.open("a", &token(9), session("person", 60))).await;
    refused("find", store.find("a", &token(9))).await;
    refused("end", store.end("a", &token(9))).await;
    refused("total", store.count("a")).await;
    refused("of", store.list("a", "wechat", "person")).await;
    refused("end_all", store.end_all("a")).await;
    refused("claim", store.claim("a", "k", b"", MINUTE)).await;
    refused("put", store.put("a", "k", b"", MINUTE)).await;
    refused("get", store.get("a", "k")).await;
    refused("remove", store.remove("a", "k")).await;
    refused("count", store.increment("a", "k", MINUTE)).await;
    refused("ping", store.ping()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_redis_is_unavailable_immediately_and_works_within_a_second_of_its_restart() {
    let mut server = harness::Redis::start();
    let store = open_redis(&server.url()).await;
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    assert!(store.find("a", &token(1)).await.unwrap().is_some());
    for _ in 0..2 {
        server.kill();
        assert_all_unavailable(&store).await;
        within(Duration::from_secs(1), "a cached session ends", || async { store.find("a", &token(1)).await.is_err() })
            .await;
        server.restart();
        within(Duration::from_secs(1), "the store works", || async { store.ping().await.is_ok() }).await;
        assert_eq!(store.find("a", &token(1)).await.unwrap().unwrap().openid, "person");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_redis_is_unavailable_within_a_second_and_works_when_it_resumes() {
    let server = harness::Redis::start();
    let store = open_redis(&server.url()).await;
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    assert!(store.find("a", &token(1)).await.unwrap().is_some());
    server.freeze();
    assert_all_unavailable(&store).await;
    within(Duration::from_secs(1), "a cached session ends", || async { store.find("a", &token(1)).await.is_err() })
        .await;
    server.thaw();
    within(Duration::from_secs(1), "the store works", || async { store.find("a", &token(1)).await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_opened_before_its_redis_works_when_redis_starts() {
    let mut server = harness::Redis::start();
    server.kill();
    let start = Instant::now();
    let store = open_redis(&server.url()).await;
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_all_unavailable(&store).await;
    server.restart();
    within(Duration::from_secs(1), "the store works", || async { store.ping().await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_opened_on_a_frozen_redis_works_when_redis_resumes() {
    let server = harness::Redis::start();
    server.freeze();
    let start = Instant::now();
    let store = open_redis(&server.url()).await;
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_all_unavailable(&store).await;
    server.thaw();
    within(Duration::from_secs(1), "the store works", || async { store.ping().await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_ended_by_one_replica_soon_leaves_the_cache_of_the_other() {
    let server = harness::Redis::start();
    let (one, two) = (open_redis(&server.url()).await, open_redis(&server.url()).await);
    for n in 0..20 {
        one.open("a", &token(n), session("person", 60)).await.unwrap();
        for replica in [&one, &two, &one, &two] {
            assert!(replica.find("a", &token(n)).await.unwrap().is_some());
        }
        assert!(one.end("a", &token(n)).await.unwrap());
        assert!(one.find("a", &token(n)).await.unwrap().is_none());
        // Far sooner than an entry would expire.
        within(SOON, "the other cache is invalidated", || async { two.find("a", &token(n)).await.unwrap().is_none() })
            .await;
    }
    for flush in ["FLUSHALL", "FLUSHDB"] {
        one.open("a", &token(1), session("person", 60)).await.unwrap();
        assert!(two.find("a", &token(1)).await.unwrap().is_some());
        server.command(&[flush]);
        within(SOON, "the flush is noticed", || async { two.find("a", &token(1)).await.unwrap().is_none() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_ended_during_a_disconnection_is_not_served_from_the_cache() {
    let mut server = harness::Redis::start();
    let store = open_redis(&server.url()).await;
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    assert!(store.find("a", &token(1)).await.unwrap().is_some());
    server.kill();
    server.restart();
    server.command(&["FLUSHALL"]);
    within(Duration::from_secs(1), "the session is gone", || async {
        matches!(store.find("a", &token(1)).await, Ok(None))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_session_is_found_without_redis() {
    let server = harness::Redis::start();
    let store = open_redis(&server.url()).await;
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    let first = store.find("a", &token(1)).await.unwrap().unwrap();
    let second = store.find("a", &token(1)).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_has_prefix_tenant_and_ttl_and_no_token() {
    let server = harness::Redis::start();
    let store = open_redis(&server.url()).await;
    store.open("manulife", &token(0xab), session("person", 60)).await.unwrap();
    store.claim("manulife", "claim", b"1", MINUTE).await.unwrap();
    store.put("manulife", "put", b"1", MINUTE).await.unwrap();
    for _ in 0..3 {
        store.increment("manulife", "count", MINUTE).await.unwrap();
    }
    let response = server.command(&["KEYS", "*"]);
    let keys: Vec<&str> = response.lines().filter(|line| line.starts_with("menlou")).collect();
    let session_key = format!("menlou:{{manulife}}:s:{}", "ab".repeat(32));
    assert!(response.starts_with("*6\r\n") && keys.len() == 6 && keys.contains(&&*session_key), "{response}");
    assert!(keys.iter().all(|key| key.starts_with("menlou:{manulife}:")));
    for key in keys {
        let response = server.command(&["PTTL", key]);
        let left: i64 = response.lines().next().unwrap().trim_start_matches(':').parse().unwrap();
        assert!((1..=60_000).contains(&left), "{key}: {left}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_forbids_tracking_is_used_without_a_cache() {
    let server = harness::Redis::start();
    server.command(&["ACL", "SETUSER", "narrow", "on", ">word", "~*", "+@all", "-client|tracking"]);
    let url = server.url().replace("redis://", "redis://narrow:word@");
    let store = open_redis(&url).await;
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    assert!(store.find("a", &token(1)).await.unwrap().is_some());
    server.command(&["FLUSHALL"]);
    assert!(store.find("a", &token(1)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_hold_neither_password_nor_record() {
    let server = harness::Redis::start();
    let url = server.url().replace("redis://", "redis://nobody:hunter2@");
    let refused = open_redis(&url).await.ping().await.unwrap_err().to_string();
    assert!(refused.contains("refused the credentials") && !refused.contains("hunter2"), "{refused}");
    for url in ["redis+sentinel://u:hunter2@127.0.0.1:1", "http://u:hunter2@127.0.0.1", "hunter2"] {
        let error = Redis::open(&SecretString::from(url), None, "menlou").await.err().unwrap().to_string();
        assert!(!error.contains("hunter2") && error.contains("session store"), "{error}");
    }
    let store = open_redis(&server.url()).await;
    let key = format!("menlou:{{a}}:s:{}", "01".repeat(32));
    for record in ["{\"secret\"", "{}"] {
        server.command(&["SET", &key, record, "PX", "60000"]);
        let error = store.find("a", &token(1)).await.unwrap_err();
        assert!(matches!(&error, Error::Corrupt(text) if !text.contains("secret")), "{error}");
    }
    server.command(&["DEL", &key]);
    server.command(&["LPUSH", &key, "secret"]);
    let error = store.find("a", &token(1)).await.unwrap_err().to_string();
    assert!(error.contains("WRONGTYPE"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_ended_by_one_replica_end_in_the_others() {
    let server = harness::Redis::start();
    let (one, two) = (open_redis(&server.url()).await, open_redis(&server.url()).await);
    for n in 1..=2 {
        one.open("a", &token(n), session("person", 60)).await.unwrap();
        assert!(two.find("a", &token(n)).await.unwrap().is_some(), "cached");
    }
    assert_eq!(two.list("a", "wechat", "person").await.unwrap().len(), 2);
    assert!(one.end("a", &token(1)).await.unwrap());
    within(SOON, "the session has ended", || async { two.find("a", &token(1)).await.unwrap().is_none() }).await;
    assert_eq!(one.end_all("a").await.unwrap(), 1);
    within(SOON, "all sessions have ended", || async { two.find("a", &token(2)).await.unwrap().is_none() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_sessions_removes_list_entries_of_expired_ones() {
    let server = harness::Redis::start();
    let store = open_redis(&server.url()).await;
    for n in 0..40 {
        store.open("a", &token(n), session("person", 1)).await.unwrap();
    }
    // The time to live has to pass.
    sleep(Duration::from_millis(2100)).await;
    for n in 100..104 {
        store.open("a", &token(n), session("person", 60)).await.unwrap();
    }
    let client = ::redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = ::redis::cmd("KEYS").arg("menlou:{a}:[lp]:*").query_async(&mut connection).await.unwrap();
    assert_eq!(keys.len(), 2, "one list of the tenant, one of the identity: {keys:?}");
    for key in keys {
        let listed: u64 = ::redis::cmd("ZCARD").arg(&key).query_async(&mut connection).await.unwrap();
        let life: i64 = ::redis::cmd("TTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!(listed == 4 && (50..=60).contains(&life), "{key}: {listed} for {life} s");
    }
}
