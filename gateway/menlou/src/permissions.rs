//! Files and folders that other users of the machine may change, or from which they may read secrets.

use menlou_config::{
    config_error::ConfigError,
    load::Document,
    secret::SecretRef,
    server::{Config, LoosePermissions},
    tenant::{TenantName, secrets_in},
};
use menlou_error::text::{Language, Text};
use serde_json::Value;
use std::{
    fs::{self, Metadata},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

/// Maximum number of findings. With ten thousand tenants the first ones say enough.
const MAX_FINDINGS: usize = 20;

/// Permission of users other than owner and group to read, to write, and to enter a folder.
const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;
const OTHERS_ENTER: u32 = 0o001;
/// In such a folder users may not replace the files of others.
const STICKY: u32 = 0o1000;

/// Logs what is open to every user of the machine. `plugins` is the folder of the plugins.
///
/// # Errors
/// The config asks that the gateway does not start then.
pub fn check(config: &Config, plugins: &Path) -> Result<(), Text> {
    let policy = config.server.loose_permissions;
    if policy == LoosePermissions::Ignore {
        return Ok(());
    }
    let findings = loose(config, plugins);
    if policy == LoosePermissions::Refuse && !findings.is_empty() {
        let (zh, en): (Vec<&str>, Vec<&str>) = findings.iter().map(|found| (&*found.text.zh, &*found.text.en)).unzip();
        return Err(Text::new(
            format!("{}（[server] loose_permissions = \"refuse\"）", zh.join("；")),
            format!("{} ([server] loose_permissions = \"refuse\")", en.join("; ")),
        ));
    }
    for found in findings {
        tracing::warn!("{}", found.text.get(Language::for_operator()));
    }
    Ok(())
}

/// What is open to every user of the machine and should not be.
/// `plugins` is the folder of the plugins.
pub fn loose(config: &Config, plugins: &Path) -> Vec<ConfigError> {
    let mut findings = Vec::new();
    let store = config.store.path.parent().map(|folder| if folder == Path::new("") { Path::new(".") } else { folder });
    for folder in [plugins, &config.tenants.dir].into_iter().chain(store) {
        findings.extend(writable(folder));
    }
    for library in files(plugins) {
        if library.extension().is_some_and(|extension| extension == "so") {
            findings.extend(writable(&library));
        }
    }
    let keys = config.tls.certificates.iter().map(|certificate| &certificate.key).chain(&config.admin.tls_key);
    for file in keys.chain([&config.store.path]) {
        findings.extend(writable(file).or_else(|| readable(file)));
    }
    // These warnings are about passwords in the file.
    if let Some(file) = config.warnings.iter().find_map(ConfigError::file) {
        findings.extend(writable(file).or_else(|| readable(file)));
    }
    for file in files(&config.tenants.dir) {
        if findings.len() >= MAX_FINDINGS {
            break;
        }
        if TenantName::from_path(&file).is_some() {
            findings.extend(writable(&file).or_else(|| readable(&file).filter(|_| has_secret(&file))));
        }
    }
    findings.truncate(MAX_FINDINGS);
    findings
}

/// The files of a folder, sorted; none where it cannot be read, which is reported elsewhere.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.sort();
    paths
}

fn writable(path: &Path) -> Option<ConfigError> {
    let metadata = open_to_others(path, OTHERS_WRITE)?;
    if metadata.is_dir() && metadata.mode() & STICKY != 0 {
        return None;
    }
    let (shown, mode) = (path.display(), metadata.mode() & 0o777);
    let text = Text::new(
        format!("所有用户都可以修改 {shown}（权限 {mode:03o}）：请执行 chmod o-w {shown}"),
        format!("every user can change {shown} (mode {mode:03o}): run chmod o-w {shown}"),
    );
    Some(ConfigError::in_file(path, text))
}

fn readable(path: &Path) -> Option<ConfigError> {
    let (shown, mode) = (path.display(), open_to_others(path, OTHERS_READ)?.mode() & 0o777);
    let text = Text::new(
        format!("{shown} 中有密钥，而所有用户都可以读取（权限 {mode:03o}）：请执行 chmod o-rwx {shown}"),
        format!("{shown} holds secrets, and every user can read it (mode {mode:03o}): run chmod o-rwx {shown}"),
    );
    Some(ConfigError::in_file(path, text))
}

/// The metadata of a path on which other users have a permission, and that they can reach.
fn open_to_others(path: &Path, permission: u32) -> Option<Metadata> {
    let path = fs::canonicalize(path).ok()?;
    let metadata = fs::metadata(&path).ok().filter(|metadata| metadata.mode() & permission != 0)?;
    let can_enter = |folder: &Path| fs::metadata(folder).is_ok_and(|folder| folder.mode() & OTHERS_ENTER != 0);
    path.ancestors().skip(1).all(can_enter).then_some(metadata)
}

/// Whether a tenant's file has a secret in plain text.
fn has_secret(path: &Path) -> bool {
    let Ok(doc) = Document::read(path) else { return false };
    let secrets = doc.value("").map(secrets_in).unwrap_or_default();
    secrets.iter().any(|pointer| {
        let written = doc.value(pointer).and_then(Value::as_str);
        written.and_then(|written| SecretRef::parse(written).ok()).is_some_and(|secret| secret.literal().is_some())
    })
}
