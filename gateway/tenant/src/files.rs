//! The folder of tenants' files as those who manage it see it: list, read, create, change and remove, each whole or not
//! at all, and never over a change that they have not seen.

use super::{ValidatedTenant, build};
use aws_lc_rs::digest::{SHA256, digest};
use menlou_action::PluginRegistry;
use menlou_config::{
    config_error::ConfigError,
    edit::{self, ConfigChange},
    keyring::Keyring,
    load::{self, Document},
    save::{self, SaveError},
    tenant::TenantName,
};
use menlou_error::text::Text;
use std::{
    fmt,
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

/// How long a change waits for another that is being saved.
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(20);

/// The tenants' files and the plugins that they are checked with. All methods block for as long as a disk does, and no
/// change longer than some seconds.
///
/// Changes from here wait for each other, also those of other processes, by a lock on the folder. Editors know no lock:
/// a file that one of them saves while a change is being checked is seen just before the change is saved, and wins.
pub struct TenantFiles<'a> {
    folder: &'a Path,
    library: &'a PluginRegistry,
    keyring: &'a Keyring,
}

/// A file's content, told by its SHA-256 in hex: fit for an `ETag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(String);

/// A file as it is. It has no `Debug`: the text may hold secrets.
pub struct StoredTenantFile {
    /// The text as it stands on the disk.
    pub text: String,
    /// What it came to: the faults, or what would serve.
    pub checked: Result<ValidatedTenant, Vec<ConfigError>>,
    /// Which content this is.
    pub revision: Revision,
}

/// What a change came to. It has no `Debug`: the texts may hold secrets.
pub struct SavedTenantFile {
    /// The text before, `None` of a new file; what is not UTF-8 in it is replaced.
    pub before: Option<String>,
    /// The text that stands on the disk now.
    pub after: String,
    /// Which content that is.
    pub revision: Revision,
    /// What is wrong and yet lets the rest serve, such as an action whose plugin is missing.
    pub faults: Vec<ConfigError>,
}

/// Why nothing was changed.
#[derive(Debug)]
pub enum TenantFileError {
    /// There is such a tenant already.
    Exists,
    /// There is no such tenant.
    Absent,
    /// The file is not as the caller has seen it: read it again.
    Changed,
    /// The content would be faulty: each fault, at its place in the text as it was offered.
    Invalid(Vec<ConfigError>),
    /// The change itself makes no sense.
    InvalidChange(Text),
    /// The system refuses to read or save.
    Io(Text),
}

impl<'a> TenantFiles<'a> {
    /// The files of a folder, to be checked with these plugins and keys of sealed secrets.
    pub fn new(folder: &'a Path, library: &'a PluginRegistry, keyring: &'a Keyring) -> Self {
        Self { folder, library, keyring }
    }

    /// Where the file of a tenant is, or would be.
    pub fn path(&self, name: &TenantName) -> PathBuf {
        self.folder.join(format!("{name}.toml"))
    }

    /// The tenants that have a file, sorted, and the faults of `.toml` files whose name is no tenant's.
    ///
    /// # Errors
    /// The folder can't be read.
    pub fn names(&self) -> Result<(Vec<TenantName>, Vec<ConfigError>), ConfigError> {
        list_names(self.folder)
    }

    /// A tenant's file as it is, faulty or not.
    ///
    /// # Errors
    /// [`TenantFileError::Absent`], [`TenantFileError::Io`] where it can't be read, [`TenantFileError::Invalid`] where it is no text (not
    /// UTF-8, larger than 1 MiB).
    pub fn read(&self, name: &TenantName) -> Result<StoredTenantFile, TenantFileError> {
        let bytes = self.bytes(name)?;
        let text = self.text(name, &bytes)?.to_owned();
        Ok(StoredTenantFile { checked: self.check(name, &text), text, revision: Revision::for_bytes(&bytes) })
    }

