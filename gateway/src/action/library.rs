//! The plugins of a folder: each loaded or refused with its reason, and the catalogue of their actions.

use super::{descriptor::Descriptor, plugin::Plugin, refusal::Refusal};
use crate::config::fault::nearest;
use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a folder of plugins came to.
pub struct Library {
    plugins: Vec<Arc<Plugin>>,
    refused: Vec<Refused>,
    /// By the action's name: its plugin, and its place there.
    catalogue: BTreeMap<String, (Arc<Plugin>, usize)>,
}

/// A file that was not taken.
#[derive(Debug)]
pub struct Refused {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub why: Refusal,
}

impl Library {
    /// Loads every `.so` of a folder, in the order of their names. One bad file takes nothing else down.
    ///
    /// # Errors
    /// Where the folder can't be read, or there is no place for private copies.
    pub fn load(folder: &Path) -> io::Result<Self> {
        // Private copies are needed only until they are open; the folder goes with the end of this function.
        let private = tempfile::Builder::new().prefix("menlou-plugins-").tempdir()?;
        let mut files: Vec<PathBuf> = fs::read_dir(folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|e| e == "so"))
            .collect();
        files.sort();
        let (mut plugins, mut refused) = (Vec::<Arc<Plugin>>::new(), Vec::new());
        let mut catalogue = BTreeMap::<String, (Arc<Plugin>, usize)>::new();
        for path in files {
            let loaded = Plugin::load(&path, private.path()).and_then(|plugin| {
                let clash = plugin.actions.iter().find_map(|a| Some((a, catalogue.get(&a.name)?)));
                match clash {
                    Some((action, (other, _))) => Err(Refusal::Clash(action.name.clone(), other.name.into())),
                    None => Ok(Arc::new(plugin)),
                }
            });
            match loaded {
                Ok(plugin) => {
                    for (index, action) in plugin.actions.iter().enumerate() {
                        catalogue.insert(action.name.clone(), (plugin.clone(), index));
                    }
                    plugins.push(plugin);
                }
                Err(why) => refused.push(Refused { path, why }),
            }
        }
        Ok(Self { plugins, refused, catalogue })
    }

    /// The plugins that were loaded.
    pub fn plugins(&self) -> &[Arc<Plugin>] {
        &self.plugins
    }

    /// The files that were refused.
    pub fn refused(&self) -> &[Refused] {
        &self.refused
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
