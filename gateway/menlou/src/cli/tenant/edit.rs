//! `menlou tenant edit`: edits a tenant in an editor, or setting by setting for scripts.

use super::{
    ask,
    context::{CommandFailure, CommandOutput, TenantContext, parse_name},
    secrets,
};
use crate::cli::output::{fail, say, show_errors};
use menlou_config::{
    edit::{self, ConfigChange},
    tenant::TenantName,
};
use menlou_error::text::Text;
use menlou_tenant::{SavedTenantFile, StoredTenantFile, TenantFileError};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
};

/// Arguments of `tenant edit`.
#[derive(clap::Args)]
pub struct Arguments {
    /// 租户名。Name of the tenant.
    name: String,
    /// 设置一个值，如 session.ttl=1d；可重复。Set a value, such as session.ttl=1d; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// 移除一个值或表，如 actions.user；可重复。Remove a value or table, such as actions.user; repeatable.
    #[arg(long, value_name = "KEY")]
    unset: Vec<String>,
    /// 设置一个密钥，如 wechat.secret，从提示或标准输入读取。Set a secret, such as wechat.secret, read from a prompt or standard input.
    #[arg(long, value_name = "KEY")]
    set_secret: Option<String>,
}

pub fn run(context: &TenantContext<'_>, arguments: Arguments) -> Result<CommandOutput, CommandFailure> {
    let name = parse_name(&arguments.name)?;
    let stored = context.files().read(&name).map_err(|r| CommandFailure::from_file_error(&name, r))?;
    let mut changes = settings(&arguments.set)?;
    for key in &arguments.unset {
        changes.push(ConfigChange::Unset(edit::parse_key(key).map_err(CommandFailure::usage)?));
    }
    secrets::none_of(&changes, &stored.text, context)?;
    if let Some(key) = &arguments.set_secret {
        let path = edit::parse_key(key).map_err(CommandFailure::usage)?;
        let question = Text::new(format!("{key}（不显示）"), format!("{key} (not shown)"));
        let secret = secrets::ask(context, &name, &path, &question)?;
        changes.push(ConfigChange::Set(path, json!(secret)));
    }
    let saved = match changes.as_slice() {
        [] => in_editor(context, &name, &stored)?,
        changes => {
            let files = context.files();
            // An error elsewhere in the file is no reason to keep a wrong or leaked secret.
            let saved = match &arguments.set_secret {
                Some(_) => files.edit_despite_errors(&name, changes, None),
                None => files.edit(&name, changes, None),
            };
            Some(saved.map_err(|r| CommandFailure::from_file_error(&name, r))?)
        }
    };
    Ok(report(context, &name, saved))
}

/// Parses the changes requested with `--set KEY=VALUE`.
pub fn settings(written: &[String]) -> Result<Vec<ConfigChange>, CommandFailure> {
    let change = |setting: &String| {
        let (key, value) = setting.split_once('=').ok_or_else(|| {
            CommandFailure::usage(Text::fixed(
                "--set 应为 键=值，如 session.ttl=1d",
                "--set takes KEY=VALUE, such as session.ttl=1d",
            ))
        })?;
        Ok(ConfigChange::Set(edit::parse_key(key.trim()).map_err(CommandFailure::usage)?, edit::parse_value(value)))
    };
    written.iter().map(change).collect()
}

fn report(context: &TenantContext<'_>, name: &TenantName, saved: Option<SavedTenantFile>) -> CommandOutput {
    let Some(saved) = saved else {
        if !context.json {
            say("没有改动", "nothing was changed");
        }
        return CommandOutput { json: json!({ "tenant": name.as_str(), "changed": false, "faults": [] }), ok: true };
    };
    if !context.json {
        let outcome = outcome(context, name, &saved);
        say(outcome.zh, outcome.en);
        show_errors(&saved.errors);
    }
    let changed = saved.before.as_ref() != Some(&saved.after);
    let json = json!({ "tenant": name.as_str(), "changed": changed, "revision": saved.revision.to_string(), "faults": saved.errors });
    CommandOutput { json, ok: saved.errors.is_empty() }
}

