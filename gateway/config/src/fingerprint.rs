//! Tells a file's version without reading it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::Path,
    time::{Duration, SystemTime},
};

/// What was written within this time may not be all of it.
const SETTLED: Duration = Duration::from_millis(100);

/// A file's version: which file it is, how long, and when it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint {
    inode: u64,
    length: u64,
    written: (i64, i64),
}

impl Fingerprint {
    /// The version of the file at `path`, behind links; the default where it can't be told.
    pub fn for_path(path: &Path) -> Self {
        fs::metadata(path).map_or_else(
            |_| Self::default(),
            |m| Self { inode: m.ino(), length: m.len(), written: (m.mtime(), m.mtime_nsec()) },
        )
    }

    /// Whether the file was written a moment ago, so that its writer may not be done.
    pub fn is_fresh(&self) -> bool {
        self.is_younger_than(SETTLED)
    }

    /// Whether the file was written, or the folder got or lost a name, within this time.
    pub fn is_younger_than(&self, time: Duration) -> bool {
        let (seconds, nanos) = self.written;
        let parts = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok());
        let written = parts.and_then(|(s, n)| SystemTime::UNIX_EPOCH.checked_add(Duration::new(s, n)));
        // A time in the future is another clock's.
        written.and_then(|at| SystemTime::now().duration_since(at).ok()).is_some_and(|age| age < time)
    }
}
