//! Management of the tenant files: list, read, create, change and remove. Each change is atomic, and fails if the file is
//! not the revision that the caller has seen.

use super::{ValidatedTenant, added_errors::added_errors, build};
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

/// Maximum time that a change waits for the lock of the folder.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval of the attempts to get the lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

/// The tenant files, and the plugins that validate them. All methods block on file I/O; a change waits a few seconds at
/// most.
///
/// A lock on the folder serialises changes, including those of other processes that use this type. Editors ignore the lock:
/// if one saves the file while a change is being validated, the change fails with [`TenantFileError::Changed`].
pub struct TenantFiles<'a> {
    folder: &'a Path,
    library: &'a PluginRegistry,
    keyring: &'a Keyring,
}

/// Revision of a file: the SHA-256 of its content in hex, which is valid as an `ETag`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision(String);

/// A tenant file. It has no `Debug`, because the text may contain secrets.
pub struct StoredTenantFile {
    /// The text on disk.
    pub text: String,
    /// The result of the validation.
    pub checked: Result<ValidatedTenant, Vec<ConfigError>>,
    /// The revision of the text.
    pub revision: Revision,
}

/// The result of a change. It has no `Debug`, because the texts may contain secrets.
pub struct SavedTenantFile {
    /// The text before the change, with invalid UTF-8 replaced; `None` if the file is new.
    pub before: Option<String>,
    /// The text after the change.
    pub after: String,
    /// The revision after the change.
    pub revision: Revision,
    /// Errors that affect single actions only, such as a missing plugin.
    pub errors: Vec<ConfigError>,
}

/// Why the operation failed. Nothing was changed.
#[derive(Debug)]
pub enum TenantFileError {
    /// The tenant exists already.
    Exists,
    /// The tenant does not exist.
    Absent,
    /// The file is not the revision that the caller has seen. It has to be read again.
    Changed,
    /// The new content is invalid: all errors, with their positions in that content.
    Invalid(Vec<ConfigError>),
    /// The change cannot be applied to the file.
    InvalidChange(Text),
    /// The file cannot be read or written.
    Io(Text),
}

impl<'a> TenantFiles<'a> {
    /// The tenant files of a folder. `library` and `keyring` are used to validate them.
    pub fn new(folder: &'a Path, library: &'a PluginRegistry, keyring: &'a Keyring) -> Self {
        Self { folder, library, keyring }
    }

    /// The path of a tenant's file, whether it exists or not.
    pub fn path(&self, name: &TenantName) -> PathBuf {
        self.folder.join(format!("{name}.toml"))
    }

    /// The names of all tenants, sorted, and an error for each `.toml` file without a valid tenant name.
    ///
    /// # Errors
    /// The folder cannot be read.
    pub fn names(&self) -> Result<(Vec<TenantName>, Vec<ConfigError>), ConfigError> {
        list_names(self.folder)
    }

    /// A tenant file, valid or not.
    ///
    /// # Errors
    /// [`TenantFileError::Absent`]; [`TenantFileError::Io`] if it cannot be read; [`TenantFileError::Invalid`] if it is not
    /// UTF-8 or larger than 1 MiB.
    pub fn read(&self, name: &TenantName) -> Result<StoredTenantFile, TenantFileError> {
        let bytes = self.bytes(name)?;
        let text = self.text(name, &bytes)?.to_owned();
        Ok(StoredTenantFile { checked: self.check(name, &text), text, revision: Revision::for_bytes(&bytes) })
    }

