//! `menlou tenant remove`

use super::{Done, Failure, Office, ask, named, refused};
use crate::cli::say;
use menlou_error::text::Text;
use serde_json::json;

/// What `tenant remove` takes.
#[derive(clap::Args)]
pub struct Arguments {
    /// 租户名。The tenant's name.
    name: String,
    /// 不再询问。Don't ask.
    #[arg(long)]
    yes: bool,
}

pub fn run(office: &Office<'_>, arguments: &Arguments) -> Result<Done, Failure> {
    let name = named(&arguments.name)?;
    let files = office.files();
    // A file that is no text can be taken away too, so its content does not matter here.
    let path = files.path(&name);
    if path.symlink_metadata().is_err() {
        return Err(refused(&name, menlou_tenant::Refused::Absent));
    }
    if !arguments.yes {
        if office.json || !ask::somebody() {
            return Err(Failure::usage(Text::fixed(
                "不在终端上：确认删除请加 --yes",
                "there is no terminal to ask on: confirm with --yes",
            )));
        }
        let question = Text::new(
            format!("将删除 {}，其小程序随即停止服务。输入租户名以确认", path.display()),
            format!(
                "{} goes, and its mini-program is served no more. Type the tenant's name to confirm",
                path.display()
            ),
        );
        if ask::line(&question, None)? != name.as_str() {
            let text = Text::fixed("名称不符，未删除", "that is not its name; nothing was removed");
            return Err(Failure::new("unconfirmed", text));
        }
    }
    files.remove(&name, None).map_err(|r| refused(&name, r))?;
    let users = match &office.config.store.users {
        Some(_) => Text::fixed("PostgreSQL", "PostgreSQL"),
        None => {
            Text::new(office.config.store.path.display().to_string(), office.config.store.path.display().to_string())
        }
    };
    if !office.json {
        say(
            format!(
                "已删除 {}。\n仍留在存储中：账号与绑定（{}；以后同名的租户会再次用到它们），会话（不再可用，到期自动清除）。",
                path.display(),
                users.zh
            ),
            format!(
                "{} is removed.\nWhat stays in the stores: accounts and bindings ({}; a tenant of the same name would find them again), and sessions (of no use any more, swept as they expire).",
                path.display(),
                users.en
            ),
        );
    }
    Ok(Done {
        json: json!({ "tenant": name.as_str(), "removed": path, "stays": ["accounts", "bindings", "sessions"] }),
        ok: true,
    })
}