/// What a running gateway will do with the saved file.
fn outcome(context: &TenantContext<'_>, name: &TenantName, saved: &SavedTenantFile) -> Text {
    let is_valid = context.files().check(name, &saved.after).is_ok();
    if !is_valid {
        return Text::new(
            format!("已保存租户 {name}；文件仍有其他错误，改正之前网关继续使用上一个有效版本"),
            format!(
                "tenant {name} is saved; the file still has other errors, and a gateway keeps the last valid version until they are fixed"
            ),
        );
    }
    let sources = |text: &str| {
        let is_source = |word: &&str| word.starts_with("sealed:") || word.starts_with("env:");
        text.split(['"', '\'']).filter(is_source).map(str::to_owned).collect::<BTreeSet<_>>()
    };
    let before = saved.before.as_deref().map(sources).unwrap_or_default();
    let added: Vec<String> = sources(&saved.after).difference(&before).cloned().collect();
    // Keys and environment variables are those that the process was started with.
    if added.iter().any(|source| source.starts_with("sealed:")) {
        return Text::new(
            format!(
                "已保存租户 {name}，密钥已加密。启动时已配置 [secrets] keys_file 的网关会自动加载；若该设置是之后才加上的，请重启网关"
            ),
            format!(
                "tenant {name} is saved, and the secret is encrypted. A gateway that was started with this [secrets] keys_file reloads it; restart a gateway that was started before the setting was added"
            ),
        );
    }
    if added.iter().any(|source| source.starts_with("env:")) {
        return Text::new(
            format!("已保存租户 {name}。网关只能读取启动时已有的环境变量：若变量是新加的，请重启网关"),
            format!(
                "tenant {name} is saved. A gateway has the environment variables that it was started with: restart it if the variable is new"
            ),
        );
    }
    Text::new(
        format!("已保存租户 {name}，运行中的网关会自动加载"),
        format!("tenant {name} is saved; a running gateway reloads it automatically"),
    )
}

/// Opens the editor on a copy of the file until the result can be saved or the user discards it; `None` if nothing
/// changed.
fn in_editor(
    context: &TenantContext<'_>,
    name: &TenantName,
    stored: &StoredTenantFile,
) -> Result<Option<SavedTenantFile>, CommandFailure> {
    if context.json || !ask::somebody() {
        return Err(CommandFailure::usage(Text::fixed(
            "不在终端上，无法打开编辑器：用 --set、--unset 或 --set-secret",
            "there is no terminal for an editor: use --set, --unset or --set-secret",
        )));
    }
    let cannot = |e: std::io::Error| {
        CommandFailure::new(
            "no_draft",
            Text::new(format!("无法写草稿：{e}"), format!("could not write the draft: {e}")),
        )
    };
    // Readable by the owner only, because the file may contain a secret.
    let folder = tempfile::Builder::new()
        .prefix("menlou-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .map_err(cannot)?;
    let draft = folder.path().join(format!("{name}.toml"));
    fs::write(&draft, &stored.text).map_err(cannot)?;
    if let Err(errors) = &stored.checked {
        show_errors(errors);
    }
    loop {
        open(&draft)?;
        let bytes = fs::read(&draft).map_err(cannot)?;
        if bytes == stored.text.as_bytes() {
            return Ok(None);
        }
        let outcome = match String::from_utf8(bytes) {
            Ok(text) => context.files().replace(name, &text, Some(&stored.revision)),
            Err(_) => Err(TenantFileError::InvalidChange(Text::fixed("草稿不是 UTF-8", "the draft is not UTF-8"))),
        };
        match outcome {
            Ok(saved) => return Ok(Some(saved)),
            // What was written is not lost where it can't be saved.
            Err(why @ (TenantFileError::Changed | TenantFileError::Absent | TenantFileError::Io(_))) => {
                let kept = folder.keep().join(format!("{name}.toml"));
                let kept = kept.display();
                say(format!("你的改动留在 {kept}"), format!("your changes are kept in {kept}"));
                return Err(CommandFailure::from_file_error(name, why));
            }
            Err(TenantFileError::Invalid(errors)) => show_errors(&errors),
            Err(why) => {
                let _ = fail(&CommandFailure::from_file_error(name, why).text);
            }
        }
        let question = Text::fixed(
            "文件有错误，未保存。e：再次编辑，d：放弃改动",
            "the file has errors and was not saved. e: edit again, d: discard the changes",
        );
        let again = ask::fitting(&question, Some("e"), |answer| match answer {
            "e" | "E" => Ok(true),
            "d" | "D" => Ok(false),
            _ => Err(Text::fixed("e 或 d", "e or d")),
        })?;
        if !again {
            return Ok(None);
        }
    }
}

/// `$VISUAL`, else `$EDITOR`, else `vi`; any of them may bring arguments.
fn open(draft: &Path) -> Result<(), CommandFailure> {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
    let editor = set("VISUAL").or_else(|| set("EDITOR")).unwrap_or_else(|| "vi".to_owned());
    let status = Command::new("sh").arg("-c").arg(format!("{editor} \"$1\"")).arg("sh").arg(draft).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(editor_failed(&editor, &status.to_string())),
        Err(e) => Err(editor_failed(&editor, &e.to_string())),
    }
}

fn editor_failed(editor: &str, why: &str) -> CommandFailure {
    CommandFailure::new(
        "editor_failed",
        Text::new(
            format!("编辑器 {editor} 异常退出（{why}），未保存；可用 VISUAL 或 EDITOR 指定其他编辑器"),
            format!(
                "the editor {editor} failed ({why}); nothing was saved. Set VISUAL or EDITOR to use another editor"
            ),
        ),
    )
}
