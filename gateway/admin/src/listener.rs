//! The admin listener: bounds of its own, the layers that traffic has too.

use crate::api::internal_error;
use axum::Router;
use http_guard::GuardConfig;
use menlou_server::{
    layers::{panic_guard::PanicGuardLayer, request_context::RequestContextLayer},
    listener::{self, ListenerConfig},
    proxies::Proxies,
    tls::Tls,
};
use std::{future::Future, net::IpAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tower::{Layer, ServiceBuilder};

/// Maximum number of open connections.
const MAX_CONNECTIONS: usize = 256;
/// Maximum number of open connections of one address: it must not lock out probes and admins.
const MAX_CONNECTIONS_PER_ADDRESS: usize = MAX_CONNECTIONS / 2;
/// Maximum number of header fields of a request.
const MAX_HEADERS: usize = 100;
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum time that requests in flight may take once the gateway stops.
const MAX_DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// What the admin listener shares with the traffic listener, or has from the config.
pub struct AdminListener {
    /// Certificate; `None` means plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// Bounds and deadlines of the guard.
    pub guard: GuardConfig,
    /// How long a client may take to send its first bytes.
    pub first_byte_timeout: Duration,
    /// Trusted proxies.
    pub proxies: Arc<Proxies>,
    /// How long requests in flight may take once the gateway stops; at most 5 s count.
    pub drain_timeout: Duration,
}

/// Serves until `stop` is ready and the requests in flight have ended.
pub async fn serve(listener: TcpListener, settings: AdminListener, routes: Router, stop: impl Future<Output = ()>) {
    let proxies = settings.proxies.clone();
    let shared = ServiceBuilder::new()
        // A panic in any handler, of a page or the API, becomes 500 and a log line.
        .layer(PanicGuardLayer::new(internal_error))
        .service(routes);
    // Outermost, as the others use its context; for each connection, since it knows the peer.
    let new_service = move |peer: IpAddr| RequestContextLayer::new(peer, proxies.clone()).layer(shared.clone());
    let config = ListenerConfig {
        name: "admin",
        max_connections: MAX_CONNECTIONS,
        max_connections_per_address: MAX_CONNECTIONS_PER_ADDRESS,
        max_requests_per_connection: u64::MAX,
        max_headers: MAX_HEADERS,
        drain_timeout: settings.drain_timeout.min(MAX_DRAIN_TIMEOUT),
        handshake_timeout: HANDSHAKE_TIMEOUT,
        first_byte_timeout: settings.first_byte_timeout,
        guard: settings.guard,
        http2: None,
        tls: settings.tls,
        proxies: settings.proxies,
        proxy_protocol: false,
        open_connections: metrics::Gauge::noop(),
    };
    listener::serve(listener, config, new_service, stop).await;
}
