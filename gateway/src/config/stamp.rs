//! Tells a file's version without reading it.

use std::{fs, os::unix::fs::MetadataExt, path::Path};

/// A file's version: which file it is, how long, and when it was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    length: u64,
    written: (i64, i64),
}

impl Stamp {
    /// The version of the file at `path`, behind links; the default where it can't be told.
    pub fn of(path: &Path) -> Self {
        fs::metadata(path).map_or_else(
            |_| Self::default(),
            |m| Self { inode: m.ino(), length: m.len(), written: (m.mtime(), m.mtime_nsec()) },
        )
    }
}
