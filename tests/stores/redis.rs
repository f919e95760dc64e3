//! What the Redis store promises beyond the contract.

use crate::{
    sessions::{session, token},
    test_stores::in_redis,
};
use menlou_harness as harness;
use menlou_store::{EphemeralKv, Error, Redis, SessionStore};
use secrecy::SecretString;
use std::{future::Future, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep};

const MINUTE: Duration = Duration::from_secs(60);
/// "Well under a second", with room for a busy machine.
const SOON: Duration = Duration::from_millis(800);

/// Asserts that all operations are refused as unavailable, each soon.
pub async fn assert_all_unavailable(store: &Redis) {
    async fn refused<T: std::fmt::Debug>(what: &str, operation: impl Future<Output = Result<T, Error>>) {
        let start = Instant::now();
        let answer = operation.await;
        assert!(matches!(answer, Err(Error::Unavailable { .. })), "{what}: {answer:?}");
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

/// Waits until something holds, and asserts that it does within `limit`.
pub async fn within<F: Future<Output = bool>>(limit: Duration, what: &str, mut holds: impl FnMut() -> F) {
    let start = Instant::now();
    while !holds().await {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_redis_is_unavailable_at_once_and_serves_again_within_a_second_of_its_return() {
    let mut server = harness::Redis::start();
    let store = in_redis(&server.url()).await;
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    assert!(store.find("a", &token(1)).await.unwrap().is_some());
    for _ in 0..2 {
        server.kill();
        assert_all_unavailable(&store).await;
        within(Duration::from_secs(1), "a cached session ends", || async { store.find("a", &token(1)).await.is_err() })
            .await;
        server.restart();
        within(Duration::from_secs(1), "service is back", || async { store.ping().await.is_ok() }).await;
        assert_eq!(store.find("a", &token(1)).await.unwrap().unwrap().openid, "person");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_redis_is_unavailable_within_a_second_and_serves_again_when_it_goes_on() {
    let server = harness::Redis::start();
    let store = in_redis(&server.url()).await;
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    assert!(store.find("a", &token(1)).await.unwrap().is_some());
    server.freeze();
    assert_all_unavailable(&store).await;
    within(Duration::from_secs(1), "a cached session ends", || async { store.find("a", &token(1)).await.is_err() })
        .await;
    server.thaw();
    within(Duration::from_secs(1), "service is back", || async { store.find("a", &token(1)).await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_opened_before_its_redis_serves_when_it_comes() {
    let mut server = harness::Redis::start();
    server.kill();
    let start = Instant::now();
    let store = in_redis(&server.url()).await;
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_all_unavailable(&store).await;
    server.restart();
    within(Duration::from_secs(1), "service begins", || async { store.ping().await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_opened_on_a_frozen_redis_serves_when_it_goes_on() {
    let server = harness::Redis::start();
    server.freeze();
    let start = Instant::now();
    let store = in_redis(&server.url()).await;
    assert!(start.elapsed() < Duration::from_secs(2));
    assert_all_unavailable(&store).await;
    server.thaw();
    within(Duration::from_secs(1), "service begins", || async { store.ping().await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_by_one_replica_is_soon_gone_from_the_other_s_cache() {
    let server = harness::Redis::start();
    let (one, two) = (in_redis(&server.url()).await, in_redis(&server.url()).await);
    for n in 0..20 {
        one.open("a", &token(n), session("person", 60)).await.unwrap();
        for replica in [&one, &two, &one, &two] {
            assert!(replica.find("a", &token(n)).await.unwrap().is_some());
        }
        assert!(one.end("a", &token(n)).await.unwrap());
        assert!(one.find("a", &token(n)).await.unwrap().is_none());
        // Far sooner than the few seconds for which an entry would be trusted.
        within(SOON, "the other knows", || async { two.find("a", &token(n)).await.unwrap().is_none() }).await;
    }
    for flush in ["FLUSHALL", "FLUSHDB"] {
        one.open("a", &token(1), session("person", 60)).await.unwrap();
        assert!(two.find("a", &token(1)).await.unwrap().is_some());
        server.ask(&[flush]);
        within(SOON, "a flush is seen", || async { two.find("a", &token(1)).await.unwrap().is_none() }).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_ended_while_a_replica_was_cut_off_is_not_served_from_its_cache() {
    let mut server = harness::Redis::start();
    let store = in_redis(&server.url()).await;
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    assert!(store.find("a", &token(1)).await.unwrap().is_some());
    server.kill();
    server.restart();
    server.ask(&["FLUSHALL"]);
    within(Duration::from_secs(1), "the session is gone", || async {
        matches!(store.find("a", &token(1)).await, Ok(None))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_warm_session_is_found_without_asking_redis() {
    let server = harness::Redis::start();
    let store = in_redis(&server.url()).await;
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    let first = store.find("a", &token(1)).await.unwrap().unwrap();
    let second = store.find("a", &token(1)).await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_key_has_prefix_and_tenant_and_a_time_to_live_and_holds_no_token() {
    let server = harness::Redis::start();
    let store = in_redis(&server.url()).await;
    store.open("manulife", &token(0xab), session("person", 60)).await.unwrap();
    store.claim("manulife", "claim", b"1", MINUTE).await.unwrap();
    store.put("manulife", "put", b"1", MINUTE).await.unwrap();
    for _ in 0..3 {
        store.increment("manulife", "count", MINUTE).await.unwrap();
    }
    let answer = server.ask(&["KEYS", "*"]);
    let keys: Vec<&str> = answer.lines().filter(|line| line.starts_with("menlou")).collect();
    let session_key = format!("menlou:{{manulife}}:s:{}", "ab".repeat(32));
    assert!(answer.starts_with("*6\r\n") && keys.len() == 6 && keys.contains(&&*session_key), "{answer}");
    assert!(keys.iter().all(|key| key.starts_with("menlou:{manulife}:")));
    for key in keys {
        let answer = server.ask(&["PTTL", key]);
        let left: i64 = answer.lines().next().unwrap().trim_start_matches(':').parse().unwrap();
        assert!((1..=60_000).contains(&left), "{key}: {left}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_forbids_tracking_is_used_without_a_cache() {
    let server = harness::Redis::start();
    server.ask(&["ACL", "SETUSER", "narrow", "on", ">word", "~*", "+@all", "-client|tracking"]);
    let url = server.url().replace("redis://", "redis://narrow:word@");
    let store = in_redis(&url).await;
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    assert!(store.find("a", &token(1)).await.unwrap().is_some());
    server.ask(&["FLUSHALL"]);
    assert!(store.find("a", &token(1)).await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_error_holds_the_password_or_the_record() {
    let server = harness::Redis::start();
    let url = server.url().replace("redis://", "redis://nobody:hunter2@");
    let refused = in_redis(&url).await.ping().await.unwrap_err().to_string();
    assert!(refused.contains("refused the credentials") && !refused.contains("hunter2"), "{refused}");
    for url in ["redis+sentinel://u:hunter2@127.0.0.1:1", "http://u:hunter2@127.0.0.1", "hunter2"] {
        let error = Redis::open(&SecretString::from(url), None, "menlou").await.err().unwrap().to_string();
        assert!(!error.contains("hunter2") && error.contains("session store"), "{error}");
    }
    let store = in_redis(&server.url()).await;
    let key = format!("menlou:{{a}}:s:{}", "01".repeat(32));
    for record in ["{\"secret\"", "{}"] {
        server.ask(&["SET", &key, record, "PX", "60000"]);
        let error = store.find("a", &token(1)).await.unwrap_err();
        assert!(matches!(&error, Error::Corrupt(text) if !text.contains("secret")), "{error}");
    }
    server.ask(&["DEL", &key]);
    server.ask(&["LPUSH", &key, "secret"]);
    let error = store.find("a", &token(1)).await.unwrap_err().to_string();
    assert!(error.contains("WRONGTYPE"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_one_replica_ended_are_over_in_the_others() {
    let server = harness::Redis::start();
    let (one, two) = (in_redis(&server.url()).await, in_redis(&server.url()).await);
    for n in 1..=2 {
        one.open("a", &token(n), session("person", 60)).await.unwrap();
        assert!(two.find("a", &token(n)).await.unwrap().is_some(), "in the cache");
    }
    assert_eq!(two.list("a", "wechat", "person").await.unwrap().len(), 2);
    assert!(one.end("a", &token(1)).await.unwrap());
    within(SOON, "one is over", || async { two.find("a", &token(1)).await.unwrap().is_none() }).await;
    assert_eq!(one.end_all("a").await.unwrap(), 1);
    within(SOON, "all are over", || async { two.find("a", &token(2)).await.unwrap().is_none() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_of_ended_sessions_is_tidied_up_by_those_that_are_opened() {
    let server = harness::Redis::start();
    let store = in_redis(&server.url()).await;
    for n in 0..40 {
        store.open("a", &token(n), session("person", 1)).await.unwrap();
    }
    sleep(Duration::from_millis(2100)).await;
    for n in 100..104 {
        store.open("a", &token(n), session("person", 60)).await.unwrap();
    }
    let client = ::redis::Client::open(server.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = ::redis::cmd("KEYS").arg("menlou:{a}:[lp]:*").query_async(&mut connection).await.unwrap();
    assert_eq!(keys.len(), 2, "one list of the tenant, one of the person: {keys:?}");
    for key in keys {
        let listed: u64 = ::redis::cmd("ZCARD").arg(&key).query_async(&mut connection).await.unwrap();
        let life: i64 = ::redis::cmd("TTL").arg(&key).query_async(&mut connection).await.unwrap();
        assert!(listed == 4 && (50..=60).contains(&life), "{key}: {listed} for {life} s");
    }
}
