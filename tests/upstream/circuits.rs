//! Servers that keep failing are left alone, and tried again.

use crate::{OK, Upstream, get, options, piecewise, post, server::Server, server::nobody, text, until, upstream};
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

const SHORT: Duration = Duration::from_secs(1);
const BUSY: &str = "HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n";

/// A server that is as well as `well` says, and the options of a circuit that opens after three failures.
async fn scene() -> (Server, Arc<AtomicBool>, UpstreamOptions) {
    let well = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&well);
    let server = Server::start(move |mut talk| {
        let well = seen.load(SeqCst);
        async move {
            talk.body().await;
            talk.say(if well { OK } else { BUSY }).await;
            Some(talk)
        }
    })
    .await;
    let options = UpstreamOptions { break_after: 3, break_for: SHORT, ..options(&[&server.url]) };
    (server, well, options)
}

async fn status(upstream: &Upstream) -> Result<u16, Error> {
    let answer = upstream.forward(get()).await?;
    let status = answer.status().as_u16();
    text(answer).await?;
    Ok(status)
}

#[tokio::test]
async fn three_failures_in_a_row_open_it_and_a_good_trial_closes_it() {
    let (server, well, options) = scene().await;
    let upstream = upstream(options);
    for failing in [2, 2, 3] {
        well.store(true, SeqCst);
        assert_eq!(status(&upstream).await.unwrap(), 200);
        well.store(false, SeqCst);
        for _ in 0..failing {
            assert_eq!(status(&upstream).await.unwrap(), 503, "the server's own answer");
        }
    }
    let asked = server.asked();
    let error = status(&upstream).await.unwrap_err();
    assert!(error.is(&codes::UPSTREAM_UNAVAILABLE) && error.status() == 503, "{error}");
    assert_eq!(error.wait(), Some(Duration::from_secs(1)), "one second is the least that Retry-After can say");
    assert_eq!(server.asked(), asked);

    sleep(SHORT).await;
    assert_eq!(status(&upstream).await.unwrap(), 503, "a trial, and a bad one");
    assert!(status(&upstream).await.is_err());
    assert_eq!(server.asked(), asked + 1);

    well.store(true, SeqCst);
    sleep(SHORT).await;
    for _ in 0..3 {
        assert_eq!(status(&upstream).await.unwrap(), 200);
    }
}

#[tokio::test]
async fn who_is_refused_is_told_when_a_server_will_be_tried_again() {
    let (_server, _, options) = scene().await;
    let upstream = upstream(UpstreamOptions { break_for: Duration::from_millis(59_900), break_after: 1, ..options });
    assert_eq!(status(&upstream).await.unwrap(), 503);
    assert_eq!(status(&upstream).await.unwrap_err().wait(), Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn what_cannot_be_reached_or_does_not_answer_opens_it_and_the_others_serve() {
    let silent = Server::start(|mut talk| async move {
        while !talk.more().await.is_empty() {}
        None
    })
    .await;
    let cut = Server::start(|mut talk| async move {
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
        None
    })
    .await;
    let well = Server::saying(OK).await;
    let servers = [&*nobody(), &silent.url, &cut.url, &well.url];
    let upstream = upstream(UpstreamOptions { break_after: 3, ..options(&servers) });
    let mut failed = 0;
    for _ in 0..60 {
        let answer = upstream.forward(ForwardRequest { timeout: Duration::from_secs(2), ..get() }).await;
        let whole = match answer {
            Ok(answer) => text(answer).await,
            Err(error) => Err(error),
        };
        failed += usize::from(whole.is_err());
    }
    assert_eq!(failed, 9, "three of each");
    assert_eq!((silent.asked(), cut.asked(), well.asked()), (3, 3, 51));
}

#[tokio::test]
async fn one_trial_at_a_time_and_a_dropped_one_leaves_its_place() {
    let (held, release) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (holding, released) = (Arc::clone(&held), Arc::clone(&release));
    let server = Server::start(move |mut talk| {
        let (held, release) = (Arc::clone(&holding), Arc::clone(&released));
        async move {
            if talk.nth == 1 {
                talk.say(BUSY).await;
                return Some(talk);
            }
            held.store(true, SeqCst);
            release.notified().await;
            talk.say(OK).await;
            Some(talk)
        }
    })
    .await;
    let upstream = Arc::new(upstream(UpstreamOptions { break_after: 1, break_for: SHORT, ..options(&[&server.url]) }));
    assert_eq!(status(&upstream).await.unwrap(), 503);
    sleep(SHORT).await;
    for dropped in [true, false] {
        let own = Arc::clone(&upstream);
        let trial = tokio::spawn(async move { status(&own).await });
        until(|| held.swap(false, SeqCst)).await;
        assert!(status(&upstream).await.unwrap_err().is(&codes::UPSTREAM_UNAVAILABLE));
        if dropped {
            trial.abort();
            assert!(trial.await.is_err());
        } else {
            release.notify_waiters();
            assert_eq!(trial.await.unwrap().unwrap(), 200);
        }
    }
    let own = Arc::clone(&upstream);
    let calls = [(); 2].map(|()| {
        tokio::spawn({
            let own = Arc::clone(&own);
            async move { status(&own).await }
        })
    });
    until(|| server.asked() == 5).await;
    release.notify_waiters();
    for call in calls {
        assert_eq!(call.await.unwrap().unwrap(), 200, "closed: calls pass side by side");
    }
}

#[tokio::test]
async fn the_clients_own_faults_do_not_open_it_nor_do_calls_that_were_given_up() {
    let answers = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&answers);
    let server = Server::start(move |mut talk| {
        let answers = seen.load(SeqCst);
        async move {
            if talk.head.starts_with("post") {
                talk.body().await;
                return None;
            }
            if !answers {
                while !talk.more().await.is_empty() {}
                return None;
            }
            talk.say(OK).await;
            Some(talk)
        }
    })
    .await;
    let upstream = upstream(UpstreamOptions { break_after: 1, ..options(&[&server.url]) });
    for _ in 0..3 {
        let (sender, body) = piecewise();
        let fault = sender.send(Err(Error::new(&codes::BODY_TOO_LARGE)));
        let (answer, _) = tokio::join!(upstream.forward(post(body)), fault);
        assert!(answer.unwrap_err().is(&codes::BODY_TOO_LARGE));
        let given_up = tokio::time::timeout(Duration::from_millis(20), upstream.forward(get())).await;
        assert!(given_up.is_err());
    }
    answers.store(true, SeqCst);
    assert_eq!(status(&upstream).await.unwrap(), 200);
}

#[tokio::test]
async fn what_happens_is_counted_under_names_from_the_configuration() {
    let (server, well, options) = scene().await;
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
    well.store(true, SeqCst);
    sleep(SHORT).await;
    status(&upstream).await.unwrap();
    drop(upstream.forward(post(piecewise().1)));
    assert_eq!((requests("refused"), requests("answered"), value("menlou_upstream_circuit_open", "")), (3.0, 1.0, 0.0));
    assert_eq!((requests("timeout"), value("menlou_upstream_request_duration_seconds_count", "")), (0.0, 4.0));
    well.store(false, SeqCst);
    for _ in 0..3 {
        status(&upstream).await.unwrap();
    }
    assert_eq!(value("menlou_upstream_circuit_open", ""), 1.0);
    drop(upstream);
    assert_eq!(value("menlou_upstream_circuit_open", ""), 0.0, "an upstream that is no more is not open");
}