    /// Creates a tenant file with this text.
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
        Ok(SavedTenantFile::new(None, text.to_owned(), validated.errors))
    }

    /// Replaces the text of a tenant file. With `seen`, only if the file is still this revision.
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

    /// Changes values in a tenant file and keeps comments and layout. With `seen`, only if the file is still this revision.
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

    /// As [`Self::edit`], and saves a file that has errors if it had each of them before: a secret can be replaced whatever
    /// else is wrong. A running gateway keeps the last valid version until the file has no errors.
    ///
    /// # Errors
    /// As [`Self::edit`], with the new errors only.
    pub fn edit_despite_errors(
        &self,
        name: &TenantName,
        changes: &[ConfigChange],
        seen: Option<&Revision>,
    ) -> Result<SavedTenantFile, TenantFileError> {
        let make =
            |before: &[u8]| edit::apply(self.text(name, before)?, changes).map_err(TenantFileError::InvalidChange);
        self.change_and_check(name, seen, make, |before, after| self.check_change(name, before, after))
    }

    /// As [`Self::replace`], and saves a file with errors as [`Self::edit_despite_errors`] does.
    ///
    /// # Errors
    /// As [`Self::replace`], with the new errors only.
    pub fn replace_despite_errors(
        &self,
        name: &TenantName,
        text: &str,
        seen: Option<&Revision>,
    ) -> Result<SavedTenantFile, TenantFileError> {
        let check = |before: &[u8], after: &str| self.check_change(name, before, after);
        self.change_and_check(name, seen, |_| Ok(text.to_owned()), check)
    }

    /// Validates a change of a file that may have errors already. Returns the errors that stay.
    ///
    /// # Errors
    /// The errors that the change adds.
    pub fn check_change(
        &self,
        name: &TenantName,
        before: &[u8],
        after: &str,
    ) -> Result<Vec<ConfigError>, Vec<ConfigError>> {
        let errors = match self.check(name, after) {
            Ok(validated) => return Ok(validated.errors),
            Err(errors) => errors,
        };
        let known = std::str::from_utf8(before).ok().and_then(|before| self.check(name, before).err());
        let after = (after.as_bytes(), errors);
        let added = added_errors(&self.path(name), (before, known.unwrap_or_default()), &after);
        if added.is_empty() { Ok(after.1) } else { Err(added) }
    }

    /// Removes a tenant file, valid or not, and returns its content. The tenant's data in the stores is kept. With `seen`,
    /// only if the file is still this revision.
    ///
    /// # Errors
    /// [`TenantFileError::Absent`], [`TenantFileError::Changed`], [`TenantFileError::Io`].
    pub fn remove(&self, name: &TenantName, seen: Option<&Revision>) -> Result<Vec<u8>, TenantFileError> {
        let _locked = lock_folder(self.folder)?;
        let bytes = self.bytes(name)?;
        check_revision(&bytes, seen)?;
        save::remove(&self.path(name)).map_err(TenantFileError::from)?;
        Ok(bytes)
    }

    /// Validates a text as the file of this tenant, like `menlou validate`.
    ///
    /// # Errors
    /// All errors in the text.
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
        self.change_and_check(name, seen, make, |_, after| Ok(self.check(name, after)?.errors))
    }

    /// Saves what `make` makes of the bytes, if `check` (the bytes before, the text after) finds no error that prevents it.
    fn change_and_check(
        &self,
        name: &TenantName,
        seen: Option<&Revision>,
        make: impl FnOnce(&[u8]) -> Result<String, TenantFileError>,
        check: impl FnOnce(&[u8], &str) -> Result<Vec<ConfigError>, Vec<ConfigError>>,
    ) -> Result<SavedTenantFile, TenantFileError> {
        let _locked = lock_folder(self.folder)?;
        let bytes = self.bytes(name)?;
        let current = Revision::for_bytes(&bytes);
        check_revision(&bytes, seen)?;
        let after = make(&bytes)?;
        let errors = check(&bytes, &after).map_err(TenantFileError::Invalid)?;
        check_revision(&self.bytes(name)?, Some(&current))?;
        save::write_atomically(&self.path(name), after.as_bytes()).map_err(TenantFileError::from)?;
        Ok(SavedTenantFile::new(Some(String::from_utf8_lossy(&bytes).into_owned()), after, errors))
    }

    fn text<'b>(&self, name: &TenantName, bytes: &'b [u8]) -> Result<&'b str, TenantFileError> {
        let invalid = || TenantFileError::Invalid(Document::parse(self.path(name), bytes).err().unwrap_or_default());
        if bytes.len() > load::MAX_FILE_SIZE {
            return Err(invalid());
        }
        std::str::from_utf8(bytes).map_err(|_| invalid())
    }

    fn bytes(&self, name: &TenantName) -> Result<Vec<u8>, TenantFileError> {
        super::folder::read_bytes(&self.path(name)).map_err(TenantFileError::Io)?.ok_or(TenantFileError::Absent)
    }
}

