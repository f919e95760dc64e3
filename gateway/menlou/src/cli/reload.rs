//! `menlou reload`: has the gateways that run with this config reload it.

use crate::{
    cli::{
        output::{fail, print_error, say, show_errors},
        runtime,
    },
    control,
};
use menlou_config::{config_error::ConfigError, server::Config};
use menlou_error::text::Text;
use std::process::ExitCode;

pub fn run(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>) -> ExitCode {
    let config = match config() {
        Ok(config) => config,
        Err(errors) => {
            show_errors(&errors);
            return ExitCode::FAILURE;
        }
    };
    match reload(&config) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(text) => fail(&text),
    }
}

/// Returns whether every gateway has reloaded everything that can be reloaded.
fn reload(config: &Config) -> Result<bool, Text> {
    let path = config.store.path.display();
    let reports = runtime::start()?.block_on(control::reload_all(config)).map_err(|e| {
        Text::new(
            format!("无法查找运行中的网关（{path} 旁）：{e}"),
            format!("could not look for gateways beside {path}: {e}"),
        )
    })?;
    if reports.is_empty() {
        return Err(Text::new(
            format!("没有使用此配置运行的网关（在 {path} 旁查找）；也可向其进程发送 SIGHUP"),
            format!("no gateway runs with this config (looked beside {path}); you can also send SIGHUP to its process"),
        ));
    }
    let mut is_complete = true;
    for (process, outcome) in reports {
        let report = match outcome {
            Ok(report) => report,
            Err(e) => {
                print_error(format!("进程 {process}：{e}"), format!("process {process}: {e}"));
                is_complete = false;
                continue;
            }
        };
        is_complete &= report.errors.is_empty();
        for error in &report.errors {
            print_error(format!("进程 {process}：{error}"), format!("process {process}: {error}"));
        }
        say(
            format!("进程 {process} 已重新加载配置、证书、租户、插件与日志文件"),
            format!("process {process} has reloaded config, certificates, tenants, plugins and log file"),
        );
        if !report.applied.is_empty() {
            let names = report.applied.join(", ");
            say(format!("  已生效：{names}"), format!("  applied: {names}"));
        }
        if !report.needs_restart.is_empty() {
            let names = report.needs_restart.join(", ");
            say(format!("  需重启才生效：{names}"), format!("  needs a restart: {names}"));
        }
    }
    Ok(is_complete)
}
