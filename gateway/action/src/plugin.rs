//! One loaded library: checked, copied to a path of its own, opened, asked what it is. It is never unloaded.

use super::{
    descriptor::{Descriptor, text},
    elf, generations,
    plugin_load_error::PluginLoadError,
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use menlou_abi::*;
use menlou_config::tenant::is_name;
use std::{
    collections::HashSet,
    error::Error as _,
    ffi::OsStr,
    fs::{self, File},
    io::{Read, Write},
    mem::{ManuallyDrop, offset_of},
    path::Path,
    time::{Duration, SystemTime},
};

/// A file that was written to more recently than this may still be on its way.
const SETTLED: Duration = Duration::from_millis(300);
/// Where `menlou_plugin.sizes` has that of `menlou_action`.
const ACTION_SIZE: usize = 2;
/// No plugin is larger, in bytes.
const LARGEST: u64 = 256 << 20;

/// What to do about a file that is being written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Patience {
    /// Wait until it has stopped changing, a few seconds at most. Blocks.
    Wait,
    /// Refuse it as [`PluginLoadError::Unsettled`].
    None,
}

/// Makes the table of functions for the plugin of this name.
pub(super) type Table = fn(&'static str) -> &'static menlou_host;

/// A plugin that can be called.
pub struct Plugin {
    /// Its name, which is its file's.
    pub name: &'static str,
    /// Its own version.
    pub version: String,
    /// Which of all versions of plugins that this process has loaded: counted from 1.
    pub generation: u64,
    /// Major and minor of the border that it was built for.
    pub abi: (u16, u16),
    /// Its actions.
    pub actions: Vec<Descriptor>,
    host: &'static menlou_host,
    // Never unloaded: code that has run may have left destructors and threads behind.
    _library: ManuallyDrop<Library>,
}

impl Plugin {
    /// Loads the plugin in `path` through a private copy in `private`, a folder that only we write to: the system's
    /// loader knows libraries by path, and maps the file, so it must never see the operator's.
    pub(super) fn load(path: &Path, private: &Path, table: Table, patience: Patience) -> Result<Self, PluginLoadError> {
        Self::from_bytes(&read_settled(path, patience)?, path.file_stem().unwrap_or_default(), private, table)
    }

    /// Loads one file by itself. As Cargo names it, `target/release/libpoints.so`, it is taken for what it is to be in
    /// the plugin folder, `points.so`.
    pub(super) fn load_alone(path: &Path, table: Table) -> Result<Self, PluginLoadError> {
        let bytes = read_settled(path, Patience::Wait)?;
        let note = elf::check(&bytes)?;
        let stem = path.file_stem().unwrap_or_default();
        let cargos = format!("lib{}", note.name.replace('-', "_"));
        let stem = if stem == cargos.as_str() { OsStr::new(&note.name) } else { stem };
        let private = tempfile::Builder::new().prefix("menlou-plugins-").tempdir().map_err(no_copy)?;
        Self::from_bytes(&bytes, stem, private.path(), table)
    }

    fn from_bytes(bytes: &[u8], stem: &OsStr, private: &Path, table: Table) -> Result<Self, PluginLoadError> {
        let note = elf::check(bytes)?;
        // The note has room for 32 bytes of the name. What it says becomes part of a path, so it is compared first.
        if !stem.as_encoded_bytes().iter().take(32).eq(note.name.as_bytes()) {
            return Err(PluginLoadError::OtherName(note.name));
        }
        // Counted before it is opened: from then on it is in memory, whatever becomes of it.
        let generation = generations::next()?;
        let mut copy =
            tempfile::Builder::new().prefix(&note.name).suffix(".so").tempfile_in(private).map_err(no_copy)?;
        copy.write_all(bytes).map_err(no_copy)?;
        // SAFETY: its constructors run. It is a whole library with our note; that its code is trusted is the border's premise.
        let library = unsafe { Library::open(Some(copy.path()), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|e| PluginLoadError::NotLoaded(reason(&e)))?;
        let library = ManuallyDrop::new(library);
        // SAFETY: our note says that the symbol is what the border says.
        let plugin = unsafe {
            let entry = library.get::<menlou_plugin_entry>(ENTRY_SYMBOL).map_err(|_| PluginLoadError::NoEntry)?;
            entry(MENLOU_ABI_MAJOR, MENLOU_ABI_MINOR).as_ref().ok_or(PluginLoadError::NoEntry)?
        };
        check(plugin)?;
        // SAFETY: a descriptor lives as long as the process, and so does what it points to.
        let (name, version) = unsafe { (text(plugin.name, "name")?, text(plugin.version, "version")?) };
        if stem != name.as_str() {
            return Err(PluginLoadError::OtherName(name));
        }
        if !is_name(&name) {
            return Err(PluginLoadError::BadDescriptor(format!(
                "its name {name:?}: a name is 1 to 64 of a-z, 0-9, _ and -, starting with a letter or digit"
            )));
        }
        let count = if plugin.actions.is_null() { 0 } else { plugin.actions_len };
        // A plugin of a later minor may have longer ones than we know.
        let (first, size) = (plugin.actions.cast::<u8>(), usize::from(plugin.sizes[ACTION_SIZE]));
        // SAFETY: `actions_len` of them, each of the plugin's `size`, which is not less than ours, and aligned (`check`).
        let raw = (0..count).map(|i| unsafe { &*first.add(i * size).cast::<menlou_action>() });
        // SAFETY: a descriptor lives as long as the process, and so does what it points to.
        let actions = raw.map(|a| unsafe { Descriptor::read(&name, a) }).collect::<Result<Vec<_>, _>>()?;
        let mut seen = HashSet::new();
        if let Some(twice) = actions.iter().find(|a| !seen.insert(&a.name)) {
            return Err(PluginLoadError::BadDescriptor(format!("it has two actions {:?}", twice.name)));
        }
        if actions.is_empty() {
            return Err(PluginLoadError::BadDescriptor("it has no actions".into()));
        }
        let name: &'static str = name.leak(); // the host table, which lives for ever, has it too
        let host = table(name);
        if let Some(init) = plugin.init {
            // SAFETY: `host` lives for ever.
            match unsafe { init(host) } {
                MENLOU_READY => {}
                code => return Err(PluginLoadError::InitFailed(code)),
            }
        }
        let abi = (plugin.abi_major, plugin.abi_minor);
        Ok(Self { name, version, generation, abi, actions, host, _library: library })
    }

    /// The table that its functions get.
    pub(super) fn host(&self) -> &'static menlou_host {
        self.host
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}

fn check(plugin: &menlou_plugin) -> Result<(), PluginLoadError> {
    if plugin.magic != MAGIC {
        return Err(PluginLoadError::BadDescriptor("its magic is wrong".into()));
    }
    let abi = (plugin.abi_major, plugin.abi_minor);
    if abi.0 != MENLOU_ABI_MAJOR {
        return Err(PluginLoadError::OtherAbi(abi, (MENLOU_ABI_MAJOR, MENLOU_ABI_MINOR)));
    }
    let needed = offset_of!(menlou_plugin, init) + size_of::<Option<unsafe extern "C" fn(*const menlou_host) -> i32>>();
    let aligned = usize::from(plugin.sizes[ACTION_SIZE]).is_multiple_of(align_of::<menlou_action>());
    if (plugin.struct_size as usize) < needed || !elf::released(&plugin.sizes, abi.1) || !aligned {
        return Err(PluginLoadError::OtherHeader(abi));
    }
    if plugin.flags & MENLOU_FLAG_CONTAINS_PANICS == 0 {
        return Err(PluginLoadError::Aborts);
    }
    if plugin.actions_len > 1024 {
        return Err(PluginLoadError::BadDescriptor("it has more than 1024 actions".into()));
    }
    Ok(())
}

fn no_copy(e: std::io::Error) -> PluginLoadError {
    PluginLoadError::Unreadable(format!("no private copy could be made: {e}"))
}

/// libloading's own text says only that it failed; the reason is its source.
fn reason(e: &libloading::Error) -> String {
    e.source().map_or_else(|| e.to_string(), ToString::to_string)
}

/// Reads a file once it has stopped changing.
fn read_settled(path: &Path, patience: Patience) -> Result<Vec<u8>, PluginLoadError> {
    let unreadable = |e: std::io::Error| PluginLoadError::Unreadable(e.to_string());
    for _ in 0..20 {
        // CallOperations before it is opened: to open a pipe would wait for its other end.
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(PluginLoadError::NotALibrary);
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let before = file.metadata().map_err(unreadable)?;
        if before.len() > LARGEST {
            return Err(PluginLoadError::Unreadable(format!("larger than {LARGEST} bytes")));
        }
        let modified = before.modified().map_err(unreadable)?;
        let age = SystemTime::now().duration_since(modified).unwrap_or(SETTLED);
        if age >= SETTLED {
            let mut bytes = Vec::with_capacity(before.len() as usize);
            Read::by_ref(&mut file).take(LARGEST).read_to_end(&mut bytes).map_err(unreadable)?;
            let after = file.metadata().map_err(unreadable)?;
            if after.len() == bytes.len() as u64 && after.modified().is_ok_and(|m| m == modified) {
                return Ok(bytes);
            }
        }
        if patience == Patience::None {
            return Err(PluginLoadError::Unsettled);
        }
        std::thread::sleep(SETTLED.saturating_sub(age).max(Duration::from_millis(50)));
    }
    Err(PluginLoadError::Incomplete)
}
