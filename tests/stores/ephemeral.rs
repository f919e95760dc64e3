//! The contract of stores for ephemeral values.

use crate::test_stores::TestStores;
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const MINUTE: Duration = Duration::from_secs(60);
/// A short time to live.
const BRIEF: Duration = Duration::from_millis(300);

async fn read(stores: &TestStores, tenant: &str, key: &str) -> Option<Vec<u8>> {
    stores.ephemeral.get(tenant, key).await.unwrap()
}

pub async fn one_of_many_concurrent_claims_succeeds(stores: &TestStores) {
    let mut tasks = JoinSet::new();
    for n in 0..50_u8 {
        let ephemeral = Arc::clone(&stores.ephemeral);
        tasks.spawn(async move { ephemeral.claim("a", "code", &[n], MINUTE).await.unwrap().then_some(n) });
    }
    let winners: Vec<u8> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(read(stores, "a", "code").await, Some(winners));
}

pub async fn expired_claim_can_be_made_again(stores: &TestStores) {
    let start = Instant::now();
    assert!(stores.ephemeral.claim("a", "code", b"1", BRIEF).await.unwrap());
    let claimed = stores.ephemeral.claim("a", "code", b"2", BRIEF).await.unwrap();
    assert!(!claimed || start.elapsed() > BRIEF);
    // The time to live has to pass.
    sleep(BRIEF + Duration::from_millis(5)).await;
    assert!(stores.ephemeral.claim("a", "code", b"3", MINUTE).await.unwrap());
    assert_eq!(read(stores, "a", "code").await.as_deref(), Some(&b"3"[..]));
}

pub async fn claim_can_be_read_replaced_and_removed(stores: &TestStores) {
    assert!(stores.ephemeral.claim("a", "code", b"1", MINUTE).await.unwrap());
    stores.ephemeral.put("a", "code", b"2", MINUTE).await.unwrap();
    assert!(!stores.ephemeral.claim("a", "code", b"3", MINUTE).await.unwrap());
    assert_eq!(read(stores, "a", "code").await.as_deref(), Some(&b"2"[..]));
    stores.ephemeral.remove("a", "code").await.unwrap();
    assert!(stores.ephemeral.claim("a", "code", b"4", MINUTE).await.unwrap());
}

pub async fn value_is_read_until_it_expires(stores: &TestStores) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let start = Instant::now();
    stores.ephemeral.put("a", "key", &every_byte, BRIEF).await.unwrap();
    let found = read(stores, "a", "key").await;
    assert!(found.as_ref() == Some(&every_byte) || start.elapsed() > BRIEF);
    // The time to live has to pass.
    sleep(BRIEF + Duration::from_millis(5)).await;
    assert_eq!(read(stores, "a", "key").await, None);
}

pub async fn put_replaces_value_and_ttl(stores: &TestStores) {
    stores.ephemeral.put("a", "key", b"1", BRIEF).await.unwrap();
    stores.ephemeral.put("a", "key", b"2", MINUTE).await.unwrap();
    // The time to live has to pass.
    sleep(BRIEF + Duration::from_millis(5)).await;
    assert_eq!(read(stores, "a", "key").await.as_deref(), Some(&b"2"[..]));
}

pub async fn empty_value_is_stored(stores: &TestStores) {
    stores.ephemeral.put("a", "key", b"", MINUTE).await.unwrap();
    assert_eq!(read(stores, "a", "key").await, Some(Vec::new()));
}

pub async fn removed_value_is_gone(stores: &TestStores) {
    stores.ephemeral.put("a", "key", b"1", MINUTE).await.unwrap();
    stores.ephemeral.remove("a", "key").await.unwrap();
    assert_eq!(read(stores, "a", "key").await, None);
    stores.ephemeral.remove("a", "key").await.unwrap();
}

pub async fn values_are_separate_per_tenant(stores: &TestStores) {
    stores.ephemeral.put("a", "key", b"a's", MINUTE).await.unwrap();
    assert_eq!(read(stores, "b", "key").await, None);
    assert!(stores.ephemeral.claim("b", "key", b"b's", MINUTE).await.unwrap());
    assert_eq!(stores.ephemeral.increment("a", "counter", MINUTE).await.unwrap(), 1);
    assert_eq!(stores.ephemeral.increment("b", "counter", MINUTE).await.unwrap(), 1);
    stores.ephemeral.remove("b", "key").await.unwrap();
    assert_eq!(read(stores, "a", "key").await.as_deref(), Some(&b"a's"[..]));
}

pub async fn concurrent_increments_are_all_counted(stores: &TestStores) {
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let ephemeral = Arc::clone(&stores.ephemeral);
        tasks.spawn(async move { ephemeral.increment("a", "attempts", MINUTE).await.unwrap() });
    }
    let mut sums = tasks.join_all().await;
    sums.sort_unstable();
    assert_eq!(sums, (1..=50).collect::<Vec<u64>>());
    assert_eq!(read(stores, "a", "attempts").await.as_deref(), Some(&b"50"[..]));
    stores.ephemeral.remove("a", "attempts").await.unwrap();
    assert_eq!(stores.ephemeral.increment("a", "attempts", MINUTE).await.unwrap(), 1);
}

pub async fn counter_restarts_after_its_window_despite_increments(stores: &TestStores) {
    let start = Instant::now();
    let mut sums = Vec::new();
    // Further increments must not extend the window.
    while start.elapsed() < BRIEF * 2 {
        sums.push(stores.ephemeral.increment("a", "attempts", BRIEF).await.unwrap());
        // Increments are spread over the window.
        sleep(Duration::from_millis(20)).await;
    }
    // On a busy machine the loop may have ended before the window was restarted.
    sums.push(stores.ephemeral.increment("a", "attempts", BRIEF).await.unwrap());
    let restarts = sums.iter().filter(|sum| **sum == 1).count();
    assert!(restarts >= 2, "{sums:?}");
}

pub async fn longest_and_shortest_ttl_are_accepted(stores: &TestStores) {
    stores.ephemeral.put("a", "long", b"1", Duration::from_secs(30 * 24 * 3600)).await.unwrap();
    assert!(read(stores, "a", "long").await.is_some());
    stores.ephemeral.put("a", "short", b"1", Duration::from_millis(1)).await.unwrap();
    // The time to live has to pass.
    sleep(Duration::from_millis(20)).await;
    assert_eq!(read(stores, "a", "short").await, None);
}

pub async fn ping_succeeds(stores: &TestStores) {
    stores.ephemeral.ping().await.unwrap();
}
