//! Circuit breaking: a server that fails repeatedly gets no requests until a trial succeeds.

use crate::{
    OK, Upstream, body_text, get, options, post, server::Server, server::closed_port_url, streaming_body, upstream,
    wait_until,
};
use menlou_error::{Error, codes};
use menlou_upstream::{ForwardRequest, UpstreamOptions};
use metrics_exporter_prometheus::PrometheusBuilder;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};

/// How long a circuit stays open in these tests.
const BREAK_FOR: Duration = Duration::from_secs(1);
const UNAVAILABLE: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n";

/// A server that responds 200 while the flag is set and 503 otherwise, and options for a circuit that opens after three
/// failures.
async fn switchable_server() -> (Server, Arc<AtomicBool>, UpstreamOptions) {
    let healthy = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&healthy);
    let server = Server::start(move |mut connection| {
        let healthy = flag.load(SeqCst);
        async move {
            connection.read_body().await;
            connection.send(if healthy { OK } else { UNAVAILABLE }).await;
            Some(connection)
        }
    })
    .await;
    let options = UpstreamOptions { break_after: 3, break_for: BREAK_FOR, ..options(&[&server.url]) };
    (server, healthy, options)
}

/// Time is the subject: a trial is possible when the circuit has been open for `BREAK_FOR`.
async fn sleep_until_trial() {
    sleep(BREAK_FOR).await;
}

async fn status(upstream: &Upstream) -> Result<u16, Error> {
    let response = upstream.forward(get()).await?;
    let status = response.status().as_u16();
    body_text(response).await?;
    Ok(status)
}

#[tokio::test]
async fn three_consecutive_failures_open_the_circuit_and_a_successful_trial_closes_it() {
    let (server, healthy, options) = switchable_server().await;
    let upstream = upstream(options);
    for failing in [2, 2, 3] {
        healthy.store(true, SeqCst);
        assert_eq!(status(&upstream).await.unwrap(), 200);
        healthy.store(false, SeqCst);
        for _ in 0..failing {
            assert_eq!(status(&upstream).await.unwrap(), 503, "the response of the server");
        }
    }
    let requests = server.request_count();
    let error = status(&upstream).await.unwrap_err();
    assert!(error.is(&codes::UPSTREAM_UNAVAILABLE) && error.status() == 503, "{error}");
    assert_eq!(error.wait(), Some(Duration::from_secs(1)), "one second is the minimum of Retry-After");
    assert_eq!(server.request_count(), requests);

    sleep_until_trial().await;
    assert_eq!(status(&upstream).await.unwrap(), 503, "a failed trial");
    assert!(status(&upstream).await.is_err());
    assert_eq!(server.request_count(), requests + 1);

    healthy.store(true, SeqCst);
    sleep_until_trial().await;
    for _ in 0..3 {
        assert_eq!(status(&upstream).await.unwrap(), 200);
    }
}

