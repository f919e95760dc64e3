//! The plugins of a folder, loaded or rejected, and the index of their actions. A registry does not change: a change in the
//! folder makes a new registry that shares the plugins that stay.

use super::{
    descriptor::Descriptor,
    host,
    plugin::{Plugin, WhenUnsettled, read_settled},
    plugin_load_error::PluginLoadError,
};
use aws_lc_rs::digest::{SHA256, digest};
use menlou_config::{config_error::nearest, fingerprint::Fingerprint, schema::Schema};
use std::{
    collections::{BTreeMap, HashSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Maximum number of earlier versions of an action's settings that are remembered.
const MAX_FORMER: usize = 64;

/// The plugins of a folder.
#[derive(Default)]
pub struct PluginRegistry {
    files: BTreeMap<PathBuf, FileState>,
    plugins: Vec<Arc<Plugin>>,
    rejected: Vec<RejectedFile>,
    /// For each action name, its plugin and its index in that plugin.
    actions: BTreeMap<String, (Arc<Plugin>, usize)>,
    /// The settings that versions which are not loaded any more declared, by action.
    former: BTreeMap<String, Vec<FormerSettings>>,
}

/// The settings of an action in an earlier version of its plugin.
#[derive(Clone)]
struct FormerSettings {
    plugin: &'static str,
    schema: Arc<Schema>,
}

/// A file that was rejected.
#[derive(Clone, Debug)]
pub struct RejectedFile {
    /// The file.
    pub path: PathBuf,
    /// The reason.
    pub why: PluginLoadError,
}

/// The state of a file when it was last read. If the file was rejected, `plugin` is the previous version.
#[derive(Clone)]
struct FileState {
    fingerprint: Fingerprint,
    content: ContentHash,
    plugin: Option<Arc<Plugin>>,
    rejected: Option<PluginLoadError>,
}

/// SHA-256 of a file's bytes. All zeros if the file could not be read.
type ContentHash = [u8; 32];

/// A new, changed or removed file of the folder.
#[derive(Clone)]
pub struct PluginChange {
    /// The file.
    pub path: PathBuf,
    fingerprint: Fingerprint,
    content: ContentHash,
    /// Whether the file was only touched, or replaced by the same bytes. Then nothing was loaded.
    pub is_touched: bool,
    /// The plugin in the file or the reason why it was rejected. `None` if the file was removed.
    pub found: Option<Result<Arc<Plugin>, PluginLoadError>>,
}

impl Plugin {
    /// Loads one file, as it would be loaded from a plugin folder. The file may have the name that Cargo gives it, such as
    /// `libpoints.so`. Blocks the thread.
    ///
    /// # Errors
    /// Why the file was rejected.
    pub fn open(path: &Path) -> Result<Self, PluginLoadError> {
        Self::load_alone(path, host::table)
    }
}

impl PluginChange {
    fn new(
        path: PathBuf,
        fingerprint: Fingerprint,
        content: ContentHash,
        found: Result<Arc<Plugin>, PluginLoadError>,
    ) -> Self {
        Self { path, fingerprint, content, is_touched: false, found: Some(found) }
    }

    fn removed(path: PathBuf) -> Self {
        let (fingerprint, content) = Default::default();
        Self { path, fingerprint, content, is_touched: false, found: None }
    }
}

impl PluginRegistry {
    /// Loads every `.so` file of a folder, in the order of their names. A bad file does not affect the others. Blocks the
    /// thread, and waits for files that are being written.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn load(folder: &Path) -> io::Result<Self> {
        let changes = Self::default().scan(folder, WhenUnsettled::Wait)?;
        Ok(changes.into_iter().fold(Self::default(), |registry, change| registry.with(change)))
    }

    /// The changes in the folder since this registry was made. Files that are being written are left for the next scan.
    /// Blocks the thread.
    ///
    /// # Errors
    /// As [`PluginRegistry::load`].
    pub fn changes(&self, folder: &Path) -> io::Result<Vec<PluginChange>> {
        self.scan(folder, WhenUnsettled::Reject)
    }

    fn scan(&self, folder: &Path, unsettled: WhenUnsettled) -> io::Result<Vec<PluginChange>> {
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "so"))
            .collect();
        paths.sort();
        let removed = self.files.keys().filter(|path| !paths.contains(path)).cloned();
        let mut changes: Vec<PluginChange> = removed.map(PluginChange::removed).collect();
        for path in paths {
            let fingerprint = Fingerprint::for_path(&path);
            let is_unchanged = |file: &FileState| file.fingerprint == fingerprint && !self.is_clash_resolved(file);
            if self.files.get(&path).is_some_and(is_unchanged) {
                continue;
            }
            let bytes = match read_settled(&path, unsettled) {
                Err(PluginLoadError::Unsettled) => continue,
                Err(why) => {
                    changes.push(PluginChange::new(path, fingerprint, ContentHash::default(), Err(why)));
                    continue;
                }
                Ok(bytes) => bytes,
            };
            let mut content = ContentHash::default();
            content.copy_from_slice(digest(&SHA256, &bytes).as_ref());
            // A rejected file is loaded again, because the reason may be gone.
            if let Some(FileState { content: before, plugin: Some(plugin), rejected: None, .. }) = self.files.get(&path)
                && *before == content
            {
                let found = Some(Ok(plugin.clone()));
                changes.push(PluginChange { path, fingerprint, content, is_touched: true, found });
                continue;
            }
            let stem = path.file_stem().unwrap_or_default().to_owned();
            let found = Plugin::from_bytes(bytes, &stem, host::table).map(Arc::new);
            changes.push(PluginChange::new(path, fingerprint, content, found));
        }
        Ok(changes)
    }

    /// A registry with a change applied. A plugin that has an action of another plugin is rejected.
    pub fn with(&self, change: PluginChange) -> Self {
        let PluginChange { path, fingerprint, content, found, .. } = change;
        let mut files = self.files.clone();
        match found {
            None => drop(files.remove(&path)),
            Some(Ok(plugin)) => match self.clash(&path, &plugin) {
                Some(why) => return self.with_rejected(path, (fingerprint, content), why),
                None => {
                    drop(files.insert(path, FileState { fingerprint, content, plugin: Some(plugin), rejected: None }))
                }
            },
            Some(Err(why)) => return self.with_rejected(path, (fingerprint, content), why),
        }
        self.succeed(files)
    }

    /// A registry in which a change is rejected. If the file had a previous version, that version stays.
    pub fn without(&self, change: PluginChange, why: PluginLoadError) -> Self {
        self.with_rejected(change.path, (change.fingerprint, change.content), why)
    }

    fn with_rejected(
        &self,
        path: PathBuf,
        (fingerprint, content): (Fingerprint, ContentHash),
        why: PluginLoadError,
    ) -> Self {
        let mut files = self.files.clone();
        let plugin = files.get(&path).and_then(|file| file.plugin.clone());
        files.insert(path, FileState { fingerprint, content, plugin, rejected: Some(why) });
        self.succeed(files)
    }

    /// A registry of these files, which remembers what the plugins of this one declared.
    fn succeed(&self, files: BTreeMap<PathBuf, FileState>) -> Self {
        let mut next = Self::from_files(files);
        next.former = self.former.clone();
        let replaced: Vec<_> = self.plugins.iter().filter(|plugin| !next.has_all(&[(*plugin).clone()])).collect();
        for plugin in replaced {
            for action in &plugin.actions {
                let former = next.former.entry(action.name.clone()).or_default();
                let is_known = |one: &FormerSettings| {
                    one.plugin == plugin.name && one.schema.as_json() == action.settings.as_json()
                };
                if !former.iter().any(is_known) {
                    former.push(FormerSettings { plugin: plugin.name, schema: action.settings.clone() });
                }
                // The latest versions, since nobody reloads a plugin that often between two looks at a tenant.
                let excess = former.len().saturating_sub(MAX_FORMER);
                former.drain(..excess);
            }
        }
        next
    }

    /// The error if another file's plugin has an action of the same name.
    fn clash(&self, path: &Path, plugin: &Plugin) -> Option<PluginLoadError> {
        let others = self.files.iter().filter(|(other, _)| *other != path).filter_map(|(_, file)| file.plugin.as_ref());
        let taken: BTreeMap<&str, &str> =
            others.flat_map(|other| other.actions.iter().map(|a| (a.name.as_str(), other.name))).collect();
        let clash = plugin.actions.iter().find_map(|a| Some((a.name.clone(), *taken.get(a.name.as_str())?)));
        clash.map(|(action, other)| PluginLoadError::Clash(action, other.to_owned()))
    }

    /// Whether a file was rejected because of another plugin's action, and that plugin no longer has the action.
    fn is_clash_resolved(&self, file: &FileState) -> bool {
        let is_taken = |action: &str, by: &str| self.exported(action).is_some_and(|(plugin, _)| plugin.name == by);
        matches!(&file.rejected, Some(PluginLoadError::Clash(action, by)) if !is_taken(action, by))
    }

    fn from_files(files: BTreeMap<PathBuf, FileState>) -> Self {
        let plugins: Vec<Arc<Plugin>> = files.values().filter_map(|file| file.plugin.clone()).collect();
        let rejected = files
            .iter()
            .filter_map(|(path, file)| Some(RejectedFile { path: path.clone(), why: file.rejected.clone()? }))
            .collect();
        let actions = plugins
            .iter()
            .flat_map(|plugin| {
                let actions = plugin.actions.iter().enumerate();
                actions.map(|(index, action)| (action.name.clone(), (plugin.clone(), index)))
            })
            .collect();
        Self { files, plugins, rejected, actions, former: BTreeMap::new() }
    }

    /// The loaded plugins, in the order of their files' names.
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// The rejected files, in the order of their names.
    pub fn rejected(&self) -> &[RejectedFile] {
        &self.rejected
    }

    /// The reason why a file was rejected, if it was.
    pub fn rejection(&self, path: &Path) -> Option<&PluginLoadError> {
        self.files.get(path)?.rejected.as_ref()
    }

    /// Whether the registry contains exactly these versions of all given plugins.
    pub fn has_all(&self, plugins: &[Arc<Plugin>]) -> bool {
        let ours: HashSet<_> = self.plugins.iter().map(Arc::as_ptr).collect();
        plugins.iter().all(|plugin| ours.contains(&Arc::as_ptr(plugin)))
    }

    /// The plugin and the index of the action that serve a tenant's table `[actions.<name>]`.
    ///
    /// Without `plugin`, this is the action `name`. With `plugin`, it is that plugin's action `name`, or its only action.
    /// If there is no such plugin or action, `plugin` is looked up as an action name.
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

    /// The settings that earlier versions of a plugin declared for a tenant's table `[actions.<name>]`, whichever of the
    /// versions' actions served it.
    pub fn former_settings<'a>(&'a self, name: &'a str, plugin: Option<&'a str>) -> impl Iterator<Item = &'a Schema> {
        let wanted = plugin.unwrap_or(name);
        let all = self.former.iter().flat_map(|(action, all)| all.iter().map(move |one| (action, one)));
        all.filter(move |(action, one)| *action == wanted || one.plugin == wanted).map(|(_, one)| &*one.schema)
    }

    fn exported(&self, action: &str) -> Option<(&Arc<Plugin>, usize)> {
        self.actions.get(action).map(|(plugin, index)| (plugin, *index))
    }

    /// All actions, in the order of their names.
    pub fn actions(&self) -> impl Iterator<Item = &Descriptor> {
        self.actions.values().map(|(plugin, index)| &plugin.actions[*index])
    }

    /// The name of an action that is similar to `wrong`, for a suggestion.
    pub fn nearest(&self, wrong: &str) -> Option<&str> {
        nearest(wrong, self.actions.keys().map(String::as_str))
    }
}
