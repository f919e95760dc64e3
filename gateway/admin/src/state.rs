//! The state that admin operations share, and the rule that every change is written to the audit log.

use super::{caller::Caller, readiness_log::ReadinessLog, tokens::FailedAttempts, work_limits::WorkLimits};
use arc_swap::ArcSwap;
use menlou_action::PluginRegistry;
use menlou_config::{hosts::HostPattern, keyring::Keyring};
use menlou_error::Result;
use menlou_platform::http::HttpClient;
use menlou_server::proxies::Proxies;
use menlou_store::{NewAuditEntry, Stores};
use menlou_tenant::{ReloadHistory, TenantRegistry};
use std::{
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};
use tokio::sync::Semaphore;

/// Maximum size of each text in an audit entry, in bytes. Longer texts are truncated.
const MAX_AUDIT_TEXT: usize = 8 * 1024;

/// The state that admin operations share.
pub struct AdminState {
    /// The tenants.
    pub registry: Arc<TenantRegistry>,
    /// The folder of the tenant files.
    pub tenants_folder: PathBuf,
    /// The keys that encrypt secrets in tenant files.
    pub keyring: Arc<Keyring>,
    /// The plugins.
    pub library: Arc<ArcSwap<PluginRegistry>>,
    /// The latest plugin reloads.
    pub reload_history: Arc<ReloadHistory>,
    /// The stores.
    pub stores: Stores,
    /// The HTTP client for platforms.
    pub http: HttpClient,
    /// Limits concurrent verifications of credentials.
    pub verifications: Semaphore,
    /// Invalid tokens by client address.
    pub failed_attempts: FailedAttempts,
    /// Limits of the work that one token may cause.
    pub work_limits: WorkLimits,
    /// Renders the metrics in the text format of Prometheus.
    pub render_metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// The address of the traffic listener.
    pub traffic_addr: SocketAddr,
    /// The hosts that tenant admins may set as upstream addresses.
    pub allowed_upstream_hosts: Arc<[HostPattern]>,
    /// The proxies whose forwarding headers are trusted.
    pub proxies: Arc<Proxies>,
    /// Why the gateway was not ready at the last probe.
    pub readiness_log: ReadinessLog,
    /// Whether the gateway is shutting down.
    pub stopping: Arc<AtomicBool>,
}

/// A change that an admin is about to make, for the audit log. It contains neither secrets nor personal data.
#[derive(Default)]
pub struct AuditedAction<'a> {
    /// A stable name, such as `tenant.replace`.
    pub what: &'static str,
    /// The tenant.
    pub tenant: &'a str,
    /// The object within the tenant, such as a user id.
    pub target: Option<String>,
    /// The current state.
    pub before: Option<String>,
    /// The intended state.
    pub after: Option<String>,
    /// The difference between two states of a file. It replaces `before` and `after`: an entry grows with the change, not
    /// with the file.
    pub diff: Option<String>,
}

impl AdminState {
    /// Counts the write, writes an audit entry, then runs `change`. If the token has made too many writes or the entry
    /// cannot be written, the change does not run. If the change fails, a second entry says so.
    pub async fn audited<T>(
        &self,
        caller: &Caller,
        action: AuditedAction<'_>,
        change: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        self.work_limits.count_write(caller)?;
        let mut entry = NewAuditEntry {
            who: format!("{} {}", caller.id, caller.label).trim_end().to_owned(),
            role: caller.role.to_string(),
            what: action.what.to_owned(),
            tenant: Some(action.tenant.to_owned()),
            target: action.target,
            before: action.before.map(truncated),
            after: action.after.map(truncated),
            diff: action.diff.map(truncated),
            failed: None,
        };
        self.stores.admins.append_audit_entry(&entry).await?;
        tracing::info!(who = entry.who, role = entry.role, what = entry.what, tenant = action.tenant, "admin change");
        let outcome = change.await;
        if let Err(error) = &outcome {
            (entry.before, entry.after, entry.diff) = (None, None, None);
            entry.failed = Some(error.code().to_owned());
            if let Err(e) = self.stores.admins.append_audit_entry(&entry).await {
                tracing::error!(what = entry.what, cause = %e, "the audit entry of a failed admin change was not written");
            }
        }
        outcome
    }
}

fn truncated(mut text: String) -> String {
    if text.len() > MAX_AUDIT_TEXT {
        text.truncate(text.floor_char_boundary(MAX_AUDIT_TEXT));
        text.push_str("\n…");
    }
    text
}
