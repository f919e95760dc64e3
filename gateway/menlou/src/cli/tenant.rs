//! `menlou tenant create|list|show|edit|remove|verify`: manages tenants from the command line.
//!
//! Exit codes: 0 for success without errors; 1 for errors, refusals and rejections by the platform; 2 for a wrong
//! command line. With `--json`, one object is printed on standard output whose `ok` says the same, and no questions are
//! asked.

mod ask;
mod context;
mod create;
mod edit;
mod list;
mod remove;
mod secrets;
mod show;
mod verify;

use crate::cli::output::{fail, show_errors};
use crate::gateway::open_library;
use context::{CommandFailure, TenantContext};
use menlou_action::PluginRegistry;
use menlou_config::{config_error::ConfigError, server::Config};
use menlou_error::text::Text;
use serde_json::{Value, json};
use std::process::ExitCode;

/// Arguments of `tenant`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// 输出 JSON，供脚本使用。Print JSON, for scripts.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(clap::Subcommand)]
enum Command {
    /// 新建租户：通过提问或参数，写入带注释的文件并向平台验证。Create a tenant: asks questions or takes flags, writes a commented file and verifies
    /// it with the platform.
    Create(create::Arguments),
    /// 列出租户；有错误时退出码为 1。List the tenants; exit code 1 on errors.
    List,
    /// 显示租户的设置（含默认值）；密钥不显示。Show a tenant's settings with their defaults; secrets are masked.
    Show {
        /// 租户名。Name of the tenant.
        name: String,
    },
    /// 修改租户：在编辑器中，或用 --set 等参数；有错误时不保存。Edit a tenant in an editor, or with --set and similar flags; a file with errors
    /// is not saved.
    Edit(edit::Arguments),
    /// 删除租户的文件。Remove a tenant's file.
    Remove(remove::Arguments),
    /// 用租户的凭据请求平台，并说明问题与处理办法。Verify the tenant's credentials with the platform, and explain what is wrong.
    Verify {
        /// 租户名。Name of the tenant.
        name: String,
    },
}

pub fn run(
    config: impl FnOnce() -> Result<Config, Vec<ConfigError>>,
    configured: bool,
    arguments: Arguments,
) -> ExitCode {
    let json = arguments.json;
    let outcome = open(config).and_then(|(config, library)| {
        let context = TenantContext { config: &config, library: &library, json, configured };
        match arguments.command {
            Command::Create(arguments) => create::run(&context, arguments),
            Command::List => list::run(&context),
            Command::Show { name } => show::run(&context, &name),
            Command::Edit(arguments) => edit::run(&context, arguments),
            Command::Remove(arguments) => remove::run(&context, &arguments),
            Command::Verify { name } => verify::run(&context, &name),
        }
    });
    match outcome {
        Ok(done) => {
            if json {
                print_json(done.json, done.ok);
            }
            if done.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(failure) => {
            if json {
                let Text { zh, en } = &failure.text;
                print_json(json!({ "error": failure.code, "zh": zh, "en": en, "faults": failure.errors }), false);
            } else {
                show_errors(&failure.errors);
                let _ = fail(&failure.text);
            }
            if failure.code == "usage" { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn open(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>) -> Result<(Config, PluginRegistry), CommandFailure> {
    let config = config().map_err(|errors| CommandFailure {
        code: "faulty_config",
        text: Text::fixed("网关配置有误", "the gateway's config has errors"),
        errors,
    })?;
    let library = open_library(&config).map_err(|text| CommandFailure::new("plugins_unreadable", text))?;
    Ok((config, library))
}

fn print_json(mut object: Value, ok: bool) {
    if let Value::Object(fields) = &mut object {
        fields.insert("ok".into(), ok.into());
    }
    outln!("{object:#}");
}
