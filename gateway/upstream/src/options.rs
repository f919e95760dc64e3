//! The options of an upstream.

use menlou_error::text::Text;
use std::time::Duration;

/// Minimum interval between two health checks of a server.
pub const MIN_INTERVAL: Duration = Duration::from_millis(100);

/// The servers of an upstream, and when requests are sent to them. It has no `Debug`, because the values may contain a
/// password by mistake.
pub struct UpstreamOptions {
    /// Labels of logs and metrics.
    pub labels: UpstreamLabels,
    /// Base URLs of the servers, such as `http://10.0.0.5:8080/api`.
    pub servers: Vec<String>,
    /// Number of consecutive failures that opens a server's circuit; 0 disables the circuit breaker. Failures are broken
    /// connections, timeouts, and the status codes 502, 503 and 504.
    pub break_after: u32,
    /// How long an open circuit rejects requests. Afterwards one trial request at a time is sent, until one succeeds.
    pub break_for: Duration,
    /// Active health checks, if enabled.
    pub health: Option<HealthCheckOptions>,
}

/// The labels of an upstream in logs and metrics.
#[derive(Clone, Debug)]
pub struct UpstreamLabels {
    /// Name of the tenant.
    pub tenant: String,
    /// Name of the action in the tenant file.
    pub action: String,
}

/// The options of active health checks.
pub struct HealthCheckOptions {
    /// Path of the GET request below each server's base URL, such as `/healthz`. The status codes 2xx and 3xx mean healthy.
    pub path: String,
    /// Interval between two checks, at least [`MIN_INTERVAL`]. A response must arrive within it, and within 2 s.
    pub interval: Duration,
}

/// An invalid value in [`UpstreamOptions`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OptionError {
    /// The field.
    pub field: OptionField,
    /// What is wrong, to be shown after the field's name. It does not contain the value.
    pub text: Text,
}

/// A field of [`UpstreamOptions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OptionField {
    /// `servers`.
    Servers,
    /// The server at this index.
    Server(usize),
    /// `health.path`.
    HealthPath,
    /// `health.interval`.
    HealthInterval,
}
