//! Limits counted in Redis and in memory: the same algorithm, to the tick.

use crate::{test_stores::open_redis, waiting::within};
use menlou_config::rate::Rate;
use menlou_harness as harness;
use menlou_store::rate_limits::{LocalRateLimiter, RateLimitCheck, SharedRateLimiter};
use proptest::{collection::vec, prelude::*, test_runner::TestRunner};
use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};
use tokio::{runtime::Handle, task::block_in_place, time::sleep};

const SUBJECTS: [Option<&str>; 3] = [None, Some("127.0.0.1"), Some("a")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn local_and_redis_rate_limits_agree_on_every_request() {
    let server = harness::Redis::start();
    let redis = open_redis(&server.url()).await;
    let tenants = AtomicUsize::new(0);
    let rate = prop_oneof![
        (200..20_000u32, 1..6u32).prop_map(|(n, burst)| format!("{n}/s burst {burst}")),
        (1..5u32).prop_map(|n| format!("{n}/h")),
    ];
    let rate = rate.prop_map(|written| written.parse::<Rate>().unwrap());
    // For each request the subjects and limits that it has to pass, and how many microseconds after the last one it comes.
    let requests = vec((vec((0..SUBJECTS.len(), 0..4usize), 1..4), 0..2000u64), 1..40);
    let mut runner = TestRunner::new(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() });
    runner
        .run(&(vec(rate, 4), requests), |(rates, requests)| {
            let tenant = format!("t{}", tenants.fetch_add(1, Ordering::Relaxed));
            let local = LocalRateLimiter::new();
            for (wanted, pause) in requests {
                let mut checks: Vec<RateLimitCheck<'_>> = Vec::new();
                for (subject, limit) in wanted {
                    let name = ["calls", "per_address", "x.calls", "x.per_openid"][limit];
                    if checks.iter().all(|known| known.limit != name) {
                        // Sometimes the limit has another rate than before.
                        let rate = &rates[(limit + pause as usize / 1500) % rates.len()];
                        checks.push(RateLimitCheck { limit: name, subject: SUBJECTS[subject], rate });
                    }
                }
                let outcome = block_in_place(|| {
                    Handle::current().block_on(async {
                        // Time has to pass between the requests.
                        sleep(Duration::from_micros(pause)).await;
                        redis.acquire(&tenant, &checks).await
                    })
                });
                let outcome = outcome.expect("a response of Redis");
                prop_assert_eq!(&local.acquire_at(outcome.at, &checks), &outcome);
            }
            Ok(())
        })
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_requests_stay_within_the_limit_and_its_keys_expire() {
    let server = harness::Redis::start();
    let (one, other) = (open_redis(&server.url()).await, open_redis(&server.url()).await);
    let rate: Rate = "50/h".parse().unwrap();
    let acquire = async |store: &menlou_store::Redis, rate: &Rate| {
        let checks = [
            RateLimitCheck { limit: "calls", subject: None, rate },
            RateLimitCheck { limit: "per_address", subject: Some("a"), rate },
        ];
        store.acquire("acme", &checks).await.unwrap().allowed
    };
    let requests = (0..200).map(|at| acquire(if at % 2 == 0 { &one } else { &other }, &rate));
    let allowed = futures_util::future::join_all(requests).await.into_iter().filter(|allowed| *allowed).count();
    assert_eq!(allowed, 50);
    for key in ["menlou:{acme}:r:calls", "menlou:{acme}:r:per_address:a"] {
        let life: u64 = server.command(&["PTTL", key]).trim_start_matches(':').lines().next().unwrap().parse().unwrap();
        assert!((3_500_000..=3_600_000).contains(&life), "{key}: {life}");
    }
    // After a change of the rate, the old backlog counts for at most the new burst.
    let fast: Rate = "1000/s burst 10".parse().unwrap();
    assert!(!acquire(&one, &fast).await);
    within(Duration::from_secs(1), "the burst is available again", || acquire(&one, &fast)).await;
}
