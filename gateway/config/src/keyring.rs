//! Where the operator keeps the keys of sealed secrets; a changed file of keys is read anew.

use super::{fingerprint::Fingerprint, seal::Keys, secret_file};
use menlou_error::text::Text;
use std::{
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

/// The keys that [`Sources`](super::sources::Sources) open sealed secrets with.
#[derive(Debug, Default)]
pub struct Keyring {
    keys: Kept,
    read: Mutex<Option<(Fingerprint, Arc<Keys>)>>,
}

#[derive(Debug, Default)]
enum Kept {
    #[default]
    Nowhere,
    File(PathBuf),
    Here(Arc<Keys>),
}

impl Keyring {
    /// The keys in a file, which need not be there yet.
    pub fn from_file(path: PathBuf) -> Self {
        Self { keys: Kept::File(path), read: Mutex::default() }
    }

    /// These keys.
    pub fn from_keys(keys: Keys) -> Self {
        Self { keys: Kept::Here(Arc::new(keys)), read: Mutex::default() }
    }

    /// The file that holds the keys, where it is one.
    pub fn file(&self) -> Option<&Path> {
        match &self.keys {
            Kept::File(path) => Some(path),
            _ => None,
        }
    }

    /// Whether there are to be keys: `[secrets] keys` is set.
    pub fn is_set(&self) -> bool {
        !matches!(self.keys, Kept::Nowhere)
    }

    /// The keys as they are now.
    ///
    /// # Errors
    /// Where none are configured, or their file can't be read or has something else in it.
    pub fn keys(&self) -> Result<Arc<Keys>, Text> {
        let path = match &self.keys {
            Kept::Here(keys) => return Ok(keys.clone()),
            Kept::File(path) => path,
            Kept::Nowhere => {
                return Err(Text::fixed(
                    "没有配置密封密钥：用 menlou secret key 生成，并在网关配置的 [secrets] keys 中写明其文件",
                    "no keys for sealed secrets are configured: make one with menlou secret key, and name its file under [secrets] keys in the gateway's config",
                ));
            }
        };
        let stamp = Fingerprint::for_path(path);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, keys)) = read.as_ref().filter(|(of, _)| *of == stamp) {
            return Ok(keys.clone());
        }
        let shown = path.display();
        let keys = secret_file::read(path).and_then(|text| {
            Keys::parse(&text)
                .map_err(|text| Text::new(format!("{shown}：{}", text.zh), format!("{shown}: {}", text.en)))
        })?;
        let keys = Arc::new(keys);
        *read = Some((stamp, keys.clone()));
        Ok(keys)
    }

    /// What the operator should mend, though all works: a file of keys that everyone on the machine may read or change.
    pub fn warning(&self) -> Option<Text> {
        let path = self.file()?;
        let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
        (mode & 0o007 != 0).then(|| {
            let shown = path.display();
            Text::new(
                format!("密钥文件 {shown} 对所有用户开放（权限 {mode:03o}）：请执行 chmod 600 {shown}"),
                format!("the file of keys {shown} is open to every user (mode {mode:03o}): chmod 600 {shown}"),
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
    fn a_changed_file_of_keys_is_read_anew_and_a_bad_one_told_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seal.keys");
        let keyring = Keyring::from_file(path.clone());
        assert!(keyring.keys().unwrap_err().en.contains("seal.keys can't be read"));
        let mut ids = Vec::new();
        for _ in 0..2 {
            // Renamed, so that it is another file though its length and perhaps its time are the same.
            fs::write(path.with_extension("new"), Keys::generate().unwrap().expose_secret()).unwrap();
            fs::rename(path.with_extension("new"), &path).unwrap();
            ids.push(keyring.keys().unwrap().ids().next().unwrap().to_owned());
        }
        assert_ne!(ids[0], ids[1]);
        fs::write(&path, "hunter2").unwrap();
        let told = keyring.keys().unwrap_err().en;
        assert!(told.contains("seal.keys: line 1") && !told.contains("hunter2"), "{told}");
    }

    #[test]
    fn only_a_file_that_is_open_to_others_is_warned_about() {
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
