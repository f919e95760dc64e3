//! One connection: PROXY protocol, TLS, version of HTTP, guard, hyper.

use super::{config::ListenerConfig, in_flight::ConnectionService};
use crate::{
    early_response,
    guard::{GatewayHooks, count_closed},
    http_service::HttpService,
    proxies::Proxies,
    tls::Tls,
};
use http_guard::{CloseReason, GuardConfig, GuardedStream, InFlight, PeekedStream, Reset, Violation};
use hyper::server::conn::{http1, http2};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::graceful::GracefulConnection,
};
use menlou_config::server::Http2;
use menlou_error::codes;
use std::{fmt::Display, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::timeout,
};

/// How much of a response over HTTP/2 is buffered ahead of the client, in bytes.
const SEND_BUFFER: usize = 64 * 1024;
/// How long the response to an incomplete first request may take to be written.
const LAST_WRITE_TIMEOUT: Duration = Duration::from_secs(1);
/// hyper's own maximum number of header fields.
const HYPER_MAX_HEADERS: usize = 100;

/// Everything that is needed to serve the connections of a listener but the service.
pub struct Protocols {
    http1: http1::Builder,
    http2: Option<http2::Builder<TokioExecutor>>,
    tls: Option<Arc<Tls>>,
    handshake_timeout: Duration,
    first_byte_timeout: Duration,
    proxies: Arc<Proxies>,
    proxy_protocol: bool,
    guard: GuardConfig,
    max_requests: u64,
}

/// Version of HTTP that a client speaks.
enum Version {
    Http1,
    Http2,
}

impl Protocols {
    /// Prepares the servers of hyper.
    pub fn new(config: ListenerConfig) -> Self {
        let http2 = config.http2.as_ref();
        Self {
            http1: http1_builder(&config),
            http2: http2.filter(|http2| http2.enabled).map(|http2| http2_builder(&config, http2)),
            tls: config.tls,
            handshake_timeout: config.handshake_timeout,
            first_byte_timeout: config.first_byte_timeout,
            proxies: config.proxies,
            proxy_protocol: config.proxy_protocol,
            guard: config.guard,
            max_requests: config.max_requests_per_connection,
        }
    }

