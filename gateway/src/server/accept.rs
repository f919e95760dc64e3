//! Connections: taken up, bounded in number, and drained when the gateway stops.

use super::{Traffic, layers::Bounded, wire::Wire};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use std::{future::Future, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// How many headers hyper takes where it is not told.
const HYPER_MAX_HEADERS: usize = 100;

/// Serves connections until `stop` is ready; then takes no more, and gives the calls in flight `drain_timeout` to end.
pub async fn serve(listener: TcpListener, traffic: Arc<Traffic>, stop: impl Future<Output = ()>) {
    let limits = traffic.limits.clone();
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        // Also closes a connection that sends nothing, which hyper's own default keeps for ever.
        .header_read_timeout(limits.header_timeout.get())
        // More than a head may have: those that are too long are refused before hyper has them.
        .max_buf_size(2 * limits.max_header_bytes.bytes());
    if limits.max_headers != HYPER_MAX_HEADERS {
        // Set, it costs a table for each request; hyper's own default lies on the stack.
        http.max_headers(limits.max_headers);
    }
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let draining = GracefulShutdown::new();
    let bounded = Bounded::new(traffic);
    let open = metrics::gauge!("menlou_connections");
    let max_head = limits.max_header_bytes.bytes();
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, remote, place) = tokio::select! {
            () = &mut stop => break,
            next = next(&listener, &places) => next,
        };
        let bounded = bounded.clone();
        let service = service_fn(move |request| bounded.clone().answer(request, remote.ip()));
        let connection = draining.watch(http.serve_connection(TokioIo::new(Wire::new(stream, max_head)), service));
        let open = open.clone();
        tokio::spawn(async move {
            open.increment(1.0);
            // A client that hangs up or speaks no HTTP is its own affair.
            if let Err(e) = connection.await {
                tracing::debug!(cause = %e, "a connection ended early");
            }
            open.decrement(1.0);
            drop(place);
        });
    }
    drop(listener);
    if timeout(limits.drain_timeout.get(), draining.shutdown()).await.is_err() {
        tracing::warn!("calls in flight were given up at the end of drain_timeout");
    }
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, Option<tokio::sync::OwnedSemaphorePermit>) {
    // The semaphore is never closed. A connection beyond the bound waits in the listener's queue.
    let place = places.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                let _ = stream.set_nodelay(true);
                return (stream, remote, place);
            }
            Err(e) => refused(&e).await,
        }
    }
}

/// A connection that broke off before it was taken up is nothing; out of files, waiting is all that helps.
async fn refused(e: &io::Error) {
    if !matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    ) {
        tracing::error!(cause = %e, "connections can't be taken up");
        sleep(Duration::from_millis(100)).await;
    }
}
