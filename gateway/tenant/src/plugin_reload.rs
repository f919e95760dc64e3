//! Takes new versions of plugins up while running: all tenants that use one are built anew, or none is.

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

/// How many swaps are remembered.
const REMEMBERED: usize = 100;

/// Keeps a library as the folder of plugins says.
pub struct PluginReloader {
    /// The folder.
    pub folder: PathBuf,
    library: Arc<ArcSwap<PluginRegistry>>,
    swaps: Arc<ReloadHistory>,
    /// The keys of tenants' sealed secrets.
    pub(super) keyring: Arc<Keyring>,
    /// Why the folder can't be listed, as it was logged: once, however long it lasts.
    unlisted: Option<String>,
}

/// The latest swaps.
#[derive(Default)]
pub struct ReloadHistory(Mutex<VecDeque<PluginReload>>);

/// A change of the plugin folder, and what came of it.
#[derive(Clone, Debug)]
pub struct PluginReload {
    /// When.
    pub at: SystemTime,
    /// The plugin's name, which is its file's.
    pub plugin: String,
    /// The version and generation that serve from then on; none where the plugin is gone, or never was there.
    pub serving: Option<(String, u64)>,
    /// How many tenants were built anew.
    pub tenants: usize,
    /// Why the new file was refused; the version before serves on.
    pub refused: Option<Text>,
}

impl ReloadHistory {
    /// The latest swaps, the newest first.
    pub fn latest(&self) -> Vec<PluginReload> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().rev().cloned().collect()
    }

    fn remember(&self, swap: PluginReload) {
        let mut swaps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if swaps.len() >= REMEMBERED {
            swaps.pop_front();
        }
        swaps.push_back(swap);
    }
}

/// A tenant that serves, and its file.
pub type Serving = (PathBuf, Arc<Tenant>);

/// A tenant built anew on a new version of a plugin: its file, and what came of it.
pub type Rebuilt = (PathBuf, ValidatedTenant);

impl PluginReloader {
    /// A swapper of a folder, of which this library was made.
    pub fn new(folder: PathBuf, library: Arc<ArcSwap<PluginRegistry>>, keyring: Arc<Keyring>) -> Self {
        count_refused(&library.load());
        Self { folder, library, swaps: Arc::default(), keyring, unlisted: None }
    }

    /// What came of the swaps so far.
    pub fn history(&self) -> Arc<ReloadHistory> {
        self.swaps.clone()
    }

    /// The library as it is now.
    pub fn library(&self) -> Arc<PluginRegistry> {
        self.library.load_full()
    }

    /// Loads what is new in the folder. Calls in flight end on the version that they began with. Blocks.
    pub fn reload(&mut self, serving: impl Fn() -> Vec<Serving>) -> Vec<Rebuilt> {
        let changes = match self.library().changes(&self.folder) {
            Ok(changes) => changes,
            Err(e) => {
                let why = e.to_string();
                if self.unlisted.as_ref() != Some(&why) {
                    tracing::error!(folder = %self.folder.display(), cause = why, "the plugin folder can't be read: the plugins serve on");
                    self.unlisted = Some(why);
                }
                return Vec::new();
            }
        };
        self.unlisted = None;
        changes.into_iter().flat_map(|change| self.take_up(change, &serving())).collect()
    }

    fn take_up(&self, change: PluginChange, serving: &[Serving]) -> Vec<Rebuilt> {
        let current = self.library();
        let name = change.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let mut next = current.with(change.clone());
        let mut rebuilt = Vec::new();
        if next.rejection(&change.path).is_none() {
            match self.rebuild(&current, &next, serving) {
                Ok(all) => rebuilt = all,
                Err(why) => next = current.without(change.clone(), why),
            }
        }
        let plugin = next.plugins().iter().find(|p| p.name == name);
        let refused = next.rejection(&change.path).map(|why| why.text());
        let result = match &refused {
            Some(why) => {
                let why = why.get(Language::for_operator());
                tracing::error!(file = %change.path.display(), "plugin refused: {why}");
                "rejected"
            }
            None => {
                let (version, generation) = plugin.map_or(("", 0), |p| (p.version.as_str(), p.generation));
                let told = if plugin.is_some() { "plugin taken up" } else { "plugin removed: its file is gone" };
                tracing::info!(plugin = name, version, generation, tenants = rebuilt.len(), "{told}");
                "loaded"
            }
        };
        self.swaps.remember(PluginReload {
            at: SystemTime::now(),
            plugin: name.clone(),
            serving: plugin.map(|p| (p.version.clone(), p.generation)),
            tenants: rebuilt.len(),
            refused,
        });
        metrics::counter!("menlou_plugin_reloads_total", "plugin" => name, "result" => result).increment(1);
        count_refused(&next);
        self.library.store(Arc::new(next));
        rebuilt
    }

    /// Builds each tenant anew that uses a plugin which `next` has no more, or another version of.
    fn rebuild(
        &self,
        current: &PluginRegistry,
        next: &PluginRegistry,
        serving: &[Serving],
    ) -> Result<Vec<Rebuilt>, PluginLoadError> {
        let mut rebuilt = Vec::new();
        for (path, tenant) in serving {
            if next.has_all(&tenant.plugins()) {
                continue;
            }
            match self.check(path, &tenant.name, next) {
                Some(Ok(validated)) => rebuilt.push((path.clone(), validated)),
                // Its file is bad with the old version too: its last good version serves on, with the old plugin.
                Some(Err(_)) if self.check(path, &tenant.name, current).is_none_or(|checked| checked.is_err()) => {}
                Some(Err(fault)) => return Err(PluginLoadError::NoLongerFits(tenant.name.clone(), fault)),
                None => {}
            }
        }
        Ok(rebuilt)
    }

    fn check(&self, path: &Path, name: &str, library: &PluginRegistry) -> Option<Result<ValidatedTenant, Text>> {
        let name = TenantName::parse(name).ok()?;
        let checked = folder::read(path).and_then(|doc| build::check(&name, &doc, library, &self.keyring));
        Some(checked.map_err(|faults| {
            let first = faults.into_iter().next();
            first.map_or(Text::fixed("设置有误", "the settings are wrong"), |fault| fault.text)
        }))
    }
}

fn count_refused(library: &PluginRegistry) {
    metrics::gauge!("menlou_plugins_rejected").set(library.rejected().len() as f64);
}
