//! What the gateway's actions may reach: the services of the house, and within them one tenant's part.

use crate::{
    platform::{Platform, exchange::Exchanges, http::Http},
    policy::attempts::Limits,
    store::Stores,
};
use std::{
    sync::{Arc, atomic::AtomicU32},
    time::Duration,
};
use tokio::sync::Semaphore;

/// What all tenants share.
pub struct Services {
    /// Where sessions, short-lived values and accounts live.
    pub stores: Stores,
    /// The exchanges of login codes.
    pub exchanges: Exchanges,
    /// For requests of plugins to other servers.
    pub http: Http,
    /// Whether test openids are allowed at all.
    pub allow_test_openids: bool,
    /// How often passwords may be tried.
    pub attempts: Limits,
    /// How many passwords are hashed at once: each takes a core for a while, and 19 MiB.
    pub hashing: Arc<Semaphore>,
}

/// One tenant's part.
pub struct Scope {
    /// The tenant's name.
    pub tenant: String,
    /// How long its sessions live.
    pub session_ttl: Duration,
    /// Its account at the platform.
    pub platform: Arc<dyn Platform>,
    /// What all tenants share.
    pub services: Arc<Services>,
    /// Counts the sessions that are opened, for whoever takes the number away.
    pub opened: Arc<AtomicU32>,
}
