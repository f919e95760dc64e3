//! Runs the constructors of a plugin's library outside of the dynamic loader.
//!
//! `dlopen` runs constructors while it holds the loader's lock. A constructor that never returns would keep the lock, and
//! with it every later load and the exit of the process. The private copy of a plugin therefore names no constructors; the
//! gateway calls them when `dlopen` has returned, on a thread that it can abandon.

use super::plugin_load_error::PluginLoadError;
use object::{
    Endianness, elf,
    read::elf::{FileHeader, ProgramHeader},
};
use std::{
    ffi::{CString, c_char, c_int, c_void},
    os::unix::ffi::OsStringExt,
    ptr,
    sync::OnceLock,
};

const DT_NULL: u64 = 0;
const DT_INIT: u64 = 12;
const DT_INIT_ARRAY: u64 = 25;
const DT_INIT_ARRAYSZ: u64 = 27;
/// A tag that no loader knows: `DT_LOOS`, the first of the range for operating systems.
const DT_IGNORED: u64 = 0x6000_000d;
/// Size of an entry of the dynamic section, in bytes.
const ENTRY: usize = 16;
/// Size of an address, in bytes.
const ADDRESS: u64 = 8;

/// A constructor. glibc passes these arguments, and Rust's standard library takes `args` from them.
type Constructor = unsafe extern "C" fn(c_int, *const *const c_char, *const *const c_char);

/// The constructors of a library, by address in the file's own address space.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Constructors {
    /// The function `DT_INIT`, which runs first.
    init: Option<u64>,
    /// Start and size in bytes of the array of pointers to the others.
    array: (u64, u64),
    /// Address of the first byte that the loader maps.
    first: u64,
}

impl Constructors {
    /// Removes the constructors from the bytes of a checked library and returns them.
    ///
    /// # Errors
    /// [`PluginLoadError::Incomplete`] if the dynamic section names functions outside of the library.
    pub fn detach(bytes: &mut [u8]) -> Result<Self, PluginLoadError> {
        let damaged = PluginLoadError::Incomplete;
        let (mut first, mut last, mut dynamic) = (u64::MAX, 0, 0..0);
        {
            let header = elf::FileHeader64::<Endianness>::parse(&*bytes).map_err(|_| damaged.clone())?;
            let endian = header.endian().map_err(|_| damaged.clone())?;
            for segment in header.program_headers(endian, &*bytes).map_err(|_| damaged.clone())? {
                let (start, size) = (segment.p_vaddr(endian), segment.p_memsz(endian));
                if segment.p_type(endian) == elf::PT_LOAD {
                    (first, last) = (first.min(start), last.max(start.saturating_add(size)));
                } else if segment.p_type(endian) == elf::PT_DYNAMIC {
                    let start = segment.p_offset(endian) as usize;
                    dynamic = start..start.saturating_add(segment.p_filesz(endian) as usize);
                }
            }
        }
        let mut found = Self { first, ..Self::default() };
        let entries = bytes.get_mut(dynamic).ok_or_else(|| damaged.clone())?;
        for entry in entries.chunks_exact_mut(ENTRY) {
            let (tag, value) = entry.split_at_mut(ENTRY / 2);
            // The file has this machine's byte order, and both parts have 8 bytes.
            let read = |part: &[u8]| part.try_into().map_or(0, u64::from_ne_bytes);
            match read(tag) {
                DT_NULL => break,
                DT_INIT => found.init = Some(read(value)),
                DT_INIT_ARRAY => found.array.0 = read(value),
                DT_INIT_ARRAYSZ => found.array.1 = read(value),
                _ => continue,
            }
            tag.copy_from_slice(&DT_IGNORED.to_ne_bytes());
        }
        let is_inside =
            |start: u64, size: u64| start >= first && start.checked_add(size).is_some_and(|end| end <= last);
        let (start, size) = found.array;
        let has_array = size == 0 || is_inside(start, size) && start % ADDRESS == 0;
        if has_array && found.init.is_none_or(|init| is_inside(init, 1)) { Ok(found) } else { Err(damaged) }
    }

    /// Runs the constructors, in the order in which the loader would.
    ///
    /// # Safety
    /// `symbol` is the address of a symbol of the library, which was opened and whose constructors have not run.
    pub unsafe fn run(&self, symbol: *const c_void) {
        // SAFETY: all fields of `Dl_info` are pointers, which may be NULL.
        let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
        // SAFETY: `info` is writable. The library is never closed.
        if unsafe { libc::dladdr(symbol, &raw mut info) } == 0 {
            return;
        }
        // The loader maps whole pages.
        let first_page = self.first & !(page_size() - 1);
        let base = info.dli_fbase.cast::<u8>().wrapping_sub(first_page as usize);
        let (args, environment) = arguments();
        let call = |constructor: Constructor| {
            // SAFETY: the loader would make the same call. `args` and the environment live as long as the process.
            unsafe { constructor(args.len() as c_int - 1, args.as_ptr(), environment) };
        };
        if let Some(init) = self.init {
            let address = base.wrapping_add(init as usize);
            // SAFETY: `DT_INIT` is the address of a function, and `detach` found it inside of the library.
            call(unsafe { std::mem::transmute::<*mut u8, Constructor>(address) });
        }
        for i in 0..self.array.1 / ADDRESS {
            let slot = base.wrapping_add((self.array.0 + i * ADDRESS) as usize).cast::<Option<Constructor>>();
            // SAFETY: `detach` found the array aligned and inside of the library. The loader has relocated its pointers.
            let constructor = unsafe { slot.read() };
            // glibc calls every pointer; 0 and -1 were terminators in an older format.
            if let Some(constructor) = constructor.filter(|c| *c as usize != usize::MAX) {
                call(constructor);
            }
        }
    }
}

fn page_size() -> u64 {
    // SAFETY: has no preconditions.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

/// The arguments of the process, which end with NULL, and its environment.
fn arguments() -> (&'static [*const c_char], *const *const c_char) {
    /// Pointers to strings that live as long as the process.
    struct Pointers(Vec<*const c_char>);
    // SAFETY: the strings are never changed or freed.
    unsafe impl Send for Pointers {}
    // SAFETY: as above.
    unsafe impl Sync for Pointers {}
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    static ARGS: OnceLock<Pointers> = OnceLock::new();
    let args = ARGS.get_or_init(|| {
        let args = std::env::args_os().filter_map(|arg| CString::new(arg.into_vec()).ok());
        Pointers(args.map(|arg| arg.into_raw().cast_const()).chain([ptr::null()]).collect())
    });
    // SAFETY: the C library sets `environ` before `main`. The gateway never changes the environment.
    (&args.0, unsafe { environ })
}
