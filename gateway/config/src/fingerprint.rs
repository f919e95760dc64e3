//! Identifies the version of a file without reading its content.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

/// A file that was modified more recently than this may still be being written.
const SETTLED: Duration = Duration::from_millis(100);

/// The version of a file: inode, length and modification time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    inode: u64,
    length: u64,
    written: (i64, i64),
}

impl Fingerprint {
    /// The version of the file at `path`, following links; the default value if its metadata cannot be read.
    pub fn for_path(path: &Path) -> Self {
        fs::metadata(path).map_or_else(
            |_| Self::default(),
            |m| Self { inode: m.ino(), length: m.len(), written: (m.mtime(), m.mtime_nsec()) },
        )
    }

    /// Whether the file was modified so recently that its writer may not have finished.
    pub fn is_fresh(&self) -> bool {
        self.is_younger_than(SETTLED)
    }

    /// Whether the file was modified, or an entry of the folder was added or removed, less than `time` ago.
    pub fn is_younger_than(&self, time: Duration) -> bool {
        let (seconds, nanos) = self.written;
        let parts = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
        let written = parts.and_then(|(s, n)| SystemTime::UNIX_EPOCH.checked_add(Duration::new(s, n)));
        // A modification time in the future comes from another clock.
        written.and_then(|at| SystemTime::now().duration_since(at).ok()).is_some_and(|age| age < time)
    }
}
