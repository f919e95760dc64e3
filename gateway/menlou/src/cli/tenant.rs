//! `menlou tenant new|list|show|edit|remove|verify`: tenants, as those who keep them see them.
//!
//! Exit codes: 0 done and free of faults; 1 faults, refusals and what the platform does not take; 2 a wrong command line.
//! With `--json` one object goes to standard output, whose `ok` says the same, and nothing is asked.

mod ask;
mod edit;
mod list;
mod new;
mod remove;
mod secrets;
mod show;
mod verify;

use super::{fail, show as show_faults};
use crate::gateway::open_library;
use menlou_action::Library;
use menlou_config::{config_error::ConfigError, server::Config, tenant::TenantName};
use menlou_error::text::Text;
use menlou_tenant::{Files, Refused};
use serde_json::{Value, json};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// What `tenant` takes.
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
    /// 新建租户：提问或用参数，写入带注释的文件并向平台验证。Make a tenant: asks, or takes flags; writes a commented file
    /// and verifies it with the platform.
    New(new::Arguments),
    /// 列出租户；有问题则退出码为 1。List the tenants; exit 1 on any fault.
    List,
    /// 显示租户的设置，含缺省值；密钥不显示。Show a tenant's settings with their defaults; secrets are masked.
    Show {
        /// 租户名。The tenant's name.
        name: String,
    },
    /// 修改租户：在编辑器中，或用 --set 等参数；有误则不保存。Change a tenant in an editor, or by --set and the like; what
    /// is faulty is not saved.
    Edit(edit::Arguments),
    /// 删除租户的文件。Take a tenant's file away.
    Remove(remove::Arguments),
    /// 用租户的凭据询问平台，并说明问题与处理办法。Ask the platform with the tenant's credentials, and say in words what is
    /// wrong.
    Verify {
        /// 租户名。The tenant's name.
        name: String,
    },
}

/// What commands share.
struct Office<'a> {
    config: &'a Config,
    library: &'a Library,
    json: bool,
    /// Whether there is a config of a gateway, or defaults only.
    configured: bool,
}

impl Office<'_> {
    fn files(&self) -> Files<'_> {
        Files::new(&self.config.tenants.dir, self.library, &self.config.keyring)
    }
}

/// What a command has to say at its end, where it has not said it already.
struct Done {
    /// For scripts; `ok` is added.
    json: Value,
    /// Whether all is well.
    ok: bool,
}

/// Why a command did not do what it was asked.
struct Failure {
    /// A stable word, for scripts.
    word: &'static str,
    text: Text,
    faults: Vec<ConfigError>,
}

impl Failure {
    fn new(word: &'static str, text: Text) -> Self {
        Self { word, text, faults: Vec::new() }
    }

    /// The command line itself is wrong.
    fn usage(text: Text) -> Self {
        Self::new("usage", text)
    }
}

pub fn run(
    config: impl FnOnce() -> Result<Config, Vec<ConfigError>>,
    configured: bool,
    arguments: Arguments,
) -> ExitCode {
    let json = arguments.json;
    let outcome = office(config).and_then(|(config, library)| {
        let office = Office { config: &config, library: &library, json, configured };
        match arguments.command {
            Command::New(arguments) => new::run(&office, arguments),
            Command::List => list::run(&office),
            Command::Show { name } => show::run(&office, &name),
            Command::Edit(arguments) => edit::run(&office, arguments),
            Command::Remove(arguments) => remove::run(&office, &arguments),
            Command::Verify { name } => verify::run(&office, &name),
        }
    });
    match outcome {
        Ok(done) => {
            if json {
                print(done.json, done.ok);
            }
            if done.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(failure) => {
            if json {
                let Text { zh, en } = &failure.text;
                print(json!({ "error": failure.word, "zh": zh, "en": en, "faults": failure.faults }), false);
            } else {
                show_faults(&failure.faults);
                let _ = fail(&failure.text);
            }
            if failure.word == "usage" { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn office(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>) -> Result<(Config, Library), Failure> {
    let config = config().map_err(|faults| Failure {
        word: "faulty_config",
        text: Text::fixed("网关配置有误", "the gateway's config is faulty"),
        faults,
    })?;
    let library = open_library(&config).map_err(|text| Failure::new("plugins_unreadable", text))?;
    Ok((config, library))
}

fn print(mut object: Value, ok: bool) {
    if let Value::Object(fields) = &mut object {
        fields.insert("ok".into(), ok.into());
    }
    out(&format!("{object:#}\n"));
}

/// To standard output; whoever reads may stop reading.
fn out(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

fn named(name: &str) -> Result<TenantName, Failure> {
    TenantName::parse(name).map_err(Failure::usage)
}

/// A refusal of the folder's, in words.
fn refused(name: &TenantName, refused: Refused) -> Failure {
    let (word, zh, en) = match refused {
        Refused::Faulty(faults) => {
            let text = Text::new(
                format!("租户 {name} 的文件有误，未作改动"),
                format!("the file of the tenant {name} is faulty; nothing was changed"),
            );
            return Failure { word: "faulty", text, faults };
        }
        Refused::Senseless(text) => return Failure::usage(text),
        Refused::SaveError(text) => return Failure::new("unsaved", text),
        Refused::Exists => (
            "exists",
            format!("租户 {name} 已存在：用 menlou tenant edit {name} 修改"),
            format!("the tenant {name} exists already: change it with menlou tenant edit {name}"),
        ),
        Refused::Absent => (
            "absent",
            format!("没有租户 {name}：menlou tenant list 列出全部"),
            format!("there is no tenant {name}: menlou tenant list shows all"),
        ),
        Refused::Changed => (
            "changed",
            format!("租户 {name} 的文件已被别人改动，未保存"),
            format!("the file of the tenant {name} was changed by somebody else meanwhile; nothing was saved"),
        ),
    };
    Failure::new(word, Text::new(zh, en))
}
