//! What every store promises of shared values.

use crate::test_stores::TestStores;
use std::{sync::Arc, time::Duration};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

const MINUTE: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(300);

async fn read(stores: &TestStores, tenant: &str, key: &str) -> Option<Vec<u8>> {
    stores.shared.get(tenant, key).await.unwrap()
}

pub async fn one_of_many_gets_the_claim(stores: &TestStores) {
    let mut tasks = JoinSet::new();
    for n in 0..50_u8 {
        let shared = Arc::clone(&stores.shared);
        tasks.spawn(async move { shared.claim("a", "code", &[n], MINUTE).await.unwrap().then_some(n) });
    }
    let winners: Vec<u8> = tasks.join_all().await.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(read(stores, "a", "code").await, Some(winners));
}

pub async fn a_claim_can_be_made_again_when_its_life_is_over(stores: &TestStores) {
    assert!(stores.shared.claim("a", "code", b"1", BRIEF).await.unwrap());
    assert!(!stores.shared.claim("a", "code", b"2", BRIEF).await.unwrap());
    sleep(BRIEF + Duration::from_millis(5)).await;
    assert!(stores.shared.claim("a", "code", b"3", MINUTE).await.unwrap());
    assert_eq!(read(stores, "a", "code").await.as_deref(), Some(&b"3"[..]));
}

pub async fn a_claim_is_a_value_like_any_other(stores: &TestStores) {
    assert!(stores.shared.claim("a", "code", b"1", MINUTE).await.unwrap());
    stores.shared.put("a", "code", b"2", MINUTE).await.unwrap();
    assert!(!stores.shared.claim("a", "code", b"3", MINUTE).await.unwrap());
    assert_eq!(read(stores, "a", "code").await.as_deref(), Some(&b"2"[..]));
    stores.shared.remove("a", "code").await.unwrap();
    assert!(stores.shared.claim("a", "code", b"4", MINUTE).await.unwrap());
}

pub async fn a_value_is_read_as_it_was_put_until_its_life_is_over(stores: &TestStores) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let start = Instant::now();
    stores.shared.put("a", "key", &every_byte, BRIEF).await.unwrap();
    let found = read(stores, "a", "key").await;
    assert!(found.as_ref() == Some(&every_byte) || start.elapsed() > BRIEF);
    sleep(BRIEF + Duration::from_millis(5)).await;
    assert_eq!(read(stores, "a", "key").await, None);
}

pub async fn put_replaces_value_and_life(stores: &TestStores) {
    stores.shared.put("a", "key", b"1", BRIEF).await.unwrap();
    stores.shared.put("a", "key", b"2", MINUTE).await.unwrap();
    sleep(BRIEF + Duration::from_millis(5)).await;
    assert_eq!(read(stores, "a", "key").await.as_deref(), Some(&b"2"[..]));
}

pub async fn an_empty_value_is_a_value(stores: &TestStores) {
    stores.shared.put("a", "key", b"", MINUTE).await.unwrap();
    assert_eq!(read(stores, "a", "key").await, Some(Vec::new()));
}

pub async fn a_removed_value_is_gone(stores: &TestStores) {
    stores.shared.put("a", "key", b"1", MINUTE).await.unwrap();
    stores.shared.remove("a", "key").await.unwrap();
    assert_eq!(read(stores, "a", "key").await, None);
    stores.shared.remove("a", "key").await.unwrap();
}

pub async fn tenants_do_not_see_each_other_s_values(stores: &TestStores) {
    stores.shared.put("a", "key", b"of a", MINUTE).await.unwrap();
    assert_eq!(read(stores, "b", "key").await, None);
    assert!(stores.shared.claim("b", "key", b"of b", MINUTE).await.unwrap());
    assert_eq!(stores.shared.increment("a", "counter", MINUTE).await.unwrap(), 1);
    assert_eq!(stores.shared.increment("b", "counter", MINUTE).await.unwrap(), 1);
    stores.shared.remove("b", "key").await.unwrap();
    assert_eq!(read(stores, "a", "key").await.as_deref(), Some(&b"of a"[..]));
}

pub async fn a_counter_counts_each_of_many_at_once(stores: &TestStores) {
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let shared = Arc::clone(&stores.shared);
        tasks.spawn(async move { shared.increment("a", "attempts", MINUTE).await.unwrap() });
    }
    let mut sums = tasks.join_all().await;
    sums.sort_unstable();
    assert_eq!(sums, (1..=50).collect::<Vec<u64>>());
    assert_eq!(read(stores, "a", "attempts").await.as_deref(), Some(&b"50"[..]));
    stores.shared.remove("a", "attempts").await.unwrap();
    assert_eq!(stores.shared.increment("a", "attempts", MINUTE).await.unwrap(), 1);
}

pub async fn a_counter_starts_anew_after_its_window_however_often_it_is_counted(stores: &TestStores) {
    let start = Instant::now();
    let mut sums = Vec::new();
    // Counting on must not prolong the window.
    while start.elapsed() < BRIEF * 2 {
        sums.push(stores.shared.increment("a", "attempts", BRIEF).await.unwrap());
        sleep(Duration::from_millis(20)).await;
    }
    let starts = sums.iter().filter(|sum| **sum == 1).count();
    assert!(starts >= 2, "{sums:?}");
}

pub async fn the_longest_and_the_shortest_life_are_taken(stores: &TestStores) {
    stores.shared.put("a", "long", b"1", Duration::from_secs(30 * 24 * 3600)).await.unwrap();
    assert!(read(stores, "a", "long").await.is_some());
    stores.shared.put("a", "short", b"1", Duration::from_millis(1)).await.unwrap();
    sleep(Duration::from_millis(20)).await;
    assert_eq!(read(stores, "a", "short").await, None);
}

pub async fn ping_answers(stores: &TestStores) {
    stores.shared.ping().await.unwrap();
}
