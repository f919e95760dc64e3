//! What the handling of traffic needs: settings, tenants, admission.

use crate::{proxies::Proxies, tls::Tls};
use menlou_config::server::{Clients, Http2, Server};
use menlou_policy::admission::AdmissionController;
use menlou_tenant::TenantRegistry;
use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

/// Shared by all connections of the traffic port.
pub struct TrafficState {
    /// The tenants that are served.
    pub registry: Arc<TenantRegistry>,
    /// Bounds concurrent requests.
    pub admission: Arc<AdmissionController>,
    /// Bounds and deadlines of the server.
    pub limits: Server,
    /// Bounds and deadlines of clients.
    pub clients: Clients,
    /// Trusted proxies.
    pub proxies: Arc<Proxies>,
    /// Certificates; `None` means plain HTTP.
    pub tls: Option<Arc<Tls>>,
    /// How long a TLS handshake may take.
    pub handshake_timeout: Duration,
    /// Limits of HTTP/2.
    pub http2: Http2,
    /// Whether each request is logged.
    pub access_log: Arc<AtomicBool>,
}