    /// Whether this address is a trusted proxy's.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.proxies.trusts(address)
    }

    /// Reads the PROXY protocol where `peer` has to send it. Returns the connection and the client's address; `None`
    /// where the connection is to be closed.
    pub async fn read_proxy_header(
        &self,
        stream: TcpStream,
        peer: IpAddr,
        mut stopped: watch::Receiver<bool>,
    ) -> Option<(PeekedStream<TcpStream>, IpAddr)> {
        let mut stream = PeekedStream::new(stream);
        if !self.proxy_protocol || !self.proxies.expects_proxy_protocol(peer) {
            return Some((stream, peer));
        }
        let header = tokio::select! {
            header = timeout(self.first_byte_timeout, stream.read_proxy_header()) => header,
            () = wait_for_stop(&mut stopped) => return None,
        };
        match header {
            Ok(Ok(client)) => return Some((stream, client.unwrap_or(peer))),
            Ok(Err(e)) => tracing::debug!(cause = %e, proxy = %peer, "invalid PROXY protocol header"),
            Err(_) => count_closed(CloseReason::FirstByteTimeout.name()),
        }
        None
    }

    /// Finds out which version of HTTP the client speaks and serves it. `service` is called once, when that is known.
    pub async fn serve<S: HttpService>(
        &self,
        mut stream: PeekedStream<TcpStream>,
        service: impl FnOnce() -> S,
        mut stopped: watch::Receiver<bool>,
    ) {
        let Some(tls) = &self.tls else {
            let version = tokio::select! {
                version = self.detect_version(&mut stream) => version,
                () = wait_for_stop(&mut stopped) => None,
            };
            return match version {
                Some(Version::Http2) => Box::pin(self.serve_http2(stream, service(), stopped)).await,
                Some(Version::Http1) => self.serve_http1(stream, service(), stopped).await,
                None => {}
            };
        };
        let handshake = timeout(self.handshake_timeout, tls.acceptor().accept(stream));
        let stream = tokio::select! {
            done = handshake => match done {
                Ok(Ok(stream)) => stream,
                Ok(Err(e)) => return tracing::debug!(cause = %e, "TLS handshake failed"),
                Err(_) => return count_closed("handshake"),
            },
            () = wait_for_stop(&mut stopped) => return,
        };
        match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Box::pin(self.serve_http2(stream, service(), stopped)).await,
            _ => self.serve_http1(stream, service(), stopped).await,
        }
    }

    /// Reads the first bytes of a connection without TLS: HTTP/2 begins with a preface. `None` where the connection is
    /// to be closed. Without HTTP/2 nothing is read.
    async fn detect_version(&self, stream: &mut PeekedStream<TcpStream>) -> Option<Version> {
        if self.http2.is_none() {
            return Some(Version::Http1);
        }
        match timeout(self.first_byte_timeout, stream.is_http2()).await {
            Ok(Ok(true)) => return Some(Version::Http2),
            Ok(Ok(false)) => return Some(Version::Http1),
            Ok(Err(e)) => tracing::debug!(cause = %e, "connection broken"),
            Err(_) if stream.has_peeked() => {
                count_closed(Violation::HeadTimeout.name());
                // The connection is closed once this is written, whether or not the client reads it.
                let response = early_response::http1(&codes::REQUEST_TIMEOUT);
                let _ = timeout(LAST_WRITE_TIMEOUT, stream.write_all(&response)).await;
            }
            Err(_) => count_closed(CloseReason::FirstByteTimeout.name()),
        }
        None
    }

    async fn serve_http1<T, S>(&self, stream: T, service: S, stopped: watch::Receiver<bool>)
    where
        T: AsyncRead + AsyncWrite + Reset + Unpin + 'static,
        S: HttpService,
    {
        let in_flight = InFlight::new();
        let stream = GuardedStream::http1(stream, &self.guard, in_flight.clone(), GatewayHooks);
        let service = ConnectionService::new(service, in_flight.clone(), self.max_requests);
        drive(self.http1.serve_connection(TokioIo::new(stream), service), &in_flight, stopped).await;
    }

    async fn serve_http2<T, S>(&self, stream: T, service: S, stopped: watch::Receiver<bool>)
    where
        T: AsyncRead + AsyncWrite + Reset + Unpin + 'static,
        S: HttpService,
    {
        let Some(http2) = &self.http2 else { return };
        let in_flight = InFlight::new();
        let stream = GuardedStream::http2(stream, &self.guard, in_flight.clone(), GatewayHooks);
        let service = ConnectionService::new(service, in_flight.clone(), self.max_requests);
        drive(http2.serve_connection(TokioIo::new(stream), service), &in_flight, stopped).await;
    }
}

fn http1_builder(config: &ListenerConfig) -> http1::Builder {
    let mut http = http1::Builder::new();
    // The guard applies the deadline and the maximum size of heads before hyper sees them.
    http.header_read_timeout(None).max_buf_size(2 * config.guard.max_head_bytes);
    if config.max_headers != HYPER_MAX_HEADERS {
        // hyper allocates a table per request once this is set, and keeps its own default on the stack.
        http.max_headers(config.max_headers);
    }
    http
}

fn http2_builder(config: &ListenerConfig, http2: &Http2) -> http2::Builder<TokioExecutor> {
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(http2.max_streams)
        .max_pending_accept_reset_streams(http2.max_pending_resets)
        .max_local_error_reset_streams(http2.max_pending_resets)
        .max_header_list_size(u32::try_from(config.guard.max_head_bytes).unwrap_or(u32::MAX))
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(http2.ping_interval.get())
        .keep_alive_timeout(http2.ping_timeout.get());
    http
}

/// Drives a connection until it ends. When it has had its last request, or the gateway stops, it is shut down gracefully:
/// requests in flight may end.
async fn drive<C>(connection: C, in_flight: &InFlight, mut stopped: watch::Receiver<bool>)
where
    C: GracefulConnection,
    C::Error: Display,
{
    let mut connection = pin!(connection);
    let done = tokio::select! {
        done = connection.as_mut() => Some(done),
        () = wait_for_stop(&mut stopped) => None,
        () = in_flight.close_requested() => None,
    };
    let done = match done {
        Some(done) => done,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    // Clients that hang up or do not speak HTTP are no fault of the gateway.
    if let Err(e) = done {
        tracing::debug!(cause = %e, "connection broken");
    }
}

/// Ready when the gateway stops.
async fn wait_for_stop(stopped: &mut watch::Receiver<bool>) {
    // The sender outlives every connection.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
