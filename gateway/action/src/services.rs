//! What the gateway's actions may reach: the services of the house, and within them one tenant's part.

use menlou_platform::{Platform, exchange::CodeExchange, http::Http};
use menlou_policy::attempts::AttemptLimits;
use menlou_store::Stores;
use smol_str::SmolStr;
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// What all tenants share.
pub struct Services {
    /// Where sessions, short-lived values and accounts live.
    pub stores: Stores,
    /// The exchanges of login codes.
    pub exchanges: CodeExchange,
    /// For requests of plugins to other servers.
    pub http: Http,
    /// Whether test openids are allowed at all.
    pub allow_test_openids: bool,
    /// How often passwords may be tried.
    pub attempts: AttemptLimits,
    /// How many passwords are hashed at once: each takes a core for a while, and 19 MiB.
    pub hashing: Arc<Semaphore>,
}

/// One tenant's part. Each of its actions has one of its own: what calls need lies together.
#[derive(Clone)]
pub struct TenantScope {
    /// The tenant's name.
    pub tenant: SmolStr,
    /// How long its sessions live.
    pub session_ttl: Duration,
    /// Its account at the platform.
    pub platform: Arc<dyn Platform>,
    /// What all tenants share.
    pub services: Arc<Services>,
    /// Who counts the sessions that the action opens.
    pub session_counter: Arc<dyn SessionCounter>,
}

/// Counts sessions.
pub trait SessionCounter: Send + Sync {
    /// One was opened.
    fn session_opened(&self);
}

/// Nobody counts.
impl SessionCounter for () {
    fn session_opened(&self) {}
}
