//! Signals that do not stop the process: SIGHUP reloads, and signals that end processes by default are ignored.

use crate::reload::ReloadHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The handlers of these signals.
pub struct ReloadSignals {
    hangup: Option<Signal>,
    /// They stay installed for the rest of the process.
    _ignored: Vec<Signal>,
}

impl ReloadSignals {
    /// Installs the handlers. From now on the signals have no effect until [`Self::handle`] runs.
    pub fn install() -> Self {
        let kinds = [SignalKind::user_defined1(), SignalKind::user_defined2(), SignalKind::quit(), SignalKind::alarm()];
        let ignored: Vec<Signal> = kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect();
        let hangup = signal(SignalKind::hangup()).ok();
        if hangup.is_none() || ignored.len() < kinds.len() {
            tracing::error!(
                "could not install signal handlers: SIGHUP, SIGUSR1, SIGUSR2, SIGQUIT or SIGALRM end the gateway"
            );
        }
        Self { hangup, _ignored: ignored }
    }

    /// Reloads at each SIGHUP, until dropped.
    pub async fn handle(mut self, reload: ReloadHandle) {
        let Some(hangup) = &mut self.hangup else { return };
        while hangup.recv().await.is_some() {
            tracing::info!("SIGHUP received: reloading");
            // The report is logged by the reload.
            reload.reload().await;
        }
    }
}
