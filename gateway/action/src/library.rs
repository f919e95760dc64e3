//! The plugins of a folder: each loaded or refused with its reason, and the catalogue of their actions. A library never
//! changes: what is new in the folder makes another, that shares what stayed.

use super::{
    descriptor::Descriptor,
    host,
    plugin::{Patience, Plugin},
    plugin_load_error::PluginLoadError,
};
use menlou_config::{config_error::nearest, fingerprint::Fingerprint};
use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a folder of plugins came to.
#[derive(Default)]
pub struct PluginRegistry {
    files: BTreeMap<PathBuf, Seen>,
    plugins: Vec<Arc<Plugin>>,
    refused: Vec<RejectedFile>,
    /// By the action's name: its plugin, and its place there.
    catalogue: BTreeMap<String, (Arc<Plugin>, usize)>,
}

/// A file that was not taken.
#[derive(Clone, Debug)]
pub struct RejectedFile {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: PluginLoadError,
}

/// A file as it was looked at last. Where it was refused, the version before serves on.
#[derive(Clone)]
struct Seen {
    stamp: Fingerprint,
    plugin: Option<Arc<Plugin>>,
    refused: Option<PluginLoadError>,
}

/// What is new with a file of the folder.
#[derive(Clone)]
pub struct PluginChange {
    /// The file.
    pub path: PathBuf,
    stamp: Fingerprint,
    /// The plugin in it, why it was refused, or `None` where it is gone.
    pub found: Option<Result<Arc<Plugin>, PluginLoadError>>,
}

impl Plugin {
    /// Loads one file by itself, as it would be in a folder of plugins; it may still have the name that Cargo gave it,
    /// `libpoints.so`. Blocks.
    pub fn open(path: &Path) -> Result<Self, PluginLoadError> {
        Self::load_alone(path, host::table)
    }
}

impl PluginRegistry {
    /// Loads every `.so` of a folder, in the order of their names. One bad file takes nothing else down. Blocks: it
    /// waits until files that are being written have stopped changing.
    ///
    /// # Errors
    /// Where the folder can't be read, or there is no place for private copies.
    pub fn load(folder: &Path) -> io::Result<Self> {
        let changes = Self::default().look(folder, Patience::Wait)?;
        Ok(changes.into_iter().fold(Self::default(), |library, change| library.with(change)))
    }

    /// What is new in the folder since this library was made. A file that is still being written is left for later.
    ///
    /// # Errors
    /// As [`PluginRegistry::load`].
    pub fn changes(&self, folder: &Path) -> io::Result<Vec<PluginChange>> {
        self.look(folder, Patience::None)
    }

