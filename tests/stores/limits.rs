//! Limits counted in Redis and in memory: the same algorithm, to the tick.

use crate::test_stores::in_redis;
use menlou_config::rate::Rate;
use menlou_harness as harness;
use menlou_store::rate_limits::{LocalRateLimiter, RateLimitCheck, SharedRateLimiter};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{runtime::Handle, task::block_in_place, time::sleep};

const CALLERS: [Option<&str>; 3] = [None, Some("127.0.0.1"), Some("a")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_redis_agree_on_every_call() {
    let server = harness::Redis::start();
    let redis = in_redis(&server.url()).await;
    let tenants = AtomicUsize::new(0);
    let rate = prop_oneof![
        (200..20_000u32, 1..6u32).prop_map(|(n, burst)| format!("{n}/s burst {burst}")),
        (1..5u32).prop_map(|n| format!("{n}/h")),
    ];
    let rate = rate.prop_map(|written| written.parse::<Rate>().unwrap());
    // For each call whose limits it has to pass, and how many microseconds later it comes.
    let calls = vec((vec((0..CALLERS.len(), 0..4usize), 1..4), 0..2000u64), 1..40);
    let mut runner = TestRunner::new(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() });
    runner
        .run(&(vec(rate, 4), calls), |(rates, calls)| {
            let tenant = format!("t{}", tenants.fetch_add(1, Ordering::Relaxed));
            let memory = LocalRateLimiter::new();
            for (wanted, pause) in calls {
                let mut checks: Vec<RateLimitCheck<'_>> = Vec::new();
                for (subject, limit) in wanted {
                    let name = ["calls", "per_address", "x.calls", "x.per_openid"][limit];
                    if checks.iter().all(|known| known.limit != name) {
                        // Now and then the limit is another than it was.
                        let rate = &rates[(limit + pause as usize / 1500) % rates.len()];
                        checks.push(RateLimitCheck { limit: name, subject: CALLERS[subject], rate });
                    }
                }
                let taken = block_in_place(|| {
                    Handle::current().block_on(async {
                        sleep(Duration::from_micros(pause)).await;
                        redis.acquire(&tenant, &checks).await
                    })
                });
                let taken = taken.expect("an answer of Redis");
                prop_assert_eq!(&memory.acquire_at(taken.at, &checks), &taken);
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_raced_pass_no_more_often_and_what_is_kept_goes_by_itself() {
    let server = harness::Redis::start();
    let (one, other) = (in_redis(&server.url()).await, in_redis(&server.url()).await);
    let rate: Rate = "50/h".parse().unwrap();
    let take = async |store: &menlou_store::Redis, rate: &Rate| {
        let checks = [
            RateLimitCheck { limit: "calls", subject: None, rate },
            RateLimitCheck { limit: "per_address", subject: Some("a"), rate },
        ];
        store.acquire("acme", &checks).await.unwrap().allowed
    };
    let raced = (0..200).map(|at| take(if at % 2 == 0 { &one } else { &other }, &rate));
    let passed = futures_util::future::join_all(raced).await.into_iter().filter(|allowed| *allowed).count();
    assert_eq!(passed, 50);
    for key in ["menlou:{acme}:r:calls", "menlou:{acme}:r:per_address:a"] {
        let life: u64 = server.ask(&["PTTL", key]).trim_start_matches(':').lines().next().unwrap().parse().unwrap();
        assert!((3_500_000..=3_600_000).contains(&life), "{key}: {life}");
    }
    // A limit that was changed: its old debt counts for no more than the new limit's whole burst.
    let fast: Rate = "1000/s burst 10".parse().unwrap();
    assert!(!take(&one, &fast).await);
    sleep(Duration::from_millis(20)).await;
    assert!(take(&one, &fast).await);
}
