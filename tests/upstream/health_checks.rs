//! Active health checks: which servers get requests, and when checks start and end.

use crate::{OK, Upstream, body_text, get, options, server::Server, upstream, wait_until};
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

/// Set as a status: checks get 500 and 200 in turn.
const ALTERNATING: u16 = 1;
/// Set as a status: checks get no response.
const SILENT: u16 = 0;

/// A server whose `/up` responds with the status that is set. All other paths respond 200.
async fn checked_server() -> (Server, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let (current, failed) = (Arc::clone(&status), Arc::new(AtomicBool::new(false)));
    let server = Server::start(move |mut connection| {
        let status = match current.load(SeqCst) {
            ALTERNATING if connection.head.contains("/up") && !failed.fetch_xor(true, SeqCst) => 500,
            ALTERNATING => 200,
            status => status,
        };
        async move {
            if connection.head.starts_with("get /base/up http/1.1") {
                if status == SILENT {
                    connection.wait_for_close().await;
                    return None;
                }
                connection.send(format!("HTTP/1.1 {status} Status\r\nContent-Length: 0\r\n\r\n")).await;
            } else {
                connection.send(OK).await;
            }
            Some(connection)
        }
    })
    .await;
    (server, status)
}

fn checked_upstream(servers: &[&Server]) -> Upstream {
    let urls: Vec<_> = servers.iter().map(|s| format!("{}/base", s.url)).collect();
    let health = HealthCheckOptions { path: "/up".to_owned(), interval: MIN_INTERVAL };
    let upstream =
        upstream(UpstreamOptions { health: Some(health), ..options(&urls.iter().map(|u| &**u).collect::<Vec<_>>()) });
    upstream.start();
    upstream
}

fn check_count(server: &Server) -> usize {
    server.request_heads().iter().filter(|head| head.contains("/up")).count()
}

fn request_count(server: &Server) -> usize {
    server.request_count() - check_count(server)
}

/// Waits until the checks have recorded the status that was set before.
async fn wait_for_checks(server: &Server) {
    let before = check_count(server);
    // The first of these may have started before the status was set, and the last may still be running.
    wait_until(|| check_count(server) >= before + 4).await;
}

#[tokio::test]
async fn a_server_that_fails_its_checks_gets_no_requests_until_it_recovers() {
    let ((unhealthy, status), (healthy, _)) = (checked_server().await, checked_server().await);
    let upstream = checked_upstream(&[&unhealthy, &healthy]);
    for bad in [500, 404, SILENT] {
        status.store(bad, SeqCst);
        wait_for_checks(&unhealthy).await;
        let before = (request_count(&unhealthy), request_count(&healthy));
        for _ in 0..4 {
            assert_eq!(body_text(upstream.forward(get()).await.unwrap()).await.unwrap(), "fine");
        }
        assert_eq!((request_count(&unhealthy), request_count(&healthy)), (before.0, before.1 + 4), "{bad}");

        status.store(302, SeqCst);
        wait_for_checks(&unhealthy).await;
        for _ in 0..4 {
            body_text(upstream.forward(get()).await.unwrap()).await.unwrap();
        }
        assert_eq!(request_count(&unhealthy), before.0 + 2, "{bad}");
    }
}

#[tokio::test]
async fn without_a_healthy_server_no_request_is_sent() {
    let (server, status) = checked_server().await;
    let upstream = checked_upstream(&[&server]);
    body_text(upstream.forward(get()).await.unwrap()).await.unwrap();
    status.store(500, SeqCst);
    wait_for_checks(&server).await;
    let error = upstream.forward(get()).await.unwrap_err();
    assert!(error.is(&codes::UPSTREAM_UNAVAILABLE) && error.wait() == Some(Duration::from_secs(1)), "{error}");
    assert_eq!(request_count(&server), 1);
    status.store(204, SeqCst);
    wait_for_checks(&server).await;
    body_text(upstream.forward(get()).await.unwrap()).await.unwrap();
}

#[tokio::test]
async fn one_failed_check_removes_no_server() {
    let (server, status) = checked_server().await;
    status.store(ALTERNATING, SeqCst);
    let upstream = checked_upstream(&[&server]);
    let started = Instant::now();
    let mut pause = tokio::time::interval(Duration::from_millis(5));
    while check_count(&server) < 10 {
        assert!(started.elapsed() < Duration::from_secs(20), "fewer than 10 checks within 20 s");
        body_text(upstream.forward(get()).await.unwrap()).await.unwrap();
        pause.tick().await;
    }
}

#[tokio::test]
async fn checks_run_from_start_until_the_upstream_is_dropped() {
    let (server, _) = checked_server().await;
    let health = HealthCheckOptions { path: "/up".to_owned(), interval: MIN_INTERVAL };
    let unstarted = upstream(UpstreamOptions { health: Some(health), ..options(&[&server.url]) });
    // Time is the subject: no event shows that no check will start.
    sleep(MIN_INTERVAL * 3).await;
    assert_eq!(server.request_count(), 0, "no checks before start");
    drop(unstarted);

    let upstream = checked_upstream(&[&server]);
    upstream.start();
    wait_for_checks(&server).await;
    let (before, started) = (check_count(&server), Instant::now());
    // Time is the subject: the rate of the checks.
    sleep(MIN_INTERVAL * 10).await;
    let (checks, intervals) = (check_count(&server) - before, started.elapsed().div_duration_f64(MIN_INTERVAL));
    assert!(checks >= 2, "{checks} checks in {intervals} intervals");
    assert!(
        checks as f64 <= 1.4 * intervals,
        "the second start doubled them: {checks} checks in {intervals} intervals"
    );
    assert!(server.request_heads()[0].contains(concat!("user-agent: menlou/", env!("CARGO_PKG_VERSION"))));

    let response = upstream.forward(get()).await.unwrap();
    drop(upstream);
    // A check that is in flight may still arrive. After it, five intervals pass without a check.
    let started = Instant::now();
    let mut last = usize::MAX;
    while check_count(&server) != last {
        assert!(started.elapsed() < Duration::from_secs(20), "checks continue after the upstream is dropped");
        last = check_count(&server);
        sleep(MIN_INTERVAL * 5).await;
    }
    assert_eq!(body_text(response).await.unwrap(), "fine", "a response in progress outlives the upstream");
}
