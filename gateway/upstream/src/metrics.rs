//! The metrics of each server. Labels come from the configuration only.
//!
//! - `menlou_upstream_requests_total{tenant,action,server,outcome}`: requests to a server, each attempt once, when it has
//!   ended, by [`Outcome`].
//! - `menlou_upstream_request_duration_seconds{tenant,action,server}`: from the start of the request, including its body, to
//!   the head of the response, if there is one.
//! - `menlou_upstream_circuit_open{tenant,action,server}`: 1 while the circuit is open or half-open.
//! - `menlou_upstream_unhealthy{tenant,action,server}`: 1 while health checks fail.
//!
//! Both gauges are 0 for a server that is no longer configured.

use super::options::UpstreamLabels;
use menlou_circuit::CallOutcome;
use metrics::{Counter, Gauge, Histogram};

macro_rules! outcomes {
    ($($(#[$doc:meta])* $id:ident = $name:literal $breaker:ident,)*) => {
        /// How a request to a server ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Outcome {
            $($(#[$doc])* $id,)*
        }

        /// The label values of the outcomes.
        const NAMES: &[&str] = &[$($name),*];

        impl Outcome {
            /// How the circuit breaker counts it.
            pub fn for_breaker(self) -> CallOutcome {
                match self {
                    $(Self::$id => CallOutcome::$breaker,)*
                }
            }
        }
    };
}

outcomes! {
    /// The response was complete.
    Complete = "answered" Success,
    /// The status code was 502, 503 or 504.
    FailureStatus = "refused" Failure,
    /// Nothing of the request was sent.
    Unreachable = "unreachable" Failure,
    /// The connection broke before the end of the response.
    Broken = "broken" Failure,
    /// The response was not valid HTTP.
    Unusable = "unusable" Failure,
    /// The server exceeded the timeout before or within the response.
    Timeout = "timeout" Failure,
    /// The client's body failed.
    ClientError = "client_fault" Abandoned,
    /// The client disconnected, or the request's deadline passed.
    Abandoned = "abandoned" Abandoned,
}

/// The metrics of one server.
pub(super) struct UpstreamMetrics {
    requests: Vec<Counter>,
    pub seconds: Histogram,
    pub open: Gauge,
    pub unhealthy: Gauge,
}

impl UpstreamMetrics {
    pub fn new(labels: &UpstreamLabels, server: &str) -> Self {
        let server_labels =
            [("tenant", labels.tenant.clone()), ("action", labels.action.clone()), ("server", server.into())];
        let requests = NAMES.iter().map(|outcome| {
            let labels: Vec<_> = server_labels.iter().cloned().chain([("outcome", (*outcome).to_owned())]).collect();
            metrics::counter!("menlou_upstream_requests_total", &labels)
        });
        Self {
            requests: requests.collect(),
            seconds: metrics::histogram!("menlou_upstream_request_duration_seconds", &server_labels),
            open: metrics::gauge!("menlou_upstream_circuit_open", &server_labels),
            unhealthy: metrics::gauge!("menlou_upstream_unhealthy", &server_labels),
        }
    }

    pub fn count(&self, outcome: Outcome) {
        if let Some(counter) = self.requests.get(outcome as usize) {
            counter.increment(1);
        }
    }
}
