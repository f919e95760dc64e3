//! Look-ups in a streaming replica of PostgreSQL are never stale.

use crate::{
    test_stores::open_replicated,
    users::{identity, new},
    waiting::within,
};
use menlou_harness as harness;
use menlou_store::{AccountSelector, Postgres, UserStore};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Longer than look-ups go to the primary after a change.
const SETTLED: Duration = Duration::from_secs(8);

async fn name(store: &Postgres, openid: &str) -> Option<String> {
    store.find("a", "wechat", openid).await.unwrap().map(|user| user.name.clone())
}

/// When a connection to the replica last looked up a binding; empty: never.
fn last_lookup(replica: &harness::Postgres) -> String {
    replica.query(
        "SELECT coalesce(max(query_start)::text, '') FROM pg_stat_activity
        WHERE query LIKE '%FROM bindings%' AND pid <> pg_backend_pid()",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replica_is_read_except_for_recent_changes() {
    let primary = harness::Postgres::start();
    let mut replica = primary.replica();
    let (one, two) =
        (open_replicated(&primary.url(), &replica.url()).await, open_replicated(&primary.url(), &replica.url()).await);
    let first = one.bind("a", &identity("o1"), new("first")).await.unwrap().unwrap();
    for openid in ["o2", "o3", "o4"] {
        one.bind("a", &identity(openid), new("other")).await.unwrap();
    }
    assert_eq!(name(&two, "o1").await.as_deref(), Some("first"));
    assert_eq!(last_lookup(&replica), "", "right after the change the primary is read");
    within(SETTLED + Duration::from_secs(10), "the replica is read", || async {
        name(&two, "o2").await;
        name(&two, "nobody").await;
        !last_lookup(&replica).is_empty()
    })
    .await;

    // From now on the replica gets no changes. Each change must be visible immediately, or a moment later in the other store.
    replica.query("SELECT pg_wal_replay_pause()");
    let start = Instant::now();
    one.bind("a", &identity("o5"), new("just logged in")).await.unwrap();
    assert_eq!(name(&two, "o5").await.as_deref(), Some("just logged in"));
    let soon = Duration::from_secs(1);
    one.update("a", first.id, Some("renamed"), None).await.unwrap();
    one.bind("a", &identity("o3"), AccountSelector::Existing(first.id)).await.unwrap();
    one.unbind("a", "wechat", "o4").await.unwrap();
    assert_eq!(name(&one, "o1").await.as_deref(), Some("renamed"));
    assert_eq!(name(&one, "o3").await.as_deref(), Some("renamed"));
    assert_eq!(name(&one, "o4").await, None);
    within(soon, "the name", || async { name(&two, "o1").await.as_deref() == Some("renamed") }).await;
    within(soon, "the binding", || async { name(&two, "o3").await.as_deref() == Some("renamed") }).await;
    within(soon, "the unbinding", || async { name(&two, "o4").await.is_none() }).await;
    // For longer than changes are looked up in the primary, and than anything is cached.
    while start.elapsed() < SETTLED + Duration::from_secs(2) {
        for store in [&one, &two] {
            assert_eq!(name(store, "o1").await.as_deref(), Some("renamed"));
            assert_eq!(name(store, "o3").await.as_deref(), Some("renamed"));
            assert_eq!(name(store, "o4").await, None);
        }
        // The interval of the checks.
        sleep(Duration::from_millis(100)).await;
    }
    let before = last_lookup(&replica);
    replica.query("SELECT pg_wal_replay_resume()");
    within(Duration::from_secs(15), "the replica is read again", || async {
        for openid in ["o1", "o2", "o3"] {
            assert!(name(&two, openid).await.is_some());
        }
        last_lookup(&replica) > before
    })
    .await;

    // The death of the replica fails no look-up.
    replica.kill();
    for _ in 0..3 {
        // Cached entries have to expire.
        sleep(Duration::from_secs(2)).await;
        let start = Instant::now();
        assert_eq!(name(&two, "o1").await.as_deref(), Some("renamed"));
        assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    }
    replica.restart();
    within(Duration::from_secs(20), "the replica is read after its restart", || async {
        name(&two, "o1").await;
        name(&two, "o2").await;
        !last_lookup(&replica).is_empty()
    })
    .await;
}
