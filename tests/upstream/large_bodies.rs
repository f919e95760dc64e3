//! Large bodies: a gigabyte in each direction needs constant memory.

use crate::{get, headers, post, server::Server, upstream_to};
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
use tokio::{task::JoinSet, time::interval};

const GIGABYTE: usize = 1 << 30;
const CHUNK: usize = 1 << 18;
/// By how much the resident memory of the process may grow.
const MAX_GROWTH: usize = 32 << 20;

/// Resident memory of this process in bytes.
fn resident_memory() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

/// Zeros with a known length.
struct Zeros(usize);

impl Body for Zeros {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        if self.0 == 0 {
            return Poll::Ready(None);
        }
        self.0 -= CHUNK;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(vec![0; CHUNK])))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0 as u64)
    }
}

fn chunked_zeros() -> BodyStream {
    let chunks = (0..GIGABYTE / CHUNK).map(|_| Ok(Frame::data(Bytes::from(vec![0; CHUNK]))));
    StreamBody::new(stream::iter(chunks)).boxed_unsync()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gigabyte_is_forwarded_in_each_direction_in_constant_memory() {
    let server = Server::start(|mut connection| async move {
        let mut received = 0;
        if connection.head.starts_with("post") {
            while received < GIGABYTE {
                let chunk = connection.read_chunk().await;
                assert!(!chunk.is_empty());
                received += chunk.len();
            }
            // The count includes the chunk framing, so the end of the chunked body is still to be read.
            connection
                .send(format!(
                    "HTTP/1.1 200 OK\r\nConnection: close\r\nX-Received: {received}\r\nContent-Length: 0\r\n\r\n"
                ))
                .await;
            while connection.header("transfer-encoding").is_some() && !connection.read_chunk().await.is_empty() {}
            return None;
        }
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {GIGABYTE}\r\n\r\n")).await;
        let zeros = vec![0; CHUNK];
        while received < GIGABYTE && connection.send(&zeros).await {
            received += zeros.len();
        }
        Some(connection)
    })
    .await;
    let upstream = upstream_to(&[&server.url]);
    let before = resident_memory();
    let peak = Arc::new(AtomicUsize::new(0));
    let sampled = Arc::clone(&peak);
    let mut sampler = JoinSet::new();
    sampler.spawn(async move {
        let mut period = interval(Duration::from_millis(10));
        loop {
            period.tick().await;
            sampled.fetch_max(resident_memory(), SeqCst);
        }
    });
    let growth = || peak.load(SeqCst).saturating_sub(before);
    for body in [Zeros(GIGABYTE).boxed_unsync(), chunked_zeros()] {
        let request =
            ForwardRequest { headers: headers(&[("content-type", "application/octet-stream")]), ..post(body) };
        let response = upstream.forward(request).await.unwrap();
        assert!(response.headers()["x-received"].to_str().unwrap().parse::<usize>().unwrap() >= GIGABYTE);
        assert!((1..MAX_GROWTH).contains(&growth()), "grown by {} bytes", growth());
    }
    let mut body = upstream.forward(get()).await.unwrap().into_body();
    let mut received = 0;
    while let Some(frame) = body.frame().await {
        received += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(received, GIGABYTE);
    assert!(growth() < MAX_GROWTH, "grown by {} bytes", growth());
}
