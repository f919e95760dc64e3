//! Watches folders for changes, including the replacement of a folder by another one under the same name.

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    ffi::OsString,
    fs,
    os::unix::{ffi::OsStrExt, fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::Notify;

/// Maximum number of folders that are watched because of single files.
const MAX_FOLDERS: usize = 1000;

/// The watched folders. The system watches a folder, not its name: if the name comes to mean another folder, for example
/// because a link is switched, [`FolderWatch::keep`] watches that one instead.
pub struct FolderWatch {
    changed: Arc<Notify>,
    events: Option<RecommendedWatcher>,
    folders: HashMap<Identity, PathBuf>,
    names: Names,
}

/// Device and inode.
type Identity = (u64, u64);
/// The file names whose changes count; `None` means all.
type Names = Arc<Mutex<Option<HashSet<OsString>>>>;

impl FolderWatch {
    /// Watches nothing yet; `changed` is notified of changes.
    pub fn new(changed: Arc<Notify>) -> Self {
        let names = Names::default();
        let (notified, wanted) = (changed.clone(), names.clone());
        // The folders themselves are watched, not their files: editors and mounted config maps replace files by rename.
        let on_event = move |event: notify::Result<notify::Event>| {
            if event.is_ok_and(|e| !e.kind.is_access() && concerns(&wanted, &e.paths)) {
                notified.notify_one();
            }
        };
        Self { changed, events: notify::recommended_watcher(on_event).ok(), folders: HashMap::new(), names }
    }

    /// Watches exactly these folders, as they are now. Returns false if one is missing or cannot be watched.
    pub fn keep<'a>(&mut self, folders: impl IntoIterator<Item = &'a Path>) -> bool {
        let Some(events) = &mut self.events else { return false };
        let mut all = true;
        let mut wanted = HashMap::new();
        for folder in folders {
            match identity(folder) {
                Some(identity) => drop(wanted.insert(identity, folder)),
                None => all = false,
            }
        }
        self.folders.retain(|identity, folder| {
            let kept = wanted.get(identity).is_some_and(|wanted| wanted == folder);
            if !kept {
                // If the folder is gone, so is its watch.
                let _ = events.unwatch(folder);
            }
            kept
        });
        for (identity, folder) in wanted {
            if self.folders.contains_key(&identity) {
                continue;
            }
            if events.watch(folder, RecursiveMode::NonRecursive).is_ok() {
                self.folders.insert(identity, folder.to_owned());
                // Earlier changes caused no event.
                self.changed.notify_one();
            } else {
                all = false;
            }
        }
        all
    }

    /// Watches exactly these files, in at most [`MAX_FOLDERS`] folders. Other files beside them, such as a database, cause
    /// no notification.
    pub fn keep_files<'a>(&mut self, files: impl IntoIterator<Item = &'a Path>) {
        let (mut folders, mut names) = (BTreeSet::new(), HashSet::new());
        for file in files {
            let folder = file.parent().map(|f| if f.as_os_str().is_empty() { Path::new(".") } else { f });
            folders.extend(folder);
            names.extend(file.file_name().map(OsString::from));
        }
        *self.names.lock().unwrap_or_else(PoisonError::into_inner) = Some(names);
        self.keep(folders.into_iter().take(MAX_FOLDERS));
    }
}

/// Whether a change concerns a wanted name, or the link that Kubernetes switches in a mounted secret: `..data`.
fn concerns(wanted: &Names, paths: &[PathBuf]) -> bool {
    let wanted = wanted.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(wanted) = wanted.as_ref().filter(|_| !paths.is_empty()) else { return true };
    let mut names = paths.iter().filter_map(|path| path.file_name());
    names.any(|name| wanted.contains(name) || name.as_bytes().starts_with(b".."))
}

/// Device and inode of the folder, if it exists.
pub fn identity(folder: &Path) -> Option<Identity> {
    fs::metadata(folder).ok().filter(fs::Metadata::is_dir).map(|m| (m.dev(), m.ino()))
}