    /// Makes a tenant of this text.
    ///
    /// # Errors
    /// [`TenantFileError::Exists`], [`TenantFileError::Invalid`], [`TenantFileError::Io`].
    pub fn create(&self, name: &TenantName, text: &str) -> Result<SavedTenantFile, TenantFileError> {
        let _locked = lock_folder(self.folder)?;
        if self.path(name).symlink_metadata().is_ok() {
            return Err(TenantFileError::Exists);
        }
        let validated = self.check(name, text).map_err(TenantFileError::Invalid)?;
        save::create(&self.path(name), text.as_bytes()).map_err(TenantFileError::from)?;
        Ok(SavedTenantFile::new(None, text.to_owned(), validated))
    }

    /// Puts this text in the place of a tenant's whole file. With `seen`, only if the file is still that.
    ///
    /// # Errors
    /// All but [`TenantFileError::Exists`].
    pub fn replace(
        &self,
        name: &TenantName,
        text: &str,
        seen: Option<&Revision>,
    ) -> Result<SavedTenantFile, TenantFileError> {
        self.change(name, seen, |_| Ok(text.to_owned()))
    }

    /// Changes values of a tenant's file; comments and layout stay. With `seen`, only if the file is still that.
    ///
    /// # Errors
    /// All but [`TenantFileError::Exists`].
    pub fn edit(
        &self,
        name: &TenantName,
        changes: &[ConfigChange],
        seen: Option<&Revision>,
    ) -> Result<SavedTenantFile, TenantFileError> {
        self.change(name, seen, |before| {
            edit::apply(self.text(name, before)?, changes).map_err(TenantFileError::InvalidChange)
        })
    }

    /// Takes a tenant's file away, and gives what stood in it; it need not have been faultless. What the stores hold of
    /// the tenant stays. With `seen`, only if the file is still that.
    ///
    /// # Errors
    /// [`TenantFileError::Absent`], [`TenantFileError::Changed`], [`TenantFileError::Io`].
    pub fn remove(&self, name: &TenantName, seen: Option<&Revision>) -> Result<Vec<u8>, TenantFileError> {
        let _locked = lock_folder(self.folder)?;
        let bytes = self.bytes(name)?;
        unchanged(&bytes, seen)?;
        save::remove(&self.path(name)).map_err(TenantFileError::from)?;
        Ok(bytes)
    }

    /// Checks a text as the file of this tenant, as `menlou validate` does.
    ///
    /// # Errors
    /// Every fault.
    pub fn check(&self, name: &TenantName, text: &str) -> Result<ValidatedTenant, Vec<ConfigError>> {
        let doc = Document::parse(self.path(name), text.as_bytes())?;
        build::check(name, &doc, self.library, self.keyring)
    }

    fn change(
        &self,
        name: &TenantName,
        seen: Option<&Revision>,
        make: impl FnOnce(&[u8]) -> Result<String, TenantFileError>,
    ) -> Result<SavedTenantFile, TenantFileError> {
        let _locked = lock_folder(self.folder)?;
        let bytes = self.bytes(name)?;
        let found = Revision::for_bytes(&bytes);
        unchanged(&bytes, seen)?;
        let after = make(&bytes)?;
        let validated = self.check(name, &after).map_err(TenantFileError::Invalid)?;
        unchanged(&self.bytes(name)?, Some(&found))?;
        save::write_atomically(&self.path(name), after.as_bytes()).map_err(TenantFileError::from)?;
        Ok(SavedTenantFile::new(Some(String::from_utf8_lossy(&bytes).into_owned()), after, validated))
    }

