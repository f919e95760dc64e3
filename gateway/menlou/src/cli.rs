//! The command line. Each command is in a module of its own.

// Its macros are used by the modules below.
#[macro_use]
mod output;

mod admin;
mod api_docs;
mod explain;
mod init;
mod plugin;
mod process_limits;
mod reload;
mod reload_signals;
mod renamed;
mod run;
mod runtime;
mod schema;
mod secret;
mod shutdown_signal;
mod tenant;
mod user;
mod validate;

use clap::{Parser, Subcommand, error::ErrorKind};
use menlou_config::{config_error::ConfigError, server::Config};
pub use shutdown_signal::shutdown_signal;
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// 门楼：面向小程序的多租户插件式 API 网关。
/// Menlou: a plugin-based, multi-tenant API gateway for mini-programs.
#[derive(Parser)]
#[command(name = "menlou", version, verbatim_doc_comment)]
struct CommandLine {
    /// 配置文件，默认为 ./menlou.toml（若存在）。Config file; default: ./menlou.toml if it exists.
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// 在文件夹中写入配置文件与租户文件夹。Write a config and a folder for tenants into a folder.
    Init(init::Arguments),
    /// 启动网关。Run the gateway.
    Run,
    /// 让运行中的网关重新加载配置、证书、租户、插件与日志文件。Have the running gateway reload config, certificates, tenants, plugins and log file.
    Reload,
    /// 检查配置、租户与插件但不启动；有错误时退出码为 1。Check config, tenants and plugins without starting; exit code 1 on errors.
    Validate(validate::Arguments),
    /// 解释错误码或平台错误码。Explain an error code or a platform errcode.
    Explain(explain::Arguments),
    /// 打印 JSON Schema（供编辑器使用）。Print a JSON Schema, for editors.
    Schema(schema::Arguments),
    /// 新建、开发、检查、列出、测试插件。Create, develop, check, list and test plugins.
    Plugin(plugin::Arguments),
    /// 密封密钥：生成、密封、轮换。Sealed secrets: generate keys, seal secrets, rotate keys.
    Secret(secret::Arguments),
    /// 打印动作的 OpenAPI 3.1 文档。Print the OpenAPI 3.1 document of the actions.
    Openapi(api_docs::Arguments),
    /// 打印 wx.request 客户端的 TypeScript 类型。Print TypeScript types for clients that use wx.request.
    Typescript(api_docs::Arguments),
    /// 新建、列出、查看、修改、删除、验证租户。Create, list, show, edit, remove and verify tenants.
    Tenant(tenant::Arguments),
    /// 管理账号。Manage accounts.
    User(user::Arguments),
    /// 管理管理端的令牌。Manage access to the admin API and console.
    Admin(admin::Arguments),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    output::finish(run_command())
}

fn run_command() -> ExitCode {
    let line = match CommandLine::try_parse() {
        Ok(line) => line,
        Err(error) => {
            let is_unknown = matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument);
            let arguments = std::env::args_os().skip(1).filter_map(|argument| argument.into_string().ok());
            match renamed::explain(arguments).filter(|_| is_unknown) {
                Some(text) => {
                    output::fail(&text);
                    return ExitCode::from(2);
                }
                None => return output::print_usage(&error),
            }
        }
    };
    let file = config_file(line.config.as_deref());
    let config = || load(file);
    match line.command {
        Command::Run => {
            let source = file.map(Path::to_owned);
            run::run(move || load(source.as_deref()), file)
        }
        Command::Init(arguments) => init::run(line.config.as_deref(), &arguments),
        Command::Reload => reload::run(config),
        Command::Validate(arguments) => validate::run(config, &arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Schema(arguments) => schema::run(&arguments),
        Command::Plugin(arguments) => plugin::run(config, file, &arguments),
        Command::Secret(arguments) => secret::run(config, file, &arguments),
        Command::Openapi(arguments) => api_docs::run(config, &arguments, api_docs::As::OpenApi),
        Command::Typescript(arguments) => api_docs::run(config, &arguments, api_docs::As::TypeScript),
        Command::Tenant(arguments) => tenant::run(config, file.is_some(), arguments),
        Command::User(arguments) => user::run(config, arguments),
        Command::Admin(arguments) => admin::run(config, arguments),
    }
}

/// The config file to use: the named file, or the default file if it exists.
fn config_file(named: Option<&Path>) -> Option<&Path> {
    let usual = Path::new("menlou.toml");
    named.or_else(|| usual.exists().then_some(usual))
}

fn load(file: Option<&Path>) -> Result<Config, Vec<ConfigError>> {
    // Variables that are not valid Unicode cannot be settings.
    let env =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    Config::load(file, env)
}
