//! Settings of one listener.

use crate::{proxies::Proxies, tls::Tls};
use http_guard::GuardConfig;
use menlou_config::server::Http2;
use std::{sync::Arc, time::Duration};

/// Bounds, deadlines and protocols of one listener.
pub struct ListenerConfig {
    /// Name in log lines: `traffic` or `admin`.
    pub name: &'static str,
    /// Maximum number of open connections. Further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Maximum number of open connections of one client address. Further ones are closed. Trusted proxies have no such
    /// bound.
    pub max_connections_per_address: usize,
    /// Number of requests after which a connection is closed.
    pub max_requests_per_connection: u64,
    /// Maximum number of header fields of a request.
    pub max_headers: usize,
    /// How long requests in flight may take after the listener was stopped.
    pub drain_timeout: Duration,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// How long a client may take to send its first bytes.
    pub first_byte_timeout: Duration,
    /// Bounds and deadlines of the guard.
    pub guard: GuardConfig,
    /// Limits of HTTP/2; `None` means HTTP/1 only.
    pub http2: Option<Http2>,
    /// Certificates; `None` means plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// Proxies whose statements about the client are trusted.
    pub proxies: Arc<Proxies>,
    /// Whether connections of trusted proxies may have to begin with the PROXY protocol, as [`Proxies`] says.
    pub proxy_protocol: bool,
    /// Number of open connections.
    pub open_connections: metrics::Gauge,
}
