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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use menlou_config::server::{Clients, Http2, Server};
    use std::net::SocketAddr;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::{Notify, oneshot},
        task::JoinHandle,
    };

    /// Serves these routes until the sender is used or dropped.
    async fn start(routes: Router) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let settings = AdminListener {
            tls: None,
            guard: menlou_server::guard_config(&Server::default(), &Clients::default(), &Http2::default()),
            first_byte_timeout: Duration::from_secs(5),
            proxies: Arc::new(Proxies::new(&menlou_config::server::Proxies::default())),
            drain_timeout: Duration::from_secs(5),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let served = tokio::spawn(serve(listener, settings, routes, stopped));
        (address, stop, served)
    }

    async fn send(address: SocketAddr, path: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-Request-Id: id-1\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    async fn response(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    async fn panicking() -> &'static str {
        panic!("a bug in a page")
    }

    #[tokio::test]
    async fn panic_in_a_get_handler_is_answered_with_500() {
        let (address, _stop, _) = start(Router::new().route("/page", get(panicking))).await;
        let text = response(send(address, "/page").await).await;
        assert!(text.starts_with("HTTP/1.1 500") && text.contains("x-request-id: id-1"), "{text}");
        assert!(text.contains("\"error\":\"internal_error\""), "{text}");
    }

    #[tokio::test]
    async fn request_in_flight_is_answered_after_the_listener_was_stopped() {
        let (entered, released) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (enter, release) = (entered.clone(), released.clone());
        let handler = async move || {
            enter.notify_one();
            release.notified().await;
            "done"
        };
        let (address, stop, served) = start(Router::new().route("/slow", get(handler))).await;
        let stream = send(address, "/slow").await;
        entered.notified().await;
        stop.send(()).unwrap();
        // The listener is closed while the request is in flight.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert!(!served.is_finished());
        released.notify_one();
        assert!(response(stream).await.ends_with("done"));
        served.await.unwrap();
    }
}
