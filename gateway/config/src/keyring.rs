//! The operator's keys for sealed secrets. A key file is read again after it has changed.

use super::{fingerprint::Fingerprint, seal::Keys, secret_file};
use menlou_error::text::Text;
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The keys with which [`Sources`](super::sources::Sources) opens sealed secrets.
#[derive(Debug, Default)]
pub struct Keyring {
    source: KeySource,
    read: Mutex<Option<(Fingerprint, Arc<Keys>)>>,
}

#[derive(Debug, Default)]
enum KeySource {
    #[default]
    NotConfigured,
    File(PathBuf),
    Keys(Arc<Keys>),
}

impl Keyring {
    /// Reads the keys from a file, which may be created later.
    pub fn from_file(path: PathBuf) -> Self {
        Self { source: KeySource::File(path), read: Mutex::default() }
    }

    /// Uses these keys.
    pub fn from_keys(keys: Keys) -> Self {
        Self { source: KeySource::Keys(Arc::new(keys)), read: Mutex::default() }
    }

    /// The key file, if the keys come from a file.
    pub fn file(&self) -> Option<&Path> {
        match &self.source {
            KeySource::File(path) => Some(path),
            _ => None,
        }
    }

    /// Whether keys are configured in `[secrets] keys_file`.
    pub fn is_set(&self) -> bool {
        !matches!(self.source, KeySource::NotConfigured)
    }

    /// The current keys.
    ///
    /// # Errors
    /// No keys are configured, or their file is unreadable or malformed.
    pub fn keys(&self) -> Result<Arc<Keys>, Text> {
        let path = match &self.source {
            KeySource::Keys(keys) => return Ok(keys.clone()),
            KeySource::File(path) => path,
            KeySource::NotConfigured => {
                return Err(Text::fixed(
                    "没有配置密封密钥：用 menlou secret keygen 生成，并在网关配置的 [secrets] keys_file 中写明其文件",
                    "no keys for sealed secrets are configured: generate one with menlou secret keygen and set [secrets] keys_file in the gateway's config",
                ));
            }
        };
        let fingerprint = Fingerprint::for_path(path);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, keys)) = read.as_ref().filter(|(of, _)| *of == fingerprint) {
            return Ok(keys.clone());
        }
        let shown = path.display();
        let keys = secret_file::read_lines(path).and_then(|text| {
            Keys::parse(&text)
                .map_err(|text| Text::new(format!("{shown}：{}", text.zh), format!("{shown}: {}", text.en)))
        })?;
        let keys = Arc::new(keys);
        *read = Some((fingerprint, keys.clone()));
        Ok(keys)
    }

    /// A warning if every user of the machine may read or change the key file.
    pub fn warning(&self) -> Option<Text> {
        let path = self.file()?;
        let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
        (mode & 0o007 != 0).then(|| {
            let shown = path.display();
            Text::new(
                format!("密钥文件 {shown} 对所有用户开放（权限 {mode:03o}）：请执行 chmod 600 {shown}"),
                format!("every user can access the key file {shown} (mode {mode:03o}): run chmod 600 {shown}"),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::fs::{self, Permissions};

    #[test]
    fn a_changed_key_file_is_reloaded_and_an_invalid_one_is_reported_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.keys");
        let keyring = Keyring::from_file(path.clone());
        assert!(keyring.keys().unwrap_err().en.contains("seal.keys can't be read"));
        let mut ids = Vec::new();
        for _ in 0..2 {
            // The rename changes the inode: length and modification time may be the same.
            fs::write(path.with_extension("new"), Keys::generate().unwrap().expose_secret()).unwrap();
            fs::rename(path.with_extension("new"), &path).unwrap();
            ids.push(keyring.keys().unwrap().ids().next().unwrap().to_owned());
        }
        assert_ne!(ids[0], ids[1]);
        fs::write(&path, "hunter2").unwrap();
        let message = keyring.keys().unwrap_err().en;
        assert!(message.contains("seal.keys: line 1") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    fn only_key_files_that_others_can_access_cause_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.keys");
        fs::write(&path, "").unwrap();
        for (mode, warned) in [(0o600, false), (0o640, false), (0o644, true), (0o602, true)] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            assert_eq!(Keyring::from_file(path.clone()).warning().is_some(), warned, "{mode:o}");
        }
        assert!(Keyring::default().warning().is_none());
    }
}
