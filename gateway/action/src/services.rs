//! The services that actions may use: those that all tenants share, and one tenant's part of them.

use menlou_platform::{Platform, exchange::CodeExchange, http::HttpClient};
use menlou_policy::{HashingQueue, rate_limits::LoginAttempts};
use menlou_store::Stores;
use smol_str::SmolStr;
use std::{sync::Arc, time::Duration};

/// Services that all tenants share.
pub struct Services {
    /// Sessions, short-lived values and accounts.
    pub stores: Stores,
    /// Exchanges of login codes.
    pub exchanges: CodeExchange,
    /// HTTP client for requests of plugins to other servers.
    pub http: HttpClient,
    /// Whether the gateway's config allows test openids.
    pub allow_test_openids: bool,
    /// Limits of attempts to log in with credentials.
    pub attempts: LoginAttempts,
    /// The queue of password hashing, in which tenants take turns. Each hash occupies a core for a while, and 19 MiB.
    pub hashing: Arc<HashingQueue>,
}

/// One tenant's part of the services. Each action has its own copy, so that what a call reads lies close together.
#[derive(Clone)]
pub struct TenantScope {
    /// The tenant's name.
    pub tenant: SmolStr,
    /// Lifetime of the tenant's sessions.
    pub session_ttl: Duration,
    /// The platform, with the tenant's credentials.
    pub platform: Arc<dyn Platform>,
    /// The shared services.
    pub services: Arc<Services>,
    /// Counts the sessions that the action opens.
    pub session_counter: Arc<dyn SessionCounter>,
}

/// Counts the sessions that an action opens.
pub trait SessionCounter: Send + Sync {
    /// A session was opened.
    fn session_opened(&self);
}

/// Counts nothing.
impl SessionCounter for () {
    fn session_opened(&self) {}
}
