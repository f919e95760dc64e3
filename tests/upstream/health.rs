//! HealthCheckOptions checks: who is taken out, who is taken in, and when they end.

use crate::{OK, Upstream, get, options, server::Server, text, until, upstream};
use menlou_error::codes;
use menlou_upstream::{HealthCheckOptions, MIN_INTERVAL, UpstreamOptions};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU16, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Set as a status: each other check is answered by 500.
const NOW_AND_THEN: u16 = 1;

/// A server whose `/up` answers the status that is set; 0: it does not answer. All else is answered.
async fn scene() -> (Server, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let (seen, failed) = (Arc::clone(&status), Arc::new(AtomicBool::new(false)));
    let server = Server::start(move |mut talk| {
        let status = match seen.load(SeqCst) {
            NOW_AND_THEN if talk.head.contains("/up") && !failed.fetch_xor(true, SeqCst) => 500,
            NOW_AND_THEN => 200,
            status => status,
        };
        async move {
            if talk.head.starts_with("get /base/up http/1.1") {
                if status == 0 {
                    sleep(Duration::from_secs(60)).await;
                }
                talk.say(format!("HTTP/1.1 {status} So\r\nContent-Length: 0\r\n\r\n")).await;
            } else {
                talk.say(OK).await;
            }
            Some(talk)
        }
    })
    .await;
    (server, status)
}

fn checked(servers: &[&Server]) -> Upstream {
    let urls: Vec<_> = servers.iter().map(|s| format!("{}/base", s.url)).collect();
    let health = HealthCheckOptions { path: "/up".to_owned(), interval: MIN_INTERVAL };
    let upstream =
        upstream(UpstreamOptions { health: Some(health), ..options(&urls.iter().map(|u| &**u).collect::<Vec<_>>()) });
    upstream.start();
    upstream
}

fn checks(server: &Server) -> usize {
    server.heads().iter().filter(|head| head.contains("/up")).count()
}

fn calls(server: &Server) -> usize {
    server.asked() - checks(server)
}

async fn more_checks(server: &Server) {
    let so_far = checks(server);
    // The one that began last may not have been taken note of.
    until(|| checks(server) >= so_far + 4).await;
}

#[tokio::test]
async fn a_server_that_fails_its_checks_gets_no_calls_until_it_is_well() {
    let ((ill, status), (well, _)) = (scene().await, scene().await);
    let upstream = checked(&[&ill, &well]);
    for bad in [500, 404, 0] {
        status.store(bad, SeqCst);
        more_checks(&ill).await;
        let before = (calls(&ill), calls(&well));
        for _ in 0..4 {
            assert_eq!(text(upstream.forward(get()).await.unwrap()).await.unwrap(), "fine");
        }
        assert_eq!((calls(&ill), calls(&well)), (before.0, before.1 + 4), "{bad}");

        status.store(302, SeqCst);
        more_checks(&ill).await;
        for _ in 0..4 {
            text(upstream.forward(get()).await.unwrap()).await.unwrap();
        }
        assert_eq!(calls(&ill), before.0 + 2, "{bad}");
    }
}

#[tokio::test]
async fn where_all_are_ill_no_server_is_asked() {
    let (server, status) = scene().await;
    let upstream = checked(&[&server]);
    text(upstream.forward(get()).await.unwrap()).await.unwrap();
    status.store(500, SeqCst);
    more_checks(&server).await;
    let error = upstream.forward(get()).await.unwrap_err();
    assert!(error.is(&codes::UPSTREAM_UNAVAILABLE) && error.wait() == Some(Duration::from_secs(1)), "{error}");
    assert_eq!(calls(&server), 1);
    status.store(204, SeqCst);
    more_checks(&server).await;
    text(upstream.forward(get()).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn one_failed_check_takes_nobody_out() {
    let (server, status) = scene().await;
    status.store(NOW_AND_THEN, SeqCst);
    let upstream = checked(&[&server]);
    while checks(&server) < 10 {
        text(upstream.forward(get()).await.unwrap()).await.unwrap();
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn checks_begin_with_start_and_end_with_the_upstream() {
    let (server, _) = scene().await;
    let health = HealthCheckOptions { path: "/up".to_owned(), interval: MIN_INTERVAL };
    let unstarted = upstream(UpstreamOptions { health: Some(health), ..options(&[&server.url]) });
    // Time is the subject: nothing shows that no check will begin.
    sleep(MIN_INTERVAL * 3).await;
    assert_eq!(server.asked(), 0);
    drop(unstarted);

    let upstream = checked(&[&server]);
    upstream.start();
    more_checks(&server).await;
    let (so_far, start) = (checks(&server), Instant::now());
    // Time is the subject: the rate of the checks.
    sleep(MIN_INTERVAL * 10).await;
    let (more, intervals) = (checks(&server) - so_far, start.elapsed().div_duration_f64(MIN_INTERVAL));
    assert!(more >= 2 && more as f64 <= 1.4 * intervals, "started twice, but {more} checks in {intervals} intervals");
    assert!(server.heads()[0].contains(concat!("user-agent: menlou/", env!("CARGO_PKG_VERSION"))));

    let answer = upstream.forward(get()).await.unwrap();
    drop(upstream);
    // A check that is in flight may still arrive; then none does.
    let start = Instant::now();
    let mut before = usize::MAX;
    while checks(&server) != before {
        assert!(start.elapsed() < Duration::from_secs(20), "the checks go on");
        before = checks(&server);
        sleep(MIN_INTERVAL * 5).await;
    }
    assert_eq!(text(answer).await.unwrap(), "fine", "an answer under way outlives it");
}
