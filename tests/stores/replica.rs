//! Look-ups by a real streaming replica of PostgreSQL are never stale.

use crate::{
    redis::within,
    test_stores::in_replicated,
    users::{identity, new},
};
use menlou_harness as harness;
use menlou_store::{AccountSelector, Postgres, UserStore};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Longer than the primary is asked about what has changed.
const SETTLED: Duration = Duration::from_secs(8);

async fn name(store: &Postgres, openid: &str) -> Option<String> {
    store.find("a", "wechat", openid).await.unwrap().map(|user| user.name.clone())
}

/// Whether a connection to the replica has looked bindings up, and when the last time was.
fn looked_up(replica: &harness::Postgres) -> String {
    replica.ask(
        "SELECT coalesce(max(query_start)::text, '') FROM pg_stat_activity
        WHERE query LIKE '%FROM bindings%' AND pid <> pg_backend_pid()",
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_replica_is_asked_about_what_has_settled_and_the_primary_about_all_else() {
    let primary = harness::Postgres::start();
    let mut replica = primary.replica();
    let (one, two) =
        (in_replicated(&primary.url(), &replica.url()).await, in_replicated(&primary.url(), &replica.url()).await);
    let first = one.bind("a", &identity("o1"), new("first")).await.unwrap().unwrap();
    for openid in ["o2", "o3", "o4"] {
        one.bind("a", &identity(openid), new("other")).await.unwrap();
    }
    assert_eq!(name(&two, "o1").await.as_deref(), Some("first"));
    assert_eq!(looked_up(&replica), "", "a moment after the change the primary is asked");
    sleep(SETTLED).await;
    within(Duration::from_secs(10), "the replica is asked", || async {
        name(&two, "o2").await;
        name(&two, "nobody").await;
        !looked_up(&replica).is_empty()
    })
    .await;

    // From now on the replica sees nothing new. Whatever happens is known everywhere at once, or a moment later.
    replica.ask("SELECT pg_wal_replay_pause()");
    let begun = Instant::now();
    one.bind("a", &identity("o5"), new("just logged in")).await.unwrap();
    assert_eq!(name(&two, "o5").await.as_deref(), Some("just logged in"));
    let moment = Duration::from_secs(1);
    one.update("a", first.id, Some("renamed"), None).await.unwrap();
    one.bind("a", &identity("o3"), AccountSelector::Existing(first.id)).await.unwrap();
    one.unbind("a", "wechat", "o4").await.unwrap();
    assert_eq!(name(&one, "o1").await.as_deref(), Some("renamed"));
    assert_eq!(name(&one, "o3").await.as_deref(), Some("renamed"));
    assert_eq!(name(&one, "o4").await, None);
    within(moment, "the other knows the name", || async { name(&two, "o1").await.as_deref() == Some("renamed") }).await;
    within(moment, "the binding", || async { name(&two, "o3").await.as_deref() == Some("renamed") }).await;
    within(moment, "the unbinding", || async { name(&two, "o4").await.is_none() }).await;
    // Past the time for which changes are remembered, and past that for which anything is cached.
    while begun.elapsed() < SETTLED + Duration::from_secs(2) {
        for store in [&one, &two] {
            assert_eq!(name(store, "o1").await.as_deref(), Some("renamed"));
            assert_eq!(name(store, "o3").await.as_deref(), Some("renamed"));
            assert_eq!(name(store, "o4").await, None);
        }
        sleep(Duration::from_millis(100)).await;
    }
    let before = looked_up(&replica);
    replica.ask("SELECT pg_wal_replay_resume()");
    within(Duration::from_secs(15), "the replica is asked again", || async {
        for openid in ["o1", "o2", "o3"] {
            assert!(name(&two, openid).await.is_some());
        }
        looked_up(&replica) > before
    })
    .await;

    // Its death is no one's.
    replica.kill();
    for _ in 0..3 {
        sleep(Duration::from_secs(2)).await;
        let begun = Instant::now();
        assert_eq!(name(&two, "o1").await.as_deref(), Some("renamed"));
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    }
    replica.restart();
    within(Duration::from_secs(20), "it is asked when it is back", || async {
        name(&two, "o1").await;
        name(&two, "o2").await;
        !looked_up(&replica).is_empty()
    })
    .await;
}
