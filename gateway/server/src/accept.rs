//! Connections: taken up, bounded in number, and drained when the gateway stops.

use super::{
    TrafficState,
    addresses::{AddressPlace, Addresses},
    begun::Begun,
    calls::Calls,
    early_response,
    layers::AdmissionService,
    request_id,
    wire::{self, Reset, Wire},
};
use crate::proxies::Proxies;
use crate::tls::Tls;
use hyper::{
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use menlou_config::server::{Http2, Server};
use menlou_error::codes;
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{sleep, timeout},
};

/// How much of an answer over HTTP/2 is taken ahead of the client, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// How long a client that began and never went on may take for its answer.
const PARTING: Duration = Duration::from_secs(1);
/// How many headers hyper takes where it is not told.
const HYPER_MAX_HEADERS: usize = 100;

/// Serves connections until `stop` is ready; then takes no more, and gives the calls in flight `drain_timeout` to end.
pub async fn serve(listener: TcpListener, traffic: Arc<TrafficState>, stop: impl Future<Output = ()>) {
    tokio::task::spawn_blocking(request_id::prepare);
    let limits = traffic.limits.clone();
    let places = Arc::new(Semaphore::new(limits.max_connections));
    let (stopping, stopped) = watch::channel(false);
    let connections = Arc::new(Connections::new(traffic));
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, remote, place) = tokio::select! {
            () = &mut stop => break,
            next = next(&listener, &places) => next,
        };
        let remote = remote.ip().to_canonical();
        let Some(of_address) = connections.admit(remote) else { continue };
        let (connections, stopped) = (connections.clone(), stopped.clone());
        tokio::spawn(async move {
            connections.open.increment(1.0);
            connections.serve(stream, remote, stopped).await;
            connections.open.decrement(1.0);
            drop((place, of_address));
        });
    }
    drop((listener, stopped));
    stopping.send_replace(true);
    // Each connection holds a receiver until it ends.
    if timeout(limits.drain_timeout.get(), stopping.closed()).await.is_err() {
        tracing::warn!("calls in flight were given up at the end of drain_timeout");
    }
}

/// What every connection is served by.
struct Connections {
    http1: http1::Builder,
    http2: Option<http2::Builder<TokioExecutor>>,
    tls: Option<Arc<Tls>>,
    handshake: Duration,
    proxies: Arc<Proxies>,
    addresses: Addresses,
    first_byte: Duration,
    wire: wire::Limits,
    bounded: AdmissionService,
    open: metrics::Gauge,
}

impl Connections {
    fn new(traffic: Arc<TrafficState>) -> Self {
        let (limits, http2) = (&traffic.limits, &traffic.http2);
        let proxies = traffic.proxies.clone();
        Self {
            http1: http1(limits),
            http2: http2.enabled.then(|| self::http2(limits, http2)),
            tls: traffic.tls.clone(),
            handshake: traffic.handshake_timeout,
            proxies,
            addresses: Addresses::new(traffic.clients.max_connections_per_address),
            first_byte: traffic.clients.first_byte_timeout.get(),
            wire: wire::Limits::of(limits, &traffic.clients, http2),
            bounded: AdmissionService::new(traffic),
            open: metrics::gauge!("menlou_connections"),
        }
    }

    /// A place among the connections of this address. Those of a proxy are as many as its clients need.
    fn admit(&self, address: IpAddr) -> Option<Option<AddressPlace>> {
        if self.proxies.trusts(address) {
            return Some(None);
        }
        let place = self.addresses.take(address);
        if place.is_none() {
            metrics::counter!("menlou_connections_rejected_total", "reason" => "address").increment(1);
        }
        place.map(Some)
    }

    /// Serves a connection until it ends, or, where the gateway stops, its calls have.
    async fn serve(&self, stream: TcpStream, peer: IpAddr, mut stopped: watch::Receiver<bool>) {
        let (mut stream, mut remote) = (Begun::new(stream), peer);
        if self.proxies.begins(peer) {
            let preamble = tokio::select! {
                preamble = timeout(self.first_byte, stream.preamble()) => preamble,
                () = told(&mut stopped) => return,
            };
            match preamble {
                Ok(Ok(client)) => remote = client.unwrap_or(peer),
                Ok(Err(e)) => return tracing::debug!(cause = %e, proxy = %peer, "no PROXY protocol"),
                Err(_) => return let_go("silent"),
            }
        }
        let _of_client = match remote == peer {
            true => None,
            false => match self.admit(remote) {
                Some(place) => place,
                None => return,
            },
        };
        self.speak(stream, remote, stopped).await;
    }

