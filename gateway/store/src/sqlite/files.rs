//! Whether the files of the database are still those that were opened: SQLite goes on writing to deleted files, and what it
//! acknowledges then is lost when the process ends.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

/// The database, its write-ahead log, and the index of the log.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// The files of an open database.
pub(super) struct DatabaseFiles {
    files: [DatabaseFile; SUFFIXES.len()],
}

struct DatabaseFile {
    path: PathBuf,
    /// Device and inode. SQLite may create the log and its index later.
    opened: OnceLock<(u64, u64)>,
}

impl DatabaseFiles {
    /// Remembers the files of the database at `path`, which is open.
    pub fn new(path: &Path) -> Self {
        let files = SUFFIXES.map(|suffix| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            let file = DatabaseFile { path: name.into(), opened: OnceLock::new() };
            if let Some(identity) = identity(&file.path) {
                file.opened.get_or_init(|| identity);
            }
            file
        });
        Self { files }
    }

    /// The first file that was deleted or replaced since it was opened. Blocks.
    pub fn missing(&self) -> Option<&Path> {
        let is_other = |file: &&DatabaseFile| match identity(&file.path) {
            Some(now) => *file.opened.get_or_init(|| now) != now,
            None => file.opened.get().is_some(),
        };
        self.files.iter().find(is_other).map(|file| &*file.path)
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deleted_and_replaced_files_are_noticed_and_new_ones_are_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let (path, wal) = (folder.path().join("m.db"), folder.path().join("m.db-wal"));
        fs::write(&path, "").unwrap();
        let files = DatabaseFiles::new(&path);
        assert_eq!(files.missing(), None);
        fs::write(&wal, "").unwrap();
        assert_eq!(files.missing(), None, "created by SQLite");
        fs::remove_file(&wal).unwrap();
        assert_eq!(files.missing(), Some(&*wal));
        fs::write(folder.path().join("other"), "").unwrap();
        fs::write(&wal, "").unwrap();
        let files = DatabaseFiles::new(&path);
        fs::rename(folder.path().join("other"), &path).unwrap();
        assert_eq!(files.missing(), Some(&*path));
    }
}
