//! Saves files atomically: after a full disk, a kill or a power failure, the file is either complete or unchanged.

use menlou_error::text::Text;
use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::Path,
};
use tempfile::{NamedTempFile, PersistError};

/// Mode of a new file: a tenant's file may hold a secret, and the gateway may run as another user of the group.
const MODE: u32 = 0o640;

/// Why a file was not saved. The previous file is unchanged.
#[derive(Debug)]
pub enum SaveError {
    /// [`create`] found an existing file of this name.
    Exists,
    /// The system refused; the text says why and what to check.
    Refused(Text),
}

/// Replaces or creates the file at `path`. Readers see the old or the new content, never a part of it; after `Ok`, the
/// new content survives a power failure. An existing file keeps its mode and, if permitted, its owner; a new file gets
/// mode 0640. While saving, a hidden file `.menlou-….tmp` exists in the same folder; it is removed if saving fails.
/// Blocks the calling thread.
///
/// # Errors
/// [`SaveError::Refused`]: the disk is full or read-only, permission is denied, the folder does not exist, or `path` is
/// a link or not a regular file.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    save(path, bytes, |draft| draft.persist(path))
}

/// As [`write_atomically`], for a file that must not exist yet.
///
/// # Errors
/// As there, and [`SaveError::Exists`].
pub fn create(path: &Path, bytes: &[u8]) -> Result<(), SaveError> {
    save(path, bytes, |draft| draft.persist_noclobber(path))
}

/// Removes a file durably. Blocks the calling thread.
///
/// # Errors
/// [`SaveError::Refused`]: the disk is read-only, permission is denied, or the file does not exist.
pub fn remove(path: &Path) -> Result<(), SaveError> {
    let removed = fs::remove_file(path).and_then(|()| File::open(folder_of(path))?.sync_all());
    removed.map_err(|e| refused(path, "删除", "removed", &e))
}

fn save(
    path: &Path,
    bytes: &[u8],
    persist: impl FnOnce(NamedTempFile) -> Result<File, PersistError>,
) -> Result<(), SaveError> {
    let before = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Some(metadata),
        // A rename would replace the link and leave its target unchanged.
        Ok(_) => return Err(SaveError::Refused(no_file(path))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        Err(e) => return Err(refused(path, "保存", "saved", &e)),
    };
    let folder = folder_of(path);
    let written = || -> io::Result<File> {
        let mut draft = tempfile::Builder::new().prefix(".menlou-").suffix(".tmp").tempfile_in(folder)?;
        draft.write_all(bytes)?;
        let mode = before.as_ref().map_or(MODE, |m| m.mode() & 0o7777);
        own(draft.as_file(), before.as_ref().map_or_else(|| fs::metadata(folder), |m| Ok(m.clone()))?);
        draft.as_file().set_permissions(Permissions::from_mode(mode))?;
        draft.as_file().sync_all()?;
        persist(draft).map_err(|e| e.error)?;
        File::open(folder)
    };
    match written().and_then(|folder| folder.sync_all()) {
        Ok(()) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Err(SaveError::Exists),
        Err(e) => Err(refused(path, "保存", "saved", &e)),
    }
}

/// Sets the owner and group of `file` to those of the previous file or of the folder, so that the gateway can read
/// files that root saves. Users other than root may only set one of their own groups, or nothing; the file then keeps
/// the group of the saving process, as with editors.
fn own(file: &File, like: fs::Metadata) {
    let _ = fchown(file, Some(like.uid()), Some(like.gid())).or_else(|_| fchown(file, None, Some(like.gid())));
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn no_file(path: &Path) -> Text {
    let shown = path.display();
    match fs::read_link(path).map(|target| target.display().to_string()) {
        Ok(target) => Text::new(
            format!("{shown} 是指向 {target} 的链接，未改动：请修改它指向的文件"),
            format!("{shown} is a link to {target} and was not changed: edit its target instead"),
        ),
        Err(_) => Text::new(format!("{shown} 不是普通文件"), format!("{shown} is not a regular file")),
    }
}

fn refused(path: &Path, zh: &str, en: &str, e: &io::Error) -> SaveError {
    let (shown, folder) = (path.display(), folder_of(path).display());
    let (why_zh, why_en) = match e.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            ("磁盘已满：请腾出空间", "the disk is full: free some space")
        }
        io::ErrorKind::ReadOnlyFilesystem => ("文件系统是只读的", "the file system is read-only"),
        io::ErrorKind::PermissionDenied => (
            "没有写权限：请用网关所用的用户运行，或放开文件夹的写权限",
            "no write permission: run this as the gateway's user, or allow writing to the folder",
        ),
        io::ErrorKind::FileTooLarge => ("超过了允许的文件大小", "the file would be larger than allowed"),
        io::ErrorKind::NotFound => ("没有这个文件或文件夹", "there is no such file or folder"),
        _ => ("系统拒绝", "the system refused"),
    };
    SaveError::Refused(Text::new(
        format!("无法{zh} {shown}：{why_zh}（文件夹 {folder}；{e}）；原有内容未改动"),
        format!("{shown} could not be {en}: {why_en} (folder {folder}; {e}); the existing content is unchanged"),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn refusal(outcome: Result<(), SaveError>) -> Text {
        match outcome {
            Err(SaveError::Refused(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_file_gets_mode_0640_and_an_existing_file_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        write_atomically(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        fs::set_permissions(&path, Permissions::from_mode(0o604)).unwrap();
        write_atomically(&path, b"two").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o604);
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"two".to_vec(), vec!["a.toml".to_owned()]));
    }

    #[test]
    fn create_never_replaces_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        create(&path, b"one").unwrap();
        assert!(matches!(create(&path, b"two"), Err(SaveError::Exists)));
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"one".to_vec(), vec!["a.toml".to_owned()]));
    }

    #[test]
    fn readers_see_either_the_old_or_the_new_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        write_atomically(&path, &[b'0'; 50_000]).unwrap();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                for round in 0..50u8 {
                    write_atomically(&path, &[b'0' + round % 10; 50_000]).unwrap();
                }
            });
            while !writer.is_finished() {
                let seen = fs::read(&path).unwrap();
                assert!(seen.len() == 50_000 && seen.iter().all(|b| *b == seen[0]));
            }
        });
    }

    #[test]
    fn a_link_is_not_replaced() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, target) = (folder.path().join("a.toml"), elsewhere.path().join("a.toml"));
        fs::write(&target, "one").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(refusal(write_atomically(&path, b"two")).en.contains("is a link to"));
        assert_eq!(fs::read(&target).unwrap(), b"one");
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn a_failed_save_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            refusal(write_atomically(&folder.path().join("none/a.toml"), b"x")).en.contains("no such file or folder")
        );
        let here = folder.path().join("a.toml");
        fs::create_dir(&here).unwrap();
        assert!(refusal(write_atomically(&here, b"x")).en.contains("not a regular file"));
        assert_eq!(names(folder.path()), ["a.toml"]);
        let read_only = refusal(write_atomically(Path::new("/proc/menlou.toml"), b"x"));
        assert!(read_only.zh.starts_with("无法保存") && read_only.en.contains("unchanged"), "{read_only:?}");
    }
}
