//! `menlou plugin new|dev|check|list|test|page`: plugins, before they serve.

mod conformance;
mod describe;
mod dev;
mod look;
mod new;
mod page;
mod samples;
mod sources;

use menlou_config::{config_error::ConfigError, server::Config};
use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

/// What `plugin` takes.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// 新建一个可立即构建的插件。Make a plugin that builds at once.
    New(new::Arguments),
    /// 监视源码：保存即构建、放入运行中的网关、打印试调用的命令。Watchdog the sources: at each save build, put into the
    /// running gateway, and print the call to try.
    Dev(dev::Arguments),
    /// 像网关那样加载一个插件并说明其内容；不可用则说明原因，退出码为 1。Load a plugin as the gateway would and tell what
    /// it has; where it is refused, the reason, and exit 1.
    Check {
        /// 插件文件（.so）。The plugin's file (.so).
        file: PathBuf,
    },
    /// 列出插件文件夹中的插件；有不可用者则退出码为 1。List the plugins of the plugin folder; exit 1 where any is refused.
    List,
    /// 检验一个插件是否遵守接口规则：参数、取消、并发、内存；未通过则退出码为 1。Does a plugin keep the border's rules:
    /// parameters, cancelling, concurrency, memory; exit 1 where it does not.
    Test(conformance::Arguments),
    /// 以 Markdown 打印插件的自述：动作、参数、回答、设置；可写入其 README。Print what a plugin says of itself as Markdown:
    /// actions, parameters, answer, settings; also into its README.
    Page(page::Arguments),
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
        Command::Page(arguments) => page::run(arguments),
    }
}
