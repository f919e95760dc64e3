//! What the admin side works on, and how its deeds are written down.

use super::{caller::Caller, tokens::FailedAttempts};
use arc_swap::ArcSwap;
use menlou_action::PluginRegistry;
use menlou_config::{hosts::HostPattern, keyring::Keyring};
use menlou_error::Result;
use menlou_platform::http::Http;
use menlou_server::proxies::Proxies;
use menlou_store::{NewAuditEntry, Stores};
use menlou_tenant::{ReloadHistory, TenantRegistry};
use metrics_exporter_prometheus::PrometheusHandle;
use std::{
    future::Future,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};
use tokio::sync::Semaphore;

/// How much of a file is kept in the log, bytes: a page of entries has to be bearable.
const KEPT: usize = 32 * 1024;

/// What the admin side works on.
pub struct AdminState {
    /// The tenants.
    pub registry: Arc<TenantRegistry>,
    /// The folder of their files.
    pub tenants_folder: PathBuf,
    /// The keys of sealed secrets.
    pub keyring: Arc<Keyring>,
    /// The plugins.
    pub library: Arc<ArcSwap<PluginRegistry>>,
    /// What came of new versions of them.
    pub reload_history: Arc<ReloadHistory>,
    /// The stores.
    pub stores: Stores,
    /// For asking platforms.
    pub http: Http,
    /// How many may be asked at once.
    pub verifications: Semaphore,
    /// Bad tokens, wherever they are shown.
    pub failed_attempts: FailedAttempts,
    /// What was counted.
    pub metrics: PrometheusHandle,
    /// Where the traffic side listens.
    pub traffic_addr: SocketAddr,
    /// Where tenants' own admins may have the gateway connect to.
    pub allowed_upstream_hosts: Arc<[HostPattern]>,
    /// Who is believed to say whom they ask for.
    pub proxies: Arc<Proxies>,
    /// Whether the gateway was told to stop.
    pub stopping: Arc<AtomicBool>,
}

/// What an admin is about to do. Secrets masked, no personal data.
#[derive(Default)]
pub struct AuditedAction<'a> {
    /// A stable word: `tenant.replace`.
    pub what: &'static str,
    /// The tenant.
    pub tenant: &'a str,
    /// What it is about within that: a user's id.
    pub target: Option<String>,
    /// How it is.
    pub before: Option<String>,
    /// How it shall be.
    pub after: Option<String>,
}

impl AdminState {
    /// Writes down what is about to be done, then does it. Nothing is done that could not be written down; where it
    /// fails, that is written down behind it.
    pub async fn audited<T>(
        &self,
        caller: &Caller,
        intent: AuditedAction<'_>,
        deed: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let mut entry = NewAuditEntry {
            who: format!("{} {}", caller.id, caller.label).trim_end().to_owned(),
            role: caller.role.to_string(),
            what: intent.what.to_owned(),
            tenant: Some(intent.tenant.to_owned()),
            target: intent.target,
            before: intent.before.map(cut),
            after: intent.after.map(cut),
            failed: None,
        };
        self.stores.admins.append_audit_entry(&entry).await?;
        tracing::info!(
            who = entry.who,
            role = entry.role,
            what = entry.what,
            tenant = intent.tenant,
            "an admin's deed"
        );
        let outcome = deed.await;
        if let Err(error) = &outcome {
            (entry.before, entry.after) = (None, None);
            entry.failed = Some(error.code().to_owned());
            if let Err(e) = self.stores.admins.append_audit_entry(&entry).await {
                tracing::error!(what = entry.what, cause = %e, "that an admin's deed failed could not be written down");
            }
        }
        outcome
    }
}

fn cut(mut text: String) -> String {
    if text.len() > KEPT {
        text.truncate(text.floor_char_boundary(KEPT));
        text.push_str("\n…");
    }
    text
}