    fn look(&self, folder: &Path, patience: Patience) -> io::Result<Vec<PluginChange>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "so"))
            .collect();
        paths.sort();
        let gone = self.files.keys().filter(|path| !paths.contains(path));
        let mut changes: Vec<PluginChange> =
            gone.map(|path| PluginChange { path: path.clone(), stamp: Fingerprint::default(), found: None }).collect();
        let mut private = None;
        for path in paths {
            let stamp = Fingerprint::for_path(&path);
            if self.files.get(&path).is_some_and(|seen| seen.stamp == stamp && !self.may_serve_now(seen)) {
                continue;
            }
            // Private copies are needed only until they are open; their folder goes with the end of this function.
            let private = match &private {
                Some(private) => private,
                None => private.insert(tempfile::Builder::new().prefix("menlou-plugins-").tempdir()?),
            };
            match Plugin::load(&path, private.path(), host::table, patience) {
                Err(PluginLoadError::Unsettled) => {}
                found => changes.push(PluginChange { path, stamp, found: Some(found.map(Arc::new)) }),
            }
        }
        Ok(changes)
    }

    /// The library with a change taken up, or refused where another plugin has an action of the same name.
    pub fn with(&self, change: PluginChange) -> Self {
        let PluginChange { path, stamp, found } = change;
        let mut files = self.files.clone();
        match found {
            None => drop(files.remove(&path)),
            Some(Ok(plugin)) => match self.clash(&path, &plugin) {
                Some(why) => return self.rejecting(path, stamp, why),
                None => drop(files.insert(path, Seen { stamp, plugin: Some(plugin), refused: None })),
            },
            Some(Err(why)) => return self.rejecting(path, stamp, why),
        }
        Self::arranged(files)
    }

    /// The library with a change refused: the version before, if any, serves on.
    pub fn without(&self, change: PluginChange, why: PluginLoadError) -> Self {
        self.rejecting(change.path, change.stamp, why)
    }

    fn rejecting(&self, path: PathBuf, stamp: Fingerprint, why: PluginLoadError) -> Self {
        let mut files = self.files.clone();
        let plugin = files.get(&path).and_then(|seen| seen.plugin.clone());
        files.insert(path, Seen { stamp, plugin, refused: Some(why) });
        Self::arranged(files)
    }

    fn clash(&self, path: &Path, plugin: &Plugin) -> Option<PluginLoadError> {
        let others = self.files.iter().filter(|(other, _)| *other != path).filter_map(|(_, seen)| seen.plugin.as_ref());
        let taken: BTreeMap<&str, &str> =
            others.flat_map(|other| other.actions.iter().map(|a| (a.name.as_str(), other.name))).collect();
        let clash = plugin.actions.iter().find_map(|a| Some((a.name.clone(), *taken.get(a.name.as_str())?)));
        clash.map(|(action, other)| PluginLoadError::Clash(action, other.to_owned()))
    }

    /// Whether a plugin was refused for another's action, and there is no such action any more.
    fn may_serve_now(&self, seen: &Seen) -> bool {
        let taken = |action: &str, by: &str| self.exported(action).is_some_and(|(plugin, _)| plugin.name == by);
        matches!(&seen.refused, Some(PluginLoadError::Clash(action, by)) if !taken(action, by))
    }

    fn arranged(files: BTreeMap<PathBuf, Seen>) -> Self {
        let plugins: Vec<Arc<Plugin>> = files.values().filter_map(|seen| seen.plugin.clone()).collect();
        let refused = files
            .iter()
            .filter_map(|(path, seen)| Some(RejectedFile { path: path.clone(), why: seen.refused.clone()? }))
            .collect();
        let catalogue = plugins
            .iter()
            .flat_map(|plugin| {
                let actions = plugin.actions.iter().enumerate();
                actions.map(|(index, action)| (action.name.clone(), (plugin.clone(), index)))
            })
            .collect();
        Self { files, plugins, refused, catalogue }
    }

    /// The plugins that were loaded.
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// The files that were refused.
    pub fn rejected(&self) -> &[RejectedFile] {
        &self.refused
    }

    /// Why a file of the folder was refused, if it was.
    pub fn rejection(&self, path: &Path) -> Option<&PluginLoadError> {
        self.files.get(path)?.refused.as_ref()
    }

    /// Whether this library has just these versions of these plugins.
    pub fn has_all(&self, plugins: &[Arc<Plugin>]) -> bool {
        let ours: HashSet<_> = self.plugins.iter().map(Arc::as_ptr).collect();
        plugins.iter().all(|plugin| ours.contains(&Arc::as_ptr(plugin)))
    }

    /// What serves a tenant's `[actions.<name>]`: the exported action of that name; with `plugin = "…"` that plugin's
    /// action of that name, or its only one, or else the exported action that is called so.
    pub fn find(&self, name: &str, plugin: Option<&str>) -> Option<(&Arc<Plugin>, usize)> {
        let Some(wanted) = plugin else { return self.exported(name) };
        let Some(plugin) = self.plugins.iter().find(|p| p.name == wanted) else { return self.exported(wanted) };
        let index = match plugin.actions.iter().position(|a| a.name == name) {
            Some(index) => index,
            None if plugin.actions.len() == 1 => 0,
            None => return self.exported(wanted),
        };
        Some((plugin, index))
    }

    fn exported(&self, action: &str) -> Option<(&Arc<Plugin>, usize)> {
        self.catalogue.get(action).map(|(plugin, index)| (plugin, *index))
    }

    /// Every action that tenants can switch on.
    pub fn actions(&self) -> impl Iterator<Item = &Descriptor> {
        self.catalogue.values().map(|(plugin, index)| &plugin.actions[*index])
    }

    /// The action whose name is nearest to `wrong`, if any is near.
    pub fn nearest(&self, wrong: &str) -> Option<&str> {
        nearest(wrong, self.catalogue.keys().map(String::as_str))
    }
}
