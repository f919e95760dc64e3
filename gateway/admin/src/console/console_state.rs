//! The state that all console pages share.

use super::console_session::ConsoleSessions;
use crate::state::AdminState;
use std::sync::Arc;

/// The state that all console pages share.
pub struct ConsoleState {
    /// The state of the admin operations.
    pub admin: Arc<AdminState>,
    /// The signed-in browsers.
    pub sessions: ConsoleSessions,
    /// Whether the admin listener uses TLS.
    pub has_tls: bool,
}
