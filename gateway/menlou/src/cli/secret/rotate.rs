//! `menlou secret rotate`: reencrypts the sealed secrets in all files with the first key.

use crate::cli::output::{fail, say, show_errors};
use menlou_config::{
    load::{self, Document},
    reencrypt::reencrypt,
    save::{self, SaveError},
    seal::Keys,
    server::Config,
};
use menlou_error::text::Text;
use menlou_tenant::TenantFileError;
use secrecy::zeroize::Zeroizing;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Totals over all files.
#[derive(Default)]
struct Done {
    reencrypted: usize,
    files: usize,
    current: usize,
    wrong: usize,
}

/// `file` is the path of the config file, if there is one.
pub fn run(config: &Config, file: Option<&Path>, dry_run: bool) -> Result<ExitCode, Text> {
    let keys = config.keyring.keys()?;
    let mut done = Done::default();
    // Held until the end, so that no other process saves a tenant's file in the meantime.
    let _locked = menlou_tenant::lock_folder(&config.tenants.dir).map_err(|refused| match refused {
        TenantFileError::Io(text) => text,
        _ => Text::fixed("租户文件夹被占用", "another process is changing the tenants' folder"),
    })?;
    for (path, tenant) in files(config, file, &mut done)? {
        match one(&path, tenant.as_deref(), &keys, dry_run, &mut done) {
            Ok(()) => {}
            Err(text) => {
                let shown = path.display();
                let _ = fail(&Text::new(format!("{shown}：{}", text.zh), format!("{shown}: {}", text.en)));
                done.wrong += 1;
            }
        }
    }
    summary(&done, &keys, dry_run);
    Ok(if done.wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The config file and the tenants' files, each with the name of its tenant.
fn files(config: &Config, file: Option<&Path>, done: &mut Done) -> Result<Vec<(PathBuf, Option<String>)>, Text> {
    let (names, errors) = menlou_tenant::list_names(&config.tenants.dir).map_err(|error| error.text)?;
    show_errors(&errors);
    done.wrong += errors.len();
    let own = file.map(|file| (file.to_owned(), None));
    let tenants =
        names.into_iter().map(|name| (config.tenants.dir.join(format!("{name}.toml")), Some(name.as_str().to_owned())));
    Ok(own.into_iter().chain(tenants).collect())
}

fn one(path: &Path, tenant: Option<&str>, keys: &Keys, dry_run: bool, done: &mut Done) -> Result<(), Text> {
    let gone = Text::fixed("文件已被删除", "the file is gone");
    let read = || load::bytes(path).and_then(|bytes| bytes.map(Zeroizing::new).ok_or_else(|| gone.clone()));
    let bytes = read()?;
    let doc = match Document::parse(path, &bytes) {
        Ok(doc) => doc,
        Err(errors) => {
            show_errors(&errors);
            done.wrong += errors.len();
            return Ok(());
        }
    };
    let result = reencrypt(&doc, &bytes, tenant, keys)?;
    show_errors(&result.errors);
    done.wrong += result.errors.len();
    done.current += result.current;
    if result.fields.is_empty() {
        return Ok(());
    }
    if !dry_run {
        // Editors do not use the lock.
        if *read()? != *bytes {
            return Err(Text::fixed(
                "文件刚被别人改动，未写入：请再运行一次",
                "somebody else has just changed the file; nothing was written: run the command again",
            ));
        }
        save::write_atomically(path, &result.bytes).map_err(|unsaved| match unsaved {
            SaveError::Refused(text) => text,
            SaveError::Exists => Text::fixed("文件已存在", "the file exists"),
        })?;
    }
    let (shown, new) = (path.display(), keys.ids().next().unwrap_or_default());
    for (field, old) in &result.fields {
        outln!("{shown}: {field}: {old} → {new}");
    }
    done.reencrypted += result.fields.len();
    done.files += 1;
    Ok(())
}

fn summary(done: &Done, keys: &Keys, dry_run: bool) {
    let Done { reencrypted, files, current, wrong } = done;
    let (zh, en) = if dry_run { ("将重新加密", "to be reencrypted") } else { ("已重新加密", "reencrypted") };
    say(
        format!("{zh}：{reencrypted}（文件数：{files}）；已使用第一把密钥：{current}；问题：{wrong}"),
        format!("{en}: {reencrypted} (files: {files}); already sealed with the first key: {current}; errors: {wrong}"),
    );
    let old = keys.ids().skip(1).collect::<Vec<_>>().join(", ");
    if *wrong == 0 && !dry_run && !old.is_empty() {
        say(
            format!("这些文件已不再使用旧密钥 {old}，可将其从密钥文件中删去"),
            format!("no file needs the old keys any more; they can be removed: {old}"),
        );
    }
}
