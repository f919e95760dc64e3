//! A gigabyte each way, in constant memory.

use crate::{at, get, headers, post, server::Server};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Body, Frame, SizeHint};
use menlou_call::BodyStream;
use menlou_error::Error;
use menlou_upstream::ForwardRequest;
use std::{
    fs,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::{task::JoinSet, time::sleep};

const GIGABYTE: usize = 1 << 30;
const PIECE: usize = 1 << 18;
/// By how much the process may grow meanwhile.
const GROWTH: usize = 32 << 20;

/// The memory of this process that is resident, in bytes.
fn resident() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// A gigabyte of zeros that knows its length.
struct Zeros(usize);

impl Body for Zeros {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        self.0 -= PIECE;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; PIECE])))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0 as u64)
    }
}

fn in_chunks() -> BodyStream {
    let pieces = (0..GIGABYTE / PIECE).map(|_| Ok(Frame::data(Bytes::from(vec![0; PIECE]))));
    StreamBody::new(stream::iter(pieces)).boxed_unsync()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_passes_each_way_in_constant_memory() {
    let server = Server::start(|mut talk| async move {
        let mut taken = 0;
        if talk.head.starts_with("post") {
            while taken < GIGABYTE {
                let more = talk.more().await;
                assert!(!more.is_empty());
                taken += more.len();
            }
            // What frames the chunks came as well, and is not counted apart: the rest has to be taken, too.
            talk.say(format!("HTTP/1.1 200 OK\r\nConnection: close\r\nX-Taken: {taken}\r\nContent-Length: 0\r\n\r\n"))
                .await;
            while talk.header("transfer-encoding").is_some() && !talk.more().await.is_empty() {}
            return None;
        }
        talk.say(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n")).await;
        let zeros = vec![0; PIECE];
        while taken < GIGABYTE && talk.say(&zeros).await {
            taken += zeros.len();
        }
        Some(talk)
    })
    .await;
    let upstream = at(&[&server.url]);
    let before = resident();
    let most = Arc::new(AtomicUsize::new(0));
    let watched = Arc::clone(&most);
    let mut watching = JoinSet::new();
    watching.spawn(async move {
        loop {
            watched.fetch_max(resident(), SeqCst);
            sleep(Duration::from_millis(10)).await;
        }
    });
    let grown = || most.load(SeqCst).saturating_sub(before);
    for body in [Zeros(GIGABYTE).boxed_unsync(), in_chunks()] {
        let request =
            ForwardRequest { headers: headers(&[("content-type", "application/octet-stream")]), ..post(body) };
        let answer = upstream.forward(request).await.unwrap();
        assert!(answer.headers()["x-taken"].to_str().unwrap().parse::<usize>().unwrap() >= GIGABYTE);
        assert!((1..GROWTH).contains(&grown()), "grown by {}", grown());
    }
    let mut body = upstream.forward(get()).await.unwrap().into_body();
    let mut taken = 0;
    while let Some(frame) = body.frame().await {
        taken += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(taken, GIGABYTE);
    assert!(grown() < GROWTH, "grown by {}", grown());
}
