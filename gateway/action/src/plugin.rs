//! Loads one plugin: its file is checked, copied to a private path, opened and asked for its description. A plugin is never
//! unloaded.

use super::{
    constructors::Constructors,
    descriptor::{Descriptor, text},
    elf, generations,
    plugin_load_error::{LoadStage, PluginLoadError},
    plugin_thread::{AbandonedThreads, NotReturned},
    private_copy::PrivateCopy,
    worker_limit::WorkerLimit,
};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use menlou_abi::*;
use menlou_config::tenant::is_name;
use std::{
    collections::HashSet,
    error::Error as _,
    ffi::OsStr,
    fs::{self, File},
    io::Read,
    mem::{ManuallyDrop, offset_of},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, SystemTime},
};

/// A file that was modified more recently than this may still be being written.
const SETTLE_TIME: Duration = Duration::from_millis(300);
/// Time for the constructors of a library, its entry function and its `init`. The slowest known take some milliseconds.
const LOAD_TIMEOUT: Duration = Duration::from_secs(5);
/// Index of the size of `menlou_action` in `menlou_plugin.sizes`.
const ACTION_SIZE: usize = 2;
/// Maximum size of a plugin file, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// What to do about a file that was modified just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WhenUnsettled {
    /// Wait until it has stopped changing, a few seconds at most. Blocks the thread.
    Wait,
    /// Reject it with [`PluginLoadError::Unsettled`].
    Reject,
}

/// Makes the host function table for the plugin of this name.
pub(super) type MakeTable = fn(&'static str) -> &'static menlou_host;

/// A loaded plugin.
pub struct Plugin {
    /// The plugin's name, which is also the name of its file without `.so`.
    pub name: &'static str,
    /// The plugin's own version.
    pub version: String,
    /// Sequence number among all plugin versions that this process has loaded, from 1.
    pub generation: u64,
    /// Major and minor version of the plugin ABI that the plugin was built for.
    pub abi: (u16, u16),
    /// The plugin's actions.
    pub actions: Vec<Descriptor>,
    host: &'static menlou_host,
    /// The threads that `configure` and `release` keep.
    pub(super) abandoned: AbandonedThreads,
    /// The worker threads that calls of the plugin occupy.
    pub(super) workers: WorkerLimit,
    // Never unloaded, because the plugin may have left threads and thread-local destructors that run its code.
    _library: ManuallyDrop<Library>,
}

impl Plugin {
    /// Loads one file. A file that has the name Cargo gives it, such as `target/release/libpoints.so`, is loaded as
    /// `points.so`.
    pub(super) fn load_alone(path: &Path, make_table: MakeTable) -> Result<Self, PluginLoadError> {
        let bytes = read_settled(path, WhenUnsettled::Wait)?;
        let note = elf::check(&bytes)?;
        let stem = path.file_stem().unwrap_or_default();
        let cargo_stem = format!("lib{}", note.name.replace('-', "_"));
        let stem = if stem == cargo_stem.as_str() { OsStr::new(&note.name) } else { stem };
        Self::from_bytes(bytes, stem, make_table)
    }

    /// Loads the bytes of the file `stem.so` through a private copy. The dynamic loader identifies libraries
    /// by path and maps the file, so it must not open a file that others may replace or overwrite.
    pub(super) fn from_bytes(mut bytes: Vec<u8>, stem: &OsStr, make_table: MakeTable) -> Result<Self, PluginLoadError> {
        let note = elf::check(&bytes)?;
        // The note holds the first 32 bytes of the name. They become part of a path below, so they are compared first.
        if !stem.as_encoded_bytes().iter().take(32).eq(note.name.as_bytes()) {
            return Err(PluginLoadError::OtherName(note.name));
        }
        let constructors = Constructors::detach(&mut bytes)?;
        // Counted before `dlopen`: from then on the library stays in memory, even if it is rejected below.
        let generation = generations::next()?;
        let copy = PrivateCopy::new(&note.name, &bytes).map_err(copy_failed)?;
        drop(bytes);
        let (stem, stage) = (stem.to_owned(), Arc::new(AtomicU8::new(LoadStage::Open as u8)));
        let reached = stage.clone();
        let open = move || Self::open_copy(copy, &stem, generation, constructors, make_table, &reached);
        // Each file has a count of its own: a file that was rejected is loaded again only when it has changed.
        match AbandonedThreads::default().run(LOAD_TIMEOUT, open) {
            Ok(opened) => opened,
            Err(NotReturned) => {
                let stage = LoadStage::from_number(stage.load(Ordering::Relaxed));
                Err(PluginLoadError::NotReturned(stage, LOAD_TIMEOUT.as_secs()))
            }
        }
    }

    /// Opens a private copy and runs the plugin's own code: constructors, entry function, `init`.
    fn open_copy(
        copy: PrivateCopy,
        stem: &OsStr,
        generation: u64,
        constructors: Constructors,
        make_table: MakeTable,
        stage: &AtomicU8,
    ) -> Result<Self, PluginLoadError> {
        // SAFETY: the file is a complete library with a Menlou note, and plugins are trusted code.
        let library = unsafe { Library::open(Some(copy.path()), RTLD_NOW | RTLD_LOCAL) }
            .map_err(|e| PluginLoadError::NotLoaded(reason(&e) + &copy.hint()))?;
        copy.keep();
        let library = ManuallyDrop::new(library);
        // SAFETY: a library with a Menlou note exports this symbol with the type that the ABI says.
        let plugin = unsafe {
            let entry = library.get::<menlou_plugin_entry>(ENTRY_SYMBOL).map_err(|_| PluginLoadError::NoEntry)?;
            stage.store(LoadStage::Constructor as u8, Ordering::Relaxed);
            constructors.run(*entry as *const std::ffi::c_void);
            stage.store(LoadStage::Entry as u8, Ordering::Relaxed);
            entry(MENLOU_ABI_MAJOR, MENLOU_ABI_MINOR).as_ref().ok_or(PluginLoadError::NoEntry)?
        };
        check_header(plugin)?;
        // SAFETY: the ABI requires that a descriptor and everything it points to live as long as the process.
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
        // The structs of a later minor version may be longer than the gateway's.
        let (first, size) = (plugin.actions.cast::<u8>(), usize::from(plugin.sizes[ACTION_SIZE]));
        // SAFETY: the array has `actions_len` structs of `size` bytes. `check_header` made sure that `size` is at least the
        // gateway's and a multiple of the alignment.
        let raw = (0..count).map(|i| unsafe { &*first.add(i * size).cast::<menlou_action>() });
        // SAFETY: the ABI requires that a descriptor and everything it points to live as long as the process.
        let actions = raw.map(|a| unsafe { Descriptor::read(&name, a) }).collect::<Result<Vec<_>, _>>()?;
        let mut names = HashSet::new();
        if let Some(duplicate) = actions.iter().find(|a| !names.insert(&a.name)) {
            return Err(PluginLoadError::BadDescriptor(format!("it has two actions {:?}", duplicate.name)));
        }
        if actions.is_empty() {
            return Err(PluginLoadError::BadDescriptor("it has no actions".into()));
        }
        let name: &'static str = name.leak(); // the host table, which is never freed, refers to it
        let host = make_table(name);
        if let Some(init) = plugin.init {
            stage.store(LoadStage::Init as u8, Ordering::Relaxed);
            // SAFETY: `host` lives as long as the process.
            match unsafe { init(host) } {
                MENLOU_READY => {}
                code => return Err(PluginLoadError::InitFailed(code)),
            }
        }
        let abi = (plugin.abi_major, plugin.abi_minor);
        let (abandoned, workers) = Default::default();
        Ok(Self { name, version, generation, abi, actions, host, abandoned, workers, _library: library })
    }

    /// The function table that the plugin's functions get.
    pub(super) fn host(&self) -> &'static menlou_host {
        self.host
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Plugin").field("name", &self.name).field("version", &self.version).finish_non_exhaustive()
    }
}