#[tokio::test]
async fn a_rejected_request_is_given_the_time_until_the_next_trial() {
    let (_server, _, options) = switchable_server().await;
    let upstream = upstream(UpstreamOptions { break_for: Duration::from_millis(59_900), break_after: 1, ..options });
    assert_eq!(status(&upstream).await.unwrap(), 503);
    assert_eq!(status(&upstream).await.unwrap_err().wait(), Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn unreachable_silent_and_truncating_servers_open_their_circuits_and_the_others_serve() {
    let silent = Server::silent().await;
    let truncating = Server::truncating().await;
    let healthy = Server::with_response(OK).await;
    let servers = [&*closed_port_url(), &silent.url, &truncating.url, &healthy.url];
    let upstream = upstream(UpstreamOptions { break_after: 3, ..options(&servers) });
    let mut failed = 0;
    for _ in 0..60 {
        let response = upstream.forward(ForwardRequest { timeout: Duration::from_secs(2), ..get() }).await;
        let body = match response {
            Ok(response) => body_text(response).await,
            Err(error) => Err(error),
        };
        failed += usize::from(body.is_err());
    }
    assert_eq!(failed, 9, "three of each failing server");
    assert_eq!((silent.request_count(), truncating.request_count(), healthy.request_count()), (3, 3, 51));
}

#[tokio::test]
async fn one_trial_runs_at_a_time_and_a_cancelled_trial_makes_way_for_the_next() {
    let (held, release) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (holding, released) = (Arc::clone(&held), Arc::clone(&release));
    let server = Server::start(move |mut connection| {
        let (held, release) = (Arc::clone(&holding), Arc::clone(&released));
        async move {
            if connection.request_number == 1 {
                connection.send(UNAVAILABLE).await;
                return Some(connection);
            }
            held.store(true, SeqCst);
            release.notified().await;
            connection.send(OK).await;
            Some(connection)
        }
    })
    .await;
    let upstream =
        Arc::new(upstream(UpstreamOptions { break_after: 1, break_for: BREAK_FOR, ..options(&[&server.url]) }));
    assert_eq!(status(&upstream).await.unwrap(), 503);
    sleep_until_trial().await;
    for dropped in [true, false] {
        let trial_upstream = Arc::clone(&upstream);
        let trial = tokio::spawn(async move { status(&trial_upstream).await });
        wait_until(|| held.swap(false, SeqCst)).await;
        assert!(status(&upstream).await.unwrap_err().is(&codes::UPSTREAM_UNAVAILABLE));
        if dropped {
            trial.abort();
            assert!(trial.await.is_err());
        } else {
            release.notify_waiters();
            assert_eq!(trial.await.unwrap().unwrap(), 200);
        }
    }
    let requests = [(); 2].map(|()| {
        tokio::spawn({
            let upstream = Arc::clone(&upstream);
            async move { status(&upstream).await }
        })
    });
    wait_until(|| server.request_count() == 5).await;
    release.notify_waiters();
    for request in requests {
        assert_eq!(request.await.unwrap().unwrap(), 200, "a closed circuit admits concurrent requests");
    }
}

#[tokio::test]
async fn errors_of_the_client_and_cancelled_requests_do_not_open_the_circuit() {
    let silent = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&silent);
    let server = Server::start(move |mut connection| {
        let silent = flag.load(SeqCst);
        async move {
            if connection.head.starts_with("post") {
                connection.read_body().await;
                return None;
            }
            if silent {
                connection.wait_for_close().await;
                return None;
            }
            connection.send(OK).await;
            Some(connection)
        }
    })
    .await;
    let upstream = upstream(UpstreamOptions { break_after: 1, ..options(&[&server.url]) });
    for _ in 0..3 {
        let (sender, body) = streaming_body();
        let error = sender.send(Err(Error::new(&codes::BODY_TOO_LARGE)));
        let (response, _) = tokio::join!(upstream.forward(post(body)), error);
        assert!(response.unwrap_err().is(&codes::BODY_TOO_LARGE));
        let requests = server.request_count();
        tokio::select! {
            _ = upstream.forward(get()) => panic!("a silent server has responded"),
            () = wait_until(|| server.request_count() > requests) => {}
        }
    }
    silent.store(false, SeqCst);
    assert_eq!(status(&upstream).await.unwrap(), 200);
}

#[tokio::test]
async fn requests_and_open_circuits_are_counted_by_tenant_action_and_server() {
    let (server, healthy, options) = switchable_server().await;
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let upstream = metrics::with_local_recorder(&recorder, || upstream(options));
    let value = |name: &str, outcome: &str| {
        let labels = format!("{{tenant=\"acme\",action=\"orders\",server=\"{}\"{outcome}}} ", server.url);
        let start = format!("{name}{labels}");
        let page = handle.render();
        page.lines().find_map(|line| line.strip_prefix(&start)?.parse::<f64>().ok()).unwrap_or_else(|| panic!("{page}"))
    };
    let requests = |outcome| value("menlou_upstream_requests_total", &format!(",outcome=\"{outcome}\""));
    for _ in 0..4 {
        let _ = status(&upstream).await;
    }
    assert_eq!((requests("refused"), requests("answered"), value("menlou_upstream_circuit_open", "")), (3.0, 0.0, 1.0));
    healthy.store(true, SeqCst);
    sleep_until_trial().await;
    status(&upstream).await.unwrap();
    drop(upstream.forward(post(streaming_body().1)));
    assert_eq!((requests("refused"), requests("answered"), value("menlou_upstream_circuit_open", "")), (3.0, 1.0, 0.0));
    assert_eq!((requests("timeout"), value("menlou_upstream_request_duration_seconds_count", "")), (0.0, 4.0));
    healthy.store(false, SeqCst);
    for _ in 0..3 {
        status(&upstream).await.unwrap();
    }
    assert_eq!(value("menlou_upstream_circuit_open", ""), 1.0);
    drop(upstream);
    assert_eq!(value("menlou_upstream_circuit_open", ""), 0.0, "a dropped upstream has no open circuit");
}
