//! Saves a file whole or not at all, whatever happens meanwhile: a full disk, a kill, a power cut.

use menlou_error::text::Text;
use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::Path,
};
use tempfile::{NamedTempFile, PersistError};

/// The mode of a new file: a tenant's may hold a secret, and the gateway may run under another user of the group.
const MODE: u32 = 0o640;

/// Why a file was not saved. What stood there before still does.
#[derive(Debug)]
pub enum SaveError {
    /// [`create`] found a file of this name.
    Exists,
    /// The system refuses: what it says, and what to look at.
    Refused(Text),
}

/// Puts `bytes` in the place of the file at `path`, or makes it. Readers see the old content or the new, never a part;
/// once this returns `Ok`, the new survives a power cut. An existing file keeps its mode, and as far as the system allows
/// its owner; a new one gets mode 0640. Meanwhile there is a hidden file `.menlou-….tmp` beside it, which is no tenant's
/// and is taken away where saving fails. Blocks.
///
/// # Errors
/// [`SaveError::Refused`]: full or read-only disk, no permission, no such folder, or `path` is a link or no regular file.
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

/// Takes a file away, for good once this returns `Ok`. Blocks.
///
/// # Errors
/// [`SaveError::Refused`]: read-only disk, no permission, no such file.
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
        // A rename would put a file in the link's place, and leave what it points at as it was.
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

/// Gives a file the owner and group of another, or of its folder: what root saves must be readable for the gateway.
/// Others than root may set a group of their own only, or nothing; then the group is the saver's, as with editors.
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
            format!("{shown} is a link to {target} and was left as it is: change the file that it points at"),
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
            "no permission to write there: run this as the gateway's user, or allow writing to the folder",
        ),
        io::ErrorKind::FileTooLarge => ("超过了允许的文件大小", "the file would be larger than allowed"),
        io::ErrorKind::NotFound => ("没有这个文件或文件夹", "there is no such file or folder"),
        _ => ("系统拒绝", "the system refuses"),
    };
    SaveError::Refused(Text::new(
        format!("无法{zh} {shown}：{why_zh}（文件夹 {folder}；{e}）；原有内容未改动"),
        format!("{shown} can't be {en}: {why_en} (folder {folder}; {e}); what was there is unchanged"),
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

    fn told(outcome: Result<(), SaveError>) -> Text {
        match outcome {
            Err(SaveError::Refused(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_new_file_is_for_owner_and_group_and_an_old_one_keeps_its_mode() {
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
    fn a_file_that_must_be_new_replaces_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        create(&path, b"one").unwrap();
        assert!(matches!(create(&path, b"two"), Err(SaveError::Exists)));
        assert_eq!((fs::read(&path).unwrap(), names(folder.path())), (b"one".to_vec(), vec!["a.toml".to_owned()]));
    }

    #[test]
    fn readers_see_the_old_or_the_new_and_never_a_part() {
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
    fn a_link_is_left_as_it_is() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (path, target) = (folder.path().join("a.toml"), elsewhere.path().join("a.toml"));
        fs::write(&target, "one").unwrap();
        std::os::unix::fs::symlink(&target, &path).unwrap();
        assert!(told(write_atomically(&path, b"two")).en.contains("is a link to"));
        assert_eq!(fs::read(&target).unwrap(), b"one");
        assert!(fs::symlink_metadata(&path).unwrap().is_symlink());
    }

    #[test]
    fn what_can_not_be_saved_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert!(told(write_atomically(&folder.path().join("none/a.toml"), b"x")).en.contains("no such file or folder"));
        let here = folder.path().join("a.toml");
        fs::create_dir(&here).unwrap();
        assert!(told(write_atomically(&here, b"x")).en.contains("not a regular file"));
        assert_eq!(names(folder.path()), ["a.toml"]);
        let read_only = told(write_atomically(Path::new("/proc/menlou.toml"), b"x"));
        assert!(read_only.zh.starts_with("无法保存") && read_only.en.contains("unchanged"), "{read_only:?}");
    }
}