    fn text<'b>(&self, name: &TenantName, bytes: &'b [u8]) -> Result<&'b str, TenantFileError> {
        let faulty = || TenantFileError::Invalid(Document::parse(self.path(name), bytes).err().unwrap_or_default());
        if bytes.len() > load::MAX_FILE_SIZE {
            return Err(faulty());
        }
        std::str::from_utf8(bytes).map_err(|_| faulty())
    }

    fn bytes(&self, name: &TenantName) -> Result<Vec<u8>, TenantFileError> {
        super::folder::read_bytes(&self.path(name)).map_err(TenantFileError::Io)?.ok_or(TenantFileError::Absent)
    }
}

/// As [`TenantFiles::names`].
///
/// # Errors
/// As there.
pub fn list_names(folder: &Path) -> Result<(Vec<TenantName>, Vec<ConfigError>), ConfigError> {
    let unreadable = |e: io::Error| build::unreadable(folder, &e);
    let (mut names, mut faults) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        match super::folder::name(&entry.map_err(unreadable)?.path()) {
            Some(Ok(name)) => names.push(name),
            Some(Err(fault)) => faults.push(fault),
            None => {}
        }
    }
    names.sort();
    Ok((names, faults))
}

/// The lock of a folder of tenants, which those who change its files wait for. It is held until dropped; the system takes
/// it back from whoever dies.
///
/// # Errors
/// [`TenantFileError::Io`]: the folder can't be opened, or another holds the lock for long.
pub fn lock_folder(folder: &Path) -> Result<File, TenantFileError> {
    let unlocked = |e: io::Error| {
        let folder = folder.display();
        TenantFileError::Io(Text::new(
            format!("无法打开租户文件夹 {folder}：{e}"),
            format!("the tenants' folder {folder} can't be opened: {e}"),
        ))
    };
    let folder = File::open(folder).map_err(unlocked)?;
    let start = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            // Some network file systems have no locks; then the revisions alone must do.
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => return Ok(folder),
            Err(TryLockError::Error(e)) => return Err(unlocked(e)),
            Err(TryLockError::WouldBlock) if start.elapsed() < PATIENCE => sleep(RETRY),
            Err(TryLockError::WouldBlock) => {
                return Err(TenantFileError::Io(Text::fixed(
                    "另一处正在保存租户文件，请稍后再试",
                    "another change of the tenants is being saved; try again in a moment",
                )));
            }
        }
    }
}

fn unchanged(bytes: &[u8], seen: Option<&Revision>) -> Result<(), TenantFileError> {
    if seen.is_none_or(|seen| Revision::for_bytes(bytes) == *seen) { Ok(()) } else { Err(TenantFileError::Changed) }
}

impl Revision {
    /// The revision of a content.
    pub fn for_bytes(bytes: &[u8]) -> Self {
        Self(hex::encode(digest(&SHA256, bytes)))
    }

