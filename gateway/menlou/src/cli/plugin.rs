//! `menlou plugin new|dev|check|list|test|docs`: tools for plugin authors.

mod conformance;
mod describe;
mod dev;
mod docs;
mod look;
mod new;
mod samples;
mod sources;

use menlou_config::{config_error::ConfigError, server::Config};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// Arguments of `plugin`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// 新建一个可立即构建的插件。Create a plugin that builds without further changes.
    New(new::Arguments),
    /// 监视源码：保存时构建、部署到运行中的网关，并打印试用请求。Watch the sources: on each save, build, deploy into the running gateway, and print
    /// a request to try.
    Dev(dev::Arguments),
    /// 像网关那样加载插件并显示其内容；无法加载时说明原因，退出码为 1。Load a plugin as the gateway would and show what it provides; if it is
    /// rejected, print the reason and exit with 1.
    Check {
        /// 插件文件（.so）。The plugin file (.so).
        file: PathBuf,
    },
    /// 列出插件文件夹中的插件；有插件被拒绝时退出码为 1。List the plugins in the plugin folder; exit code 1 if any is rejected.
    List,
    /// 检验插件是否遵守插件 ABI 的规则：参数、取消、并发、内存；未通过时退出码为 1。Test whether a plugin obeys the rules of the plugin ABI: parameters,
    /// cancellation, concurrency, memory; exit code 1 if it does not.
    Test(conformance::Arguments),
    /// 以 Markdown 打印插件的说明：动作、参数、响应、设置；可写入其 README。Print a plugin's reference as Markdown: actions, parameters,
    /// response, settings; optionally into its README.
    Docs(docs::Arguments),
}

pub fn run(
    config: impl FnOnce() -> Result<Config, Vec<ConfigError>>,
    file: Option<&Path>,
    arguments: &Arguments,
) -> ExitCode {
    match &arguments.command {
        Command::New(arguments) => new::run(config, arguments),
        Command::Dev(arguments) => dev::run(config, file, arguments),
        Command::Check { file } => look::check(file),
        Command::List => look::list(config),
        Command::Test(arguments) => conformance::run(arguments),
        Command::Docs(arguments) => docs::run(arguments),
    }
}