/// Checks the fixed part of a descriptor.
fn check_header(plugin: &menlou_plugin) -> Result<(), PluginLoadError> {
    if plugin.magic != MAGIC {
        return Err(PluginLoadError::BadDescriptor("its magic is wrong".into()));
    }
    let abi = (plugin.abi_major, plugin.abi_minor);
    if abi.0 != MENLOU_ABI_MAJOR {
        return Err(PluginLoadError::OtherAbi(abi, (MENLOU_ABI_MAJOR, MENLOU_ABI_MINOR)));
    }
    let min_size =
        offset_of!(menlou_plugin, init) + size_of::<Option<unsafe extern "C" fn(*const menlou_host) -> i32>>();
    let is_aligned = usize::from(plugin.sizes[ACTION_SIZE]).is_multiple_of(align_of::<menlou_action>());
    if (plugin.struct_size as usize) < min_size || !elf::are_known_sizes(&plugin.sizes, abi.1) || !is_aligned {
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

fn copy_failed(e: std::io::Error) -> PluginLoadError {
    PluginLoadError::Unreadable(format!("could not make a private copy: {e}"))
}

/// The reason of a failed load. `libloading`'s own text contains only that it failed; its source has the reason.
fn reason(e: &libloading::Error) -> String {
    e.source().map_or_else(|| e.to_string(), ToString::to_string)
}

/// Reads a file that has stopped changing.
pub(super) fn read_settled(path: &Path, unsettled: WhenUnsettled) -> Result<Vec<u8>, PluginLoadError> {
    let unreadable = |e: std::io::Error| PluginLoadError::Unreadable(e.to_string());
    for _ in 0..20 {
        // Checked before the file is opened, because opening a pipe waits for its other end.
        if !fs::metadata(path).map_err(unreadable)?.is_file() {
            return Err(PluginLoadError::NotALibrary);
        }
        let mut file = File::open(path).map_err(unreadable)?;
        let before = file.metadata().map_err(unreadable)?;
        if before.len() > MAX_FILE {
            return Err(PluginLoadError::Unreadable(format!("larger than {MAX_FILE} bytes")));
        }
        let modified = before.modified().map_err(unreadable)?;
        let age = SystemTime::now().duration_since(modified).unwrap_or(SETTLE_TIME);
        if age >= SETTLE_TIME {
            let mut bytes = Vec::with_capacity(before.len() as usize);
            Read::by_ref(&mut file).take(MAX_FILE).read_to_end(&mut bytes).map_err(unreadable)?;
            let after = file.metadata().map_err(unreadable)?;
            if after.len() == bytes.len() as u64 && after.modified().is_ok_and(|m| m == modified) {
                return Ok(bytes);
            }
        }
        if unsettled == WhenUnsettled::Reject {
            return Err(PluginLoadError::Unsettled);
        }
        std::thread::sleep(SETTLE_TIME.saturating_sub(age).max(Duration::from_millis(50)));
    }
    Err(PluginLoadError::Incomplete)
}