/// Like [`TenantFiles::names`].
///
/// # Errors
/// The folder cannot be read.
pub fn list_names(folder: &Path) -> Result<(Vec<TenantName>, Vec<ConfigError>), ConfigError> {
    let unreadable = |e: io::Error| build::unreadable(folder, &e);
    let (mut names, mut errors) = (Vec::new(), Vec::new());
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        match super::folder::name(&entry.map_err(unreadable)?.path()) {
            Some(Ok(name)) => names.push(name),
            Some(Err(error)) => errors.push(error),
            None => {}
        }
    }
    names.sort();
    Ok((names, errors))
}

/// Locks a tenant folder for a change. The lock is released when the file is dropped or the process ends.
///
/// # Errors
/// [`TenantFileError::Io`]: the folder cannot be opened, or the lock is not released in time.
pub fn lock_folder(folder: &Path) -> Result<File, TenantFileError> {
    let cannot_lock = |e: io::Error| {
        let folder = folder.display();
        TenantFileError::Io(Text::new(
            format!("无法打开租户文件夹 {folder}：{e}"),
            format!("could not open the tenant folder {folder}: {e}"),
        ))
    };
    let folder = File::open(folder).map_err(cannot_lock)?;
    let start = Instant::now();
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            // Some network file systems have no locks. There the revisions alone protect against lost changes.
            Err(TryLockError::Error(e)) if e.kind() == io::ErrorKind::Unsupported => return Ok(folder),
            Err(TryLockError::Error(e)) => return Err(cannot_lock(e)),
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_TIMEOUT => sleep(LOCK_INTERVAL),
            Err(TryLockError::WouldBlock) => {
                return Err(TenantFileError::Io(Text::fixed(
                    "另一处正在保存租户文件，请稍后再试",
                    "another change of the tenant files is being saved; try again in a moment",
                )));
            }
        }
    }
}

fn check_revision(bytes: &[u8], seen: Option<&Revision>) -> Result<(), TenantFileError> {
    if seen.is_none_or(|seen| Revision::for_bytes(bytes) == *seen) { Ok(()) } else { Err(TenantFileError::Changed) }
}

impl Revision {
    /// The revision of this content.
    pub fn for_bytes(bytes: &[u8]) -> Self {
        Self(hex::encode(digest(&SHA256, bytes)))
    }

    /// The revision in a tag that a client sent. An invalid tag equals no revision.
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
    fn new(before: Option<String>, after: String, errors: Vec<ConfigError>) -> Self {
        Self { before, revision: Revision::for_bytes(after.as_bytes()), after, errors }
    }
}

impl From<SaveError> for TenantFileError {
    fn from(error: SaveError) -> Self {
        match error {
            SaveError::Exists => Self::Exists,
            SaveError::Refused(text) => Self::Io(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const FILE: &str =
        "name = \"Acme\" # comment\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"demo-secret\"\n";

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
    fn changes_apply_only_to_the_revision_that_was_seen() {
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
    fn invalid_content_is_not_saved_and_every_error_is_reported() {
        let scene = Scene::new();
        let files = scene.files();
        let invalid = FILE.replace("appid", "apqid").replace("name", "nmae");
        let Err(TenantFileError::Invalid(errors)) = files.create(&acme(), &invalid) else { panic!("it was saved") };
        assert!(errors.len() >= 3 && errors[0].position() == Some((1, 1)), "{errors:?}");
        assert!(matches!(files.read(&acme()), Err(TenantFileError::Absent)));
        assert!(files.create(&acme(), FILE).is_ok());
        let unset = [ConfigChange::Unset(vec!["wechat".into(), "secret".into()])];
        assert!(matches!(files.edit(&acme(), &unset, None), Err(TenantFileError::Invalid(_))));
        assert_eq!(files.read(&acme()).ok().unwrap().text, FILE);
        fs::write(files.path(&acme()), b"\xff").unwrap();
        assert!(matches!(files.read(&acme()), Err(TenantFileError::Invalid(_))));
        assert!(matches!(files.edit(&acme(), &rename("B"), None), Err(TenantFileError::Invalid(_))));
        assert!(files.replace(&acme(), FILE, None).is_ok(), "a new text fixes it");
    }

    #[test]
    fn concurrent_changes_of_one_revision_succeed_once_and_others_are_all_kept() {
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
