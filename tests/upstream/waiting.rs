//! How long a server may keep us waiting, and that a client may take its time.

use crate::{OK, at, get, piece, piecewise, post, server::Server, text, whole};
use bytes::Bytes;
use menlou_error::codes;
use menlou_upstream::ForwardRequest;
use std::time::{Duration, Instant};
use tokio::time::sleep;

const SHORT: Duration = Duration::from_millis(600);
/// A timeout that a server keeps, even on a busy machine.
const LONG: Duration = Duration::from_secs(2);

#[tokio::test]
async fn a_client_that_sends_slowly_costs_the_server_no_time() {
    let server = Server::saying(OK).await;
    let (sender, body) = piecewise();
    let slow = async move {
        for _ in 0..4 {
            sleep(SHORT * 3 / 2).await;
            sender.send(Ok(Bytes::from_static(b"piece"))).await.unwrap();
        }
    };
    let upstream = at(&[&server.url]);
    let (answer, ()) = tokio::join!(upstream.forward(ForwardRequest { timeout: SHORT, ..post(body) }), slow);
    assert_eq!(text(answer.unwrap()).await.unwrap(), "fine");
}

#[tokio::test]
async fn a_server_has_its_time_from_the_last_byte_on() {
    let server = Server::start(|mut talk| async move {
        talk.body().await;
        sleep(LONG / 2).await;
        talk.say(OK).await;
        Some(talk)
    })
    .await;
    let (sender, body) = piecewise();
    let slow = async move {
        sleep(LONG * 3 / 4).await;
        sender.send(Ok(Bytes::from_static(b"piece"))).await.unwrap();
    };
    let upstream = at(&[&server.url]);
    let (answer, ()) = tokio::join!(upstream.forward(ForwardRequest { timeout: LONG, ..post(body) }), slow);
    assert_eq!(text(answer.unwrap()).await.unwrap(), "fine");
}

#[tokio::test]
async fn a_server_that_does_not_take_the_body_is_given_up() {
    let server = Server::start(|talk| async move {
        sleep(Duration::from_secs(60)).await;
        Some(talk)
    })
    .await;
    let body = whole(vec![0; 64 << 20]);
    let begun = Instant::now();
    let error = at(&[&server.url]).forward(ForwardRequest { timeout: SHORT, ..post(body) }).await.unwrap_err();
    assert!(error.is(&codes::UPSTREAM_TIMEOUT), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn a_pause_in_the_answer_breaks_it_off() {
    let server = Server::start(|mut talk| async move {
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\none").await;
        for more in ["two", "six"] {
            sleep(LONG / 2).await;
            talk.say(more).await;
        }
        sleep(Duration::from_secs(60)).await;
        Some(talk)
    })
    .await;
    let begun = Instant::now();
    let answer = at(&[&server.url]).forward(ForwardRequest { timeout: LONG, ..get() }).await.unwrap();
    let mut body = answer.into_body();
    for said in ["one", "two", "six"] {
        assert_eq!(piece(&mut body).await.unwrap().unwrap(), said);
    }
    assert!(piece(&mut body).await.unwrap().unwrap_err().is(&codes::UPSTREAM_TIMEOUT));
    assert!(piece(&mut body).await.is_none());
    assert!((LONG * 2..Duration::from_secs(20)).contains(&begun.elapsed()));
}

#[tokio::test]
async fn an_answer_that_waits_for_a_client_that_sends_slowly_is_not_paused() {
    let server = Server::start(|mut talk| async move {
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none").await;
        talk.body().await;
        talk.say("two").await;
        Some(talk)
    })
    .await;
    let (sender, body) = piecewise();
    let answer = at(&[&server.url]).forward(ForwardRequest { timeout: SHORT, ..post(body) }).await.unwrap();
    let slow = async move {
        sleep(SHORT * 5 / 2).await;
        sender.send(Ok(Bytes::from_static(b"piece"))).await.unwrap();
    };
    let (answer, ()) = tokio::join!(text(answer), slow);
    assert_eq!(answer.unwrap(), "onetwo");
}

#[tokio::test]
async fn a_client_that_takes_the_answer_slowly_breaks_nothing_off() {
    let server = Server::start(|mut talk| async move {
        talk.say("HTTP/1.1 200 OK\r\nContent-Length: 16777216\r\n\r\n").await;
        talk.say(vec![b'x'; 16 << 20]).await;
        Some(talk)
    })
    .await;
    let answer = at(&[&server.url]).forward(ForwardRequest { timeout: SHORT, ..get() }).await.unwrap();
    let mut body = answer.into_body();
    let mut taken = 0;
    let mut pieces = 0;
    while let Some(piece) = piece(&mut body).await {
        taken += piece.unwrap().len();
        pieces += 1;
        if pieces <= 3 {
            sleep(SHORT * 2).await;
        }
    }
    assert_eq!(taken, 16 << 20);
}
