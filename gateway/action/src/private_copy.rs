//! The private copy of a plugin file from which it is opened: nobody can replace or overwrite it.
//!
//! The copy is in memory. Folders for temporary files are often mounted `noexec` or read-only, or are full or missing. Only
//! a system without such files in memory gets a copy in the folder for temporary files.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsRawFd,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// A copy of a plugin file.
pub(super) struct PrivateCopy {
    path: PathBuf,
    place: Place,
}

enum Place {
    Memory(File),
    /// Deleted when it is dropped; the opened library stays mapped.
    Temporary {
        _folder: TempDir,
    },
}

impl PrivateCopy {
    /// Copies a file. `name` is shown in `/proc/PID/maps`.
    ///
    /// # Errors
    /// There is no space; the text names the folder, where one is used.
    pub fn new(name: &str, bytes: &[u8]) -> io::Result<Self> {
        let in_memory = in_memory(name, bytes);
        in_memory.or_else(|_| in_temporary_folder(bytes))
    }

    /// The path to open.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps what the opened library needs for the rest of the process.
    ///
    /// The dynamic loader identifies libraries by path. So the descriptor of a copy in memory, whose number is in the path,
    /// is never closed: the next plugin would have the same path. Plugin versions are bounded, and so are these.
    pub fn keep(self) {
        if let Place::Memory(file) = self.place {
            std::mem::forget(file);
        }
    }

    /// Appended to the reason of a library that could not be opened.
    pub fn hint(&self) -> String {
        match self.place {
            Place::Memory(_) => String::new(),
            Place::Temporary { .. } => {
                format!(" (opened from {}; is that folder mounted noexec? Set TMPDIR to another)", temporary_folder())
            }
        }
    }
}

fn in_memory(name: &str, bytes: &[u8]) -> io::Result<PrivateCopy> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know the flag, and need none.
    let descriptor = memfd_create(name, flags | MemfdFlags::EXEC).or_else(|_| memfd_create(name, flags))?;
    let mut file = File::from(descriptor);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    // `/proc` may be missing.
    path.metadata()?;
    Ok(PrivateCopy { path, place: Place::Memory(file) })
}

fn in_temporary_folder(bytes: &[u8]) -> io::Result<PrivateCopy> {
    let copy = || {
        let folder = tempfile::Builder::new().prefix("menlou-plugins-").tempdir()?;
        let path = folder.path().join("plugin.so");
        std::fs::write(&path, bytes)?;
        Ok(PrivateCopy { path, place: Place::Temporary { _folder: folder } })
    };
    copy().map_err(|e: io::Error| {
        let folder = temporary_folder();
        io::Error::new(e.kind(), format!("could not write to {folder}, the folder for temporary files (TMPDIR): {e}"))
    })
}

fn temporary_folder() -> String {
    std::env::temp_dir().display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_in_memory_has_the_bytes_and_cannot_be_changed() {
        let copy = in_memory("test", b"bytes").unwrap();
        assert_eq!(std::fs::read(copy.path()).unwrap(), b"bytes");
        let written = File::options().write(true).open(copy.path()).and_then(|mut file| file.write_all(b"other"));
        assert!(written.is_err());
        let other = in_memory("test", b"other").unwrap();
        assert_ne!(copy.path(), other.path());
    }

    #[test]
    fn a_temporary_copy_is_deleted_with_its_folder() {
        let copy = in_temporary_folder(b"bytes").unwrap();
        let path = copy.path().to_owned();
        assert_eq!(std::fs::read(&path).unwrap(), b"bytes");
        copy.keep();
        assert!(!path.exists());
    }
}
