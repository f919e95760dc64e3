//! Resolves references to secrets from the environment, files and sealed values, and records which files were read.

use super::{fingerprint::Fingerprint, keyring::Keyring, seal::Field, secret::SecretRef, secret_file, secret_text};
use menlou_error::text::Text;
use secrecy::{SecretString, zeroize::Zeroizing};
use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Looks up an environment variable: [`process_env`], or a function of a test.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The variable with the path of systemd's credentials directory (systemd.exec(5), `LoadCredential=`).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Looks up a variable in the environment of the process.
pub fn process_env(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Resolves the secrets of one config file. It records the files that it reads.
pub struct Sources<'a> {
    base: &'a Path,
    env: Env<'a>,
    keyring: &'a Keyring,
    tenant: Option<&'a str>,
    files: RefCell<Files>,
}

/// Files that secrets were read from, with the version just before each was read.
pub type Files = BTreeMap<PathBuf, Fingerprint>;

impl<'a> Sources<'a> {
    /// `base` is the folder for relative paths. `tenant` is `None` for the gateway's own config.
    pub fn new(base: &'a Path, env: Env<'a>, keyring: &'a Keyring, tenant: Option<&'a str>) -> Self {
        Self { base, env, keyring, tenant, files: RefCell::default() }
    }

    /// Resolves the reference at `pointer`. Line ends and blanks around the text of a variable
    /// or file are not part of the secret.
    ///
    /// # Errors
    /// The secret is missing, blank, unreadable, or sealed for another field. The error names the variable or path, never
    /// the value.
    pub fn resolve(&self, reference: &SecretRef, pointer: &str) -> Result<SecretString, Text> {
        match reference {
            SecretRef::Literal(secret) => Ok(secret.clone()),
            SecretRef::Env(name) => {
                let text = Zeroizing::new(self.variable(name)?);
                let (zh, en) = (format!("环境变量 {name} "), format!("the environment variable {name}"));
                secret_text::normalize(&text, &zh, &en).map(SecretString::from)
            }
            SecretRef::File(path) => self.file(self.base.join(path)),
            SecretRef::Credential(name) => self.file(self.credential(name)?),
            SecretRef::Sealed(sealed) => {
                if let Some(path) = self.keyring.file() {
                    self.record(path);
                }
                self.keyring.keys()?.open(sealed, Field { tenant: self.tenant, pointer })
            }
        }
    }

    /// The files that were read, including those that do not exist.
    pub fn into_files(self) -> Files {
        self.files.into_inner()
    }

    /// The path of a file in systemd's credentials directory.
    pub(super) fn credential(&self, name: &str) -> Result<PathBuf, Text> {
        Ok(PathBuf::from(self.variable(CREDENTIALS)?).join(name))
    }

    fn variable(&self, name: &str) -> Result<String, Text> {
        match (self.env)(name) {
            Some(value) if value.trim().is_empty() => {
                Err(Text::new(format!("环境变量 {name} 为空"), format!("the environment variable {name} is empty")))
            }
            Some(value) => Ok(value),
            None => {
                Err(Text::new(format!("环境变量 {name} 未设置"), format!("the environment variable {name} is not set")))
            }
        }
    }

    fn file(&self, path: PathBuf) -> Result<SecretString, Text> {
        self.record(&path);
        secret_file::read(&path)
    }

