//! The outcome of a request, for the access log and the metrics.

use crate::layers::request_context::RequestContext;
use menlou_error::{Error, Outcome, codes};
use menlou_policy::{
    cors::Cors,
    rate_limits::{RateLimitHeaders, RateLimitPermit},
};
use menlou_tenant::{Tenant, TenantAction};
use std::{sync::Arc, time::Duration};

/// What is known about a request: its tenant, its action and its rate limits, as far as they have been determined.
#[derive(Default)]
pub struct RequestOutcome {
    /// The tenant, if there is one of that name.
    pub tenant: Option<Arc<Tenant>>,
    /// Index of the action in the tenant.
    pub action_at: Option<usize>,
    /// The permit of the rate limits.
    pub permit: RateLimitPermit,
}

impl RequestOutcome {
    /// The action's rate limits as headers, if it has any.
    pub fn rate_limit_headers(&self) -> Option<RateLimitHeaders<'_>> {
        self.permit.headers(&self.tenant_action()?.limits)
    }

    /// The tenant's rules for web pages, if it has any.
    pub fn cors(&self) -> Option<&Cors> {
        self.tenant.as_ref()?.cors.as_deref()
    }

    /// Counts the request, which was answered with this status.
    pub fn count(&self, status: u16, error: Option<&Error>, took: Duration, request_id: &str) {
        let tenant_action = self.tenant_action();
        if let Some(tenant_action) = tenant_action {
            self.permit.record_duration(&tenant_action.limits, took);
            tenant_action.record(error.map_or_else(|| Outcome::from_status(status), Error::outcome), took);
        }
        let Some(error) = error else { return };
        // Plugins may define any number of codes. They share one label value, so that the number of series is bounded.
        let code = codes::find(error.code()).map_or("other", |code| code.name);
        match (&self.tenant, tenant_action) {
            (Some(tenant), Some(tenant_action)) => tenant_action.record_failure(&tenant.name, code),
            (tenant, _) => {
                let tenant = tenant.as_ref().map_or(String::new(), |tenant| tenant.name.clone());
                metrics::counter!("menlou_errors_total", "tenant" => tenant, "action" => "", "error" => code)
                    .increment(1);
            }
        }
        if let Some(tenant) = &self.tenant {
            tenant.activity.record_failure(tenant_action.map(|a| a.name.as_str()), error, request_id);
        }
    }

    /// Writes the line of the access log.
    pub fn log_access(&self, context: &RequestContext, status: u16, error: Option<&Error>, took: Duration) {
        let ((tenant, action), request_id, remote) = (self.names(), &*context.id, context.client);
        // Fields without a value are left out of the line.
        let is_logged = error.is_some_and(Error::is_logged);
        let (code, cause) = (error.map(Error::code), error.filter(|_| !is_logged).and_then(Error::cause));
        let ms = round_to_micros(took);
        match status {
            500.. if !is_logged => {
                tracing::error!(target: "access", request_id, tenant, action, status, error = code, cause, ms, %remote, "request failed");
            }
            _ => {
                tracing::info!(target: "access", request_id, tenant, action, status, error = code, cause, ms, %remote, "request");
            }
        }
    }

    /// Writes a line about the cause of a failure, where there is no access log.
    pub fn log_cause(&self, context: &RequestContext, error: &Error) {
        let ((tenant, action), request_id) = (self.names(), &*context.id);
        if let Some(cause) = error.cause().filter(|_| !error.is_logged()) {
            tracing::warn!(request_id, tenant, action, error = error.code(), cause, "request failed");
        }
    }

    fn tenant_action(&self) -> Option<&TenantAction> {
        self.tenant.as_ref()?.action_at(self.action_at?)
    }

    fn names(&self) -> (&str, &str) {
        (self.tenant.as_ref().map_or("", |t| &t.name), self.tenant_action().map_or("", |a| &a.name))
    }
}

/// Milliseconds with three decimals, as a number: machines that read the log compare and add it.
fn round_to_micros(took: Duration) -> f64 {
    took.as_micros() as f64 / 1000.0
}