    /// Finds out what the client speaks, and speaks it.
    async fn speak(&self, mut stream: Begun<TcpStream>, remote: IpAddr, mut stopped: watch::Receiver<bool>) {
        let Some(tls) = &self.tls else {
            let begun = tokio::select! {
                begun = self.begin(&mut stream) => begun,
                () = told(&mut stopped) => None,
            };
            return match begun {
                Some(true) => Box::pin(self.speak_http2(stream, remote, stopped)).await,
                Some(false) => self.speak_http1(stream, remote, stopped).await,
                None => {}
            };
        };
        let handshake = timeout(self.handshake, tls.acceptor().accept(stream));
        let stream = tokio::select! {
            done = handshake => match done {
                Ok(Ok(stream)) => stream,
                Ok(Err(e)) => return tracing::debug!(cause = %e, "a TLS handshake failed"),
                Err(_) => return let_go("handshake"),
            },
            () = told(&mut stopped) => return,
        };
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Box::pin(self.speak_http2(stream, remote, stopped)).await,
            _ => self.speak_http1(stream, remote, stopped).await,
        }
    }

    /// Waits for the first bytes, which tell whether they are HTTP/2's.
    async fn begin(&self, begun: &mut Begun<TcpStream>) -> Option<bool> {
        if self.http2.is_none() {
            return Some(false);
        }
        match timeout(self.first_byte, begun.speaks_http2()).await {
            Ok(Ok(http2)) => return Some(http2),
            Ok(Err(e)) => tracing::debug!(cause = %e, "a connection ended early"),
            Err(_) if begun.is_begun() => {
                let_go("slow_head");
                // It has this moment to be written; nobody waits for it to be read.
                let _ = timeout(PARTING, begun.write_all(&early_response::answer(&codes::REQUEST_TIMEOUT))).await;
            }
            Err(_) => let_go("silent"),
        }
        None
    }

    async fn speak_http1<T>(&self, stream: T, remote: IpAddr, stopped: watch::Receiver<bool>)
    where
        T: AsyncRead + AsyncWrite + Reset + Unpin + 'static,
    {
        let calls = Calls::new();
        let wire = Wire::http1(stream, &self.wire, calls.clone());
        let service = service_fn(|request| self.bounded.clone().answer(request, remote, calls.clone()));
        until_done(self.http1.serve_connection(TokioIo::new(wire), service), &calls, stopped).await;
    }

    async fn speak_http2<T>(&self, stream: T, remote: IpAddr, stopped: watch::Receiver<bool>)
    where
        T: AsyncRead + AsyncWrite + Reset + Unpin + 'static,
    {
        let Some(http2) = &self.http2 else { return };
        let (calls, bounded) = (Calls::new(), self.bounded.clone());
        let wire = Wire::http2(stream, &self.wire, calls.clone());
        let of_service = calls.clone();
        let service = service_fn(move |request| bounded.clone().answer(request, remote, of_service.clone()));
        until_done(http2.serve_connection(TokioIo::new(wire), service), &calls, stopped).await;
    }
}

fn http1(limits: &Server) -> http1::Builder {
    let mut http = http1::Builder::new();
    // Heads are waited for, and those that are too long refused, before hyper has them.
    http.header_read_timeout(None).max_buf_size(2 * limits.max_header_bytes.bytes());
    if limits.max_headers != HYPER_MAX_HEADERS {
        // Set, it costs a table for each request; hyper's own default lies on the stack.
        http.max_headers(limits.max_headers);
    }
    http
}

fn http2(limits: &Server, http2: &Http2) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(http2.max_streams)
        .max_pending_accept_reset_streams(http2.max_pending_resets)
        .max_local_error_reset_streams(http2.max_pending_resets)
        .max_header_list_size(u32::try_from(limits.max_header_bytes.bytes()).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(http2.ping_interval.get())
        .keep_alive_timeout(http2.ping_timeout.get());
    http
}

/// Drives a connection until it ends. Where it takes no more calls, or the gateway stops, those that are open may end.
async fn until_done<C>(connection: C, calls: &Calls, mut stopped: watch::Receiver<bool>)
where
    C: GracefulConnection,
    C::Error: std::fmt::Display,
{
    let mut connection = std::pin::pin!(connection);
    let done = tokio::select! {
        done = connection.as_mut() => Some(done),
        () = told(&mut stopped) => None,
        () = calls.ending() => None,
    };
    let done = match done {
        Some(done) => done,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // A client that hangs up or speaks no HTTP is its own affair.
    if let Err(e) = done {
        tracing::debug!(cause = %e, "a connection ended early");
    }
}

/// Ready when the gateway stops.
async fn told(stopped: &mut watch::Receiver<bool>) {
    // The sender outlives every connection.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

fn let_go(why: &'static str) {
    metrics::counter!("menlou_connections_closed_total", "reason" => why).increment(1);
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