    /// The revision that somebody has been told; anything else equals none.
    pub fn from_tag(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl SavedTenantFile {
    fn new(before: Option<String>, after: String, validated: ValidatedTenant) -> Self {
        Self { before, revision: Revision::for_bytes(after.as_bytes()), after, faults: validated.faults }
    }
}

impl From<SaveError> for TenantFileError {
    fn from(unsaved: SaveError) -> Self {
        match unsaved {
            SaveError::Exists => Self::Exists,
            SaveError::Refused(text) => Self::Io(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FILE: &str = "name = \"Acme\" # theirs\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"demo-secret\"\n";

    struct Scene {
        folder: tempfile::TempDir,
        library: PluginRegistry,
        keyring: Keyring,
    }

    impl Scene {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            Self { library: PluginRegistry::load(folder.path()).unwrap(), keyring: Keyring::default(), folder }
        }

        fn files(&self) -> TenantFiles<'_> {
            TenantFiles::new(self.folder.path(), &self.library, &self.keyring)
        }
    }

    fn acme() -> TenantName {
        TenantName::parse("acme").unwrap()
    }

    fn rename(to: &str) -> [ConfigChange; 1] {
        [ConfigChange::Set(vec!["name".into()], json!(to))]
    }

    #[test]
    fn a_tenant_is_created_once_changed_where_it_is_still_as_seen_and_removed() {
        let scene = Scene::new();
        let files = scene.files();
        assert!(matches!(files.read(&acme()), Err(TenantFileError::Absent)));
        assert!(matches!(files.edit(&acme(), &rename("B"), None), Err(TenantFileError::Absent)));
        let first = files.create(&acme(), FILE).ok().unwrap().revision;
        assert!(matches!(files.create(&acme(), FILE), Err(TenantFileError::Exists)));
        assert_eq!(files.names().unwrap().0, [acme()]);

        let saved = files.edit(&acme(), &rename("Beta"), Some(&first)).ok().unwrap();
        assert_eq!((saved.before.as_deref(), &saved.after), (Some(FILE), &FILE.replace("Acme", "Beta")));
        assert!(files.read(&acme()).ok().unwrap().revision == saved.revision && saved.revision != first);
        for outcome in [
            files.edit(&acme(), &rename("Gamma"), Some(&first)).map(|_| ()),
            files.replace(&acme(), FILE, Some(&Revision::from_tag("nonsense"))).map(|_| ()),
            files.remove(&acme(), Some(&first)).map(|_| ()),
        ] {
            assert!(matches!(outcome, Err(TenantFileError::Changed)));
        }
        assert_eq!(files.remove(&acme(), Some(&saved.revision)).unwrap(), saved.after.as_bytes());
        assert!(matches!(files.remove(&acme(), None), Err(TenantFileError::Absent)));
    }

    #[test]
    fn what_is_faulty_is_not_saved_and_every_fault_is_told() {
        let scene = Scene::new();
        let files = scene.files();
        let faulty = FILE.replace("appid", "apqid").replace("name", "nmae");
        let Err(TenantFileError::Invalid(faults)) = files.create(&acme(), &faulty) else { panic!("it was saved") };
        assert!(faults.len() >= 3 && faults[0].position() == Some((1, 1)), "{faults:?}");
        assert!(matches!(files.read(&acme()), Err(TenantFileError::Absent)));
        assert!(files.create(&acme(), FILE).is_ok());
        let unset = [ConfigChange::Unset(vec!["wechat".into(), "secret".into()])];
        assert!(matches!(files.edit(&acme(), &unset, None), Err(TenantFileError::Invalid(_))));
        assert_eq!(files.read(&acme()).ok().unwrap().text, FILE);
        fs::write(files.path(&acme()), b"\xff").unwrap();
        assert!(matches!(files.read(&acme()), Err(TenantFileError::Invalid(_))));
        assert!(matches!(files.edit(&acme(), &rename("B"), None), Err(TenantFileError::Invalid(_))));
        assert!(files.replace(&acme(), FILE, None).is_ok(), "a whole new text mends it");
    }

    #[test]
    fn of_changes_raced_with_one_revision_one_wins_and_without_none_is_lost() {
        let scene = Scene::new();
        let seen = scene.files().create(&acme(), FILE).ok().unwrap().revision;
        let race = |change: &(dyn Fn(usize) -> bool + Sync)| {
            std::thread::scope(|scope| {
                let raced: Vec<_> = (0..8).map(|i| scope.spawn(move || change(i))).collect();
                raced.into_iter().map(|t| t.join().unwrap()).filter(|won| *won).count()
            })
        };
        let won = race(&|i| scene.files().edit(&acme(), &rename(&format!("of {i}")), Some(&seen)).is_ok());
        assert_eq!(won, 1);
        let tables = |i: usize| [ConfigChange::Set(vec!["actions".into(), format!("a{i}")], json!({}))];
        assert_eq!(race(&|i| scene.files().edit(&acme(), &tables(i), None).is_ok()), 8);
        let text = scene.files().read(&acme()).ok().unwrap().text;
        assert!((0..8).all(|i| text.contains(&format!("[actions.a{i}]"))), "{text}");
    }
}
