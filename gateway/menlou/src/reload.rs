//! A reload on request (SIGHUP, `menlou reload`): config, certificates, tenants, plugins, log file.

use crate::telemetry;
use menlou_config::{config_error::ConfigError, server::Config};
use menlou_error::text::{Language, Text};
use menlou_server::tls::Tls;
use menlou_tenant::ReloadTrigger;
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for a reload.
const MAX_WAITING: usize = 16;

/// Reads the config again.
pub type ConfigSource = Box<dyn Fn() -> Result<Config, Vec<ConfigError>> + Send + Sync>;

/// What a reload did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ReloadReport {
    /// Changed settings that are in effect now: `log.level`.
    pub applied: Vec<String>,
    /// Changed settings that take effect at the next start.
    pub needs_restart: Vec<String>,
    /// What could not be reloaded; the earlier state stays in use. In the operator's language.
    pub errors: Vec<String>,
}

/// Requests reloads.
#[derive(Clone)]
pub struct ReloadHandle(mpsc::Sender<oneshot::Sender<ReloadReport>>);

/// Requests for the [`Reloader`].
pub type ReloadRequests = mpsc::Receiver<oneshot::Sender<ReloadReport>>;

/// Applies what can change while the gateway runs.
pub struct Reloader {
    /// Reads the config; `None` where the program has none to read.
    pub source: Option<ConfigSource>,
    /// The config in effect.
    pub running: Config,
    /// Certificates of the traffic port.
    pub tls: Option<Arc<Tls>>,
    /// Certificate of the admin port.
    pub admin_tls: Option<Arc<Tls>>,
    /// Whether requests are logged.
    pub access_log: Arc<AtomicBool>,
    /// Tenants and plugins.
    pub tenants: ReloadTrigger,
}

impl ReloadHandle {
    /// A handle, and the requests that are made with it.
    pub fn new() -> (Self, ReloadRequests) {
        let (sender, requests) = mpsc::channel(MAX_WAITING);
        (Self(sender), requests)
    }

    /// Reloads, and waits for the result; `None` where the gateway is stopping.
    pub async fn reload(&self) -> Option<ReloadReport> {
        let (sender, report) = oneshot::channel();
        self.0.send(sender).await.ok()?;
        report.await.ok()
    }
}

impl Reloader {
    /// Handles requests until all handles are dropped.
    pub async fn run(mut self, mut requests: ReloadRequests) {
        while let Some(request) = requests.recv().await {
            telemetry::service_manager::reloading();
            let report = self.reload().await;
            telemetry::service_manager::ready();
            report.log();
            // The requester may have gone.
            let _ = request.send(report);
        }
    }

    async fn reload(&mut self) -> ReloadReport {
        let mut report = ReloadReport::default();
        let running = self.running.clone();
        match self.source.as_ref().map(|read| read()) {
            Some(Ok(config)) => self.apply(config, &mut report).await,
            Some(Err(errors)) => {
                let language = Language::for_operator();
                let errors = errors.iter().map(|error| format!("{}: {}", error.at(), error.text.get(language)));
                report.errors.extend(errors);
                self.reload_certificates(&running, &mut report).await;
            }
            None => {
                self.reload_certificates(&running, &mut report).await;
            }
        }
        if let Err(e) = telemetry::reopen_log(&self.running.log) {
            let file = self.running.log.file.as_ref().map(|file| file.display().to_string()).unwrap_or_default();
            report.fail(&Text::new(
                format!("无法重新打开日志文件 {file}：{e}；继续使用原来的"),
                format!("could not open the log file {file} again: {e}; the earlier one stays in use"),
            ));
        }
        if !self.tenants.reload().await {
            report.fail(&Text::fixed("未能重新加载租户与插件", "tenants and plugins were not reloaded"));
        }
        report
    }

    /// Applies what differs from the running config, and names what cannot be applied.
    async fn apply(&mut self, new: Config, report: &mut ReloadReport) {
        let certificates = self.reload_certificates(&new, report).await;
        for name in self.running.changed_settings(&new) {
            let is_applied = match name.as_str() {
                "log.level" => telemetry::set_level(new.log.level).then(|| self.running.log.level = new.log.level),
                "log.access" => {
                    self.access_log.store(new.log.access, Ordering::Relaxed);
                    self.running.log.access = new.log.access;
                    Some(())
                }
                "log.file" => {
                    telemetry::reopen_log(&new.log).is_ok().then(|| self.running.log.file = new.log.file.clone())
                }
                "tls.certificates" | "tls.client_ca" if self.tls.is_some() && !new.tls.certificates.is_empty() => {
                    certificates.then(|| {
                        self.running.tls.certificates = new.tls.certificates.clone();
                        self.running.tls.client_ca = new.tls.client_ca.clone();
                    })
                }
                "admin.tls_cert" | "admin.tls_key" if self.admin_tls.is_some() && new.admin.tls_cert.is_some() => {
                    certificates.then(|| {
                        self.running.admin.tls_cert = new.admin.tls_cert.clone();
                        self.running.admin.tls_key = new.admin.tls_key.clone();
                    })
                }
                _ => None,
            };
            match is_applied {
                Some(()) => report.applied.push(name),
                None => report.needs_restart.push(name),
            }
        }
    }

    /// Loads the certificates that this config names; returns whether all are in use.
    async fn reload_certificates(&self, config: &Config, report: &mut ReloadReport) -> bool {
        let mut outcomes = Vec::new();
        if let Some(tls) = self.tls.as_ref().filter(|_| !config.tls.certificates.is_empty()) {
            outcomes.push(tls.replace(&config.tls.certificates, config.tls.client_ca.as_deref()).await);
        }
        if let (Some(tls), Some(certificate)) = (&self.admin_tls, config.admin.certificate()) {
            outcomes.push(tls.replace(&[certificate], None).await);
        }
        let errors: Vec<Text> = outcomes.into_iter().filter_map(Result::err).collect();
        errors.iter().for_each(|error| report.fail(error));
        errors.is_empty()
    }
}

impl ReloadReport {
    fn fail(&mut self, text: &Text) {
        self.errors.push(text.get(Language::for_operator()).to_owned());
    }

    fn log(&self) {
        for error in &self.errors {
            tracing::error!("reload: {error}");
        }
        let applied = (!self.applied.is_empty()).then(|| self.applied.join(","));
        if self.needs_restart.is_empty() {
            tracing::info!(
                applied,
                errors = self.errors.len(),
                "reloaded: config, certificates, tenants, plugins, log file"
            );
        } else {
            let needs_restart = self.needs_restart.join(",");
            tracing::warn!(
                applied,
                needs_restart,
                errors = self.errors.len(),
                "reloaded, but for settings that need a restart"
            );
        }
    }
}