    /// Records the version of a file before it is read, so that a write during the read counts as a change.
    fn record(&self, path: &Path) {
        self.files.borrow_mut().insert(path.to_owned(), Fingerprint::for_path(path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seal::Keys;
    use secrecy::ExposeSecret;

    fn resolve(written: &str, base: &Path) -> Result<String, String> {
        let env = |name: &str| match name {
            "SET" => Some("hunter2".into()),
            "BLANK" => Some("  ".into()),
            CREDENTIALS => Some(base.join("credentials").display().to_string()),
            _ => None,
        };
        let reference = SecretRef::parse(written).map_err(|t| t.en.into_owned())?;
        let keyring = Keyring::default();
        let sources = Sources::new(base, &env, &keyring, Some("acme"));
        let secret = sources.resolve(&reference, "/wechat/secret");
        secret.map(|s| s.expose_secret().to_owned()).map_err(|t| t.en.into_owned())
    }

    #[test]
    fn secrets_are_resolved_from_variables_files_credentials_and_literals() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("s"), "of a file\r\n").unwrap();
        std::fs::create_dir(folder.path().join("credentials")).unwrap();
        std::fs::write(folder.path().join("credentials/wechat"), "of systemd\n").unwrap();
        assert_eq!(resolve("env:SET", folder.path()).unwrap(), "hunter2");
        assert_eq!(resolve("file:s", folder.path()).unwrap(), "of a file");
        assert_eq!(
            resolve(&format!("file:{}", folder.path().join("s").display()), Path::new("/")).unwrap(),
            "of a file"
        );
        for written in ["file:$CREDENTIALS_DIRECTORY/wechat", "file:${CREDENTIALS_DIRECTORY}/wechat"] {
            assert_eq!(resolve(written, folder.path()).unwrap(), "of systemd");
        }
        for literal in ["0123456789abcdef", "p@ss w0rd", "redis://:pw@127.0.0.1:6379/0", "postgres://u:p@h/db"] {
            assert_eq!(resolve(literal, folder.path()).unwrap(), literal);
        }
    }

    #[test]
    fn unresolved_or_empty_secrets_are_errors_that_name_only_their_source() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("empty"), "\n").unwrap();
        std::fs::write(folder.path().join("binary"), [0xff, 0xfe]).unwrap();
        std::fs::write(folder.path().join("large"), vec![b'x'; 70_000]).unwrap();
        for (written, says) in [
            ("env:MISSING", "MISSING is not set"),
            ("env:BLANK", "BLANK is empty"),
            ("file:none", "none can't be read"),
            ("file:$CREDENTIALS_DIRECTORY/none", "credentials/none can't be read"),
            ("file:.", "is not a regular file"),
            ("file:/dev/zero", "is not a regular file"),
            ("file:empty", "is empty"),
            ("file:binary", "is not UTF-8"),
            ("file:large", "is larger than 64 KiB"),
            (
                "sealed:v1:00112233:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "no keys for sealed secrets are configured",
            ),
        ] {
            let error = resolve(written, folder.path()).unwrap_err();
            assert!(error.contains(says), "{written}: {error}");
        }
    }

    #[test]
    fn sealed_secrets_open_in_their_field_and_the_files_read_are_recorded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        std::fs::write(&path, Keys::generate().unwrap().expose_secret()).unwrap();
        std::fs::write(folder.path().join("s"), "of a file").unwrap();
        let keyring = Keyring::from_file(path.clone());
        let field = Field { tenant: Some("acme"), pointer: "/wechat/secret" };
        let sealed = keyring.keys().unwrap().seal(&"hunter2".into(), field).unwrap().to_string();
        let reference = SecretRef::parse(&sealed).unwrap();
        let env = |_: &str| None;
        let sources = Sources::new(folder.path(), &env, &keyring, Some("acme"));
        assert_eq!(sources.resolve(&reference, "/wechat/secret").unwrap().expose_secret(), "hunter2");
        assert!(sources.resolve(&reference, "/wechat/previous_secret").is_err());
        sources.resolve(&SecretRef::parse("file:s").unwrap(), "/x").unwrap();
        let files: Vec<PathBuf> = sources.into_files().into_keys().collect();
        assert_eq!(files, [path, folder.path().join("s")]);
        let elsewhere = Sources::new(folder.path(), &env, &keyring, None);
        assert!(elsewhere.resolve(&reference, "/wechat/secret").is_err());
    }
}
