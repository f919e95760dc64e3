//! Connections: taken up, bounded in number, and drained when the gateway stops.

use super::{
    Traffic,
    addresses::Addresses,
    calls::Calls,
    layers::Bounded,
    wire::{self, Wire},
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
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
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let addresses = Addresses::new(traffic.clients.max_connections_per_address);
    let connections = Connections::new(traffic);
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, remote, place) = tokio::select! {
            () = &mut stop => break,
            next = next(&listener, &places) => next,
        };
        match addresses.take(remote.ip()) {
            Some(of_address) => connections.serve(stream, remote, (place, of_address)),
            None => metrics::counter!("menlou_connections_refused_total", "why" => "address").increment(1),
        }
    }
    drop(listener);
    if timeout(limits.drain_timeout.get(), connections.drain()).await.is_err() {
        tracing::warn!("calls in flight were given up at the end of drain_timeout");
    }
}

/// What every connection is served by.
struct Connections {
    http: http1::Builder,
    bounded: Bounded,
    wire: wire::Limits,
    draining: GracefulShutdown,
    open: metrics::Gauge,
}

impl Connections {
    fn new(traffic: Arc<Traffic>) -> Self {
        let mut http = http1::Builder::new();
        // Heads are waited for, and those that are too long refused, before hyper has them.
        http.header_read_timeout(None).max_buf_size(2 * traffic.limits.max_header_bytes.bytes());
        if traffic.limits.max_headers != HYPER_MAX_HEADERS {
            // Set, it costs a table for each request; hyper's own default lies on the stack.
            http.max_headers(traffic.limits.max_headers);
        }
        let wire = wire::Limits::of(&traffic.limits, &traffic.clients);
        let open = metrics::gauge!("menlou_connections");
        Self { http, bounded: Bounded::new(traffic), wire, draining: GracefulShutdown::new(), open }
    }

    /// Serves a connection, which holds its places until it ends.
    fn serve(&self, stream: TcpStream, remote: SocketAddr, places: impl Send + 'static) {
        let (bounded, calls) = (self.bounded.clone(), Calls::new());
        let wire = Wire::new(stream, &self.wire, calls.clone());
        let service = service_fn(move |request| bounded.clone().answer(request, remote.ip(), calls.clone()));
        let connection = self.draining.watch(self.http.serve_connection(TokioIo::new(wire), service));
        let open = self.open.clone();
        tokio::spawn(async move {
            open.increment(1.0);
            // A client that hangs up or speaks no HTTP is its own affair.
            if let Err(e) = connection.await {
                tracing::debug!(cause = %e, "a connection ended early");
            }
            open.decrement(1.0);
            drop(places);
        });
    }

    async fn drain(self) {
        self.draining.shutdown().await;
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
