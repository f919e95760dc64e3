//! Reloads plugins while requests are served: all tenants that use a plugin are rebuilt, or none is.

use super::{Tenant, ValidatedTenant, build, folder};
use arc_swap::ArcSwap;
use menlou_action::{PluginChange, PluginLoadError, PluginRegistry};
use menlou_config::{keyring::Keyring, tenant::TenantName};
use menlou_error::text::{Language, Text};
use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

/// Maximum number of reloads in the history.
const MAX_HISTORY: usize = 100;

/// Keeps the plugin registry up to date with the plugin folder.
pub struct PluginReloader {
    /// The plugin folder.
    pub folder: PathBuf,
    library: Arc<ArcSwap<PluginRegistry>>,
    history: Arc<ReloadHistory>,
    /// The keys of the encrypted secrets in tenant files.
    pub(super) keyring: Arc<Keyring>,
    /// The logged reason why the folder cannot be read. It is logged once as long as it stays the same.
    read_error: Option<String>,
}

/// The latest reloads.
#[derive(Default)]
pub struct ReloadHistory(Mutex<VecDeque<PluginReload>>);

/// The reload of one plugin file, and its result.
#[derive(Clone, Debug)]
pub struct PluginReload {
    /// Time of the reload.
    pub at: SystemTime,
    /// Name of the plugin, which is the name of its file.
    pub plugin: String,
    /// Version and generation in service after the reload; `None` if there is none.
    pub serving: Option<(String, u64)>,
    /// Number of tenants that were rebuilt.
    pub tenants: usize,
    /// Why the new file was rejected. The previous version stays in service.
    pub rejection: Option<Text>,
}

impl ReloadHistory {
    /// The latest reloads, the newest first.
    pub fn latest(&self) -> Vec<PluginReload> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    fn add(&self, reload: PluginReload) {
        let mut reloads = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reloads.len() >= MAX_HISTORY {
            reloads.pop_front();
        }
        reloads.push_back(reload);
    }
}

/// A tenant in service, and its file.
pub type TenantInService = (PathBuf, Arc<Tenant>);

/// A tenant that was rebuilt with a new version of a plugin, and its file.
pub type Rebuilt = (PathBuf, ValidatedTenant);

impl PluginReloader {
    /// A reloader of the folder that this registry was loaded from.
    pub fn new(folder: PathBuf, library: Arc<ArcSwap<PluginRegistry>>, keyring: Arc<Keyring>) -> Self {
        update_rejected_gauge(&library.load());
        Self { folder, library, history: Arc::default(), keyring, read_error: None }
    }

    /// The history of reloads.
    pub fn history(&self) -> Arc<ReloadHistory> {
        self.history.clone()
    }

    /// The current plugin registry.
    pub fn library(&self) -> Arc<PluginRegistry> {
        self.library.load_full()
    }

    /// Loads the changes of the folder. Requests in flight finish with the version that they started with. Blocks.
    pub fn reload(&mut self, in_service: impl Fn() -> Vec<TenantInService>) -> Vec<Rebuilt> {
        let changes = match self.library().changes(&self.folder) {
            Ok(changes) => changes,
            Err(e) => {
                let why = e.to_string();
                if self.read_error.as_ref() != Some(&why) {
                    tracing::error!(folder = %self.folder.display(), cause = why, "could not read the plugin folder: the loaded plugins stay in service");
                    self.read_error = Some(why);
                }
                return Vec::new();
            }
        };
        self.read_error = None;
        changes.into_iter().flat_map(|change| self.apply(change, &in_service())).collect()
    }

    fn apply(&self, change: PluginChange, in_service: &[TenantInService]) -> Vec<Rebuilt> {
        let current = self.library();
        if change.is_touched {
            self.library.store(Arc::new(current.with(change)));
            return Vec::new();
        }
        let name = change.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut next = current.with(change.clone());
        let mut rebuilt = Vec::new();
        if next.rejection(&change.path).is_none() {
            match self.rebuild(&current, &next, in_service) {
                Ok(tenants) => rebuilt = tenants,
                Err(why) => next = current.without(change.clone(), why),
            }
        }
        let plugin = next.plugins().iter().find(|p| p.name == name);
        let rejection = next.rejection(&change.path).map(|why| why.text());
        let result = match &rejection {
            Some(why) => {
                let why = why.get(Language::for_operator());
                tracing::error!(file = %change.path.display(), "plugin rejected: {why}");
                "rejected"
            }
            None => {
                let (version, generation) = plugin.map_or(("", 0), |p| (p.version.as_str(), p.generation));
                let event = if plugin.is_some() { "plugin loaded" } else { "plugin removed: its file is gone" };
                tracing::info!(plugin = name, version, generation, tenants = rebuilt.len(), "{event}");
                "loaded"
            }
        };
        self.history.add(PluginReload {
            at: SystemTime::now(),
            plugin: name.clone(),
            serving: plugin.map(|p| (p.version.clone(), p.generation)),
            tenants: rebuilt.len(),
            rejection,
        });
        metrics::counter!("menlou_plugin_reloads_total", "plugin" => name, "result" => result).increment(1);
        update_rejected_gauge(&next);
        self.library.store(Arc::new(next));
        rebuilt
    }

    /// Rebuilds each tenant that uses a plugin of which `next` has no version or another version.
    fn rebuild(
        &self,
        current: &PluginRegistry,
        next: &PluginRegistry,
        in_service: &[TenantInService],
    ) -> Result<Vec<Rebuilt>, PluginLoadError> {
        let mut rebuilt = Vec::new();
        for (path, tenant) in in_service {
            if next.has_all(&tenant.plugins()) {
                continue;
            }
            match self.check(path, &tenant.name, next) {
                Some(Ok(validated)) => rebuilt.push((path.clone(), validated)),
                // The file is invalid with the old version too: its last valid version stays in service with the old plugin.
                Some(Err(_)) if self.check(path, &tenant.name, current).is_none_or(|checked| checked.is_err()) => {}
                Some(Err(error)) => return Err(PluginLoadError::NoLongerFits(tenant.name.clone(), error)),
                None => {}
            }
        }
        Ok(rebuilt)
    }

    fn check(&self, path: &Path, name: &str, library: &PluginRegistry) -> Option<Result<ValidatedTenant, Text>> {
        let name = TenantName::parse(name).ok()?;
        let checked = folder::read(path).and_then(|doc| build::check(&name, &doc, library, &self.keyring));
        Some(checked.map_err(|errors| {
            let first = errors.into_iter().next();
            first.map_or(Text::fixed("设置有误", "invalid settings"), |error| error.text)
        }))
    }
}

fn update_rejected_gauge(library: &PluginRegistry) {
    metrics::gauge!("menlou_plugins_rejected").set(library.rejected().len() as f64);
}
