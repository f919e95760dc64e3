//! `menlou tenant remove`: removes a tenant's file.

use super::{
    ask,
    context::{CommandFailure, CommandOutput, TenantContext, parse_name},
};
use crate::cli::output::say;
use menlou_error::text::Text;
use serde_json::json;

/// Arguments of `tenant remove`.
#[derive(clap::Args)]
pub struct Arguments {
    /// 租户名。Name of the tenant.
    name: String,
    /// 不再询问。Do not ask for confirmation.
    #[arg(long)]
    yes: bool,
}

pub fn run(context: &TenantContext<'_>, arguments: &Arguments) -> Result<CommandOutput, CommandFailure> {
    let name = parse_name(&arguments.name)?;
    let files = context.files();
    // A file that is not valid text can be removed too, so its content is not read.
    let path = files.path(&name);
    if path.symlink_metadata().is_err() {
        return Err(CommandFailure::from_file_error(&name, menlou_tenant::TenantFileError::Absent));
    }
    if !arguments.yes {
        if context.json || !ask::somebody() {
            return Err(CommandFailure::usage(Text::fixed(
                "不在终端上：确认删除请加 --yes",
                "there is no terminal for questions: confirm with --yes",
            )));
        }
        let question = Text::new(
            format!("将删除 {}，其小程序随即停止服务。输入租户名以确认", path.display()),
            format!(
                "{} will be removed, and its mini-program will no longer be served. Type the tenant's name to confirm",
                path.display()
            ),
        );
        if ask::line(&question, None)? != name.as_str() {
            let text = Text::fixed("名称不符，未删除", "the name does not match; nothing was removed");
            return Err(CommandFailure::new("unconfirmed", text));
        }
    }
    files.remove(&name, None).map_err(|r| CommandFailure::from_file_error(&name, r))?;
    let users = match &context.config.store.users {
        Some(_) => Text::fixed("PostgreSQL", "PostgreSQL"),
        None => {
            Text::new(context.config.store.path.display().to_string(), context.config.store.path.display().to_string())
        }
    };
    if !context.json {
        say(
            format!(
                "已删除 {}。\n仍留在存储中：账号与绑定（{}；以后同名的租户会再次用到它们），会话（不再可用，到期自动清除）。",
                path.display(),
                users.zh
            ),
            format!(
                "removed {}.\nThe stores still contain: accounts and bindings ({}; a new tenant of the same name would use them again), and sessions (no longer usable, deleted when they expire).",
                path.display(),
                users.en
            ),
        );
    }
    Ok(CommandOutput {
        json: json!({ "tenant": name.as_str(), "removed": path, "stays": ["accounts", "bindings", "sessions"] }),
        ok: true,
    })
}
