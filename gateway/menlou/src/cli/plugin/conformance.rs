//! `menlou plugin test`: tests whether a plugin obeys the rules of the plugin ABI. The test runs in a process of its
//! own, which the plugin may crash.

mod checks;
mod test_gateway;

use super::look::refused;
use crate::cli::{
    output::{fail, show_errors},
    runtime,
};
use menlou_action::Plugin;
use menlou_config::load::Document;
use menlou_error::text::{Language, Text};
use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, ExitCode, ExitStatus},
    sync::Arc,
};

/// Arguments of `plugin test`.
#[derive(clap::Args)]
pub struct Arguments {
    /// 插件文件（.so）。The plugin file (.so).
    file: PathBuf,
    /// 租户文件，使用其中各动作的设置；不填则由 Schema 生成。A tenant's file with the settings of the actions; without it, settings are
    /// generated from the schema.
    #[arg(long, value_name = "FILE")]
    tenant: Option<PathBuf>,
    /// Runs the test in this process. For internal use.
    #[arg(long, hide = true)]
    inside: bool,
}

/// Exit code of the inner process on success. Not 0, because a plugin that ends the process could return that.
const PASSED: u8 = 77;

pub fn run(arguments: &Arguments) -> ExitCode {
    if arguments.inside {
        return inside(arguments);
    }
    match in_own_process(arguments) {
        Ok(status) if status.code() == Some(PASSED.into()) => {
            outln!("{}", Text::fixed("通过", "passed").get(Language::for_operator()));
            ExitCode::SUCCESS
        }
        Ok(status) if status.code() == Some(1) => ExitCode::FAILURE,
        Ok(status) => {
            outln!();
            fail(&Text::new(
                format!("插件使进程结束（{status}）：见上面最后一项检查"),
                format!("the plugin ended the process ({status}): see the last check above"),
            ))
        }
        Err(e) => fail(&Text::new(format!("无法启动测试进程：{e}"), format!("could not start the test: {e}"))),
    }
}

fn in_own_process(arguments: &Arguments) -> io::Result<ExitStatus> {
    // A process that crashes leaves its temporary files behind: they are removed with this folder.
    let folder = tempfile::Builder::new().prefix("menlou-test-").tempdir()?;
    let mut command = Command::new(env::current_exe()?);
    command.env("TMPDIR", folder.path()).args(["plugin", "test", "--inside"]);
    if let Some(tenant) = &arguments.tenant {
        command.arg("--tenant").arg(tenant);
    }
    command.arg("--").arg(&arguments.file).status()
}

fn inside(arguments: &Arguments) -> ExitCode {
    let tenant = match arguments.tenant.as_deref().map(read).transpose() {
        Ok(tenant) => tenant,
        Err(code) => return code,
    };
    let plugin = match Plugin::open(&arguments.file) {
        Ok(plugin) => Arc::new(plugin),
        Err(why) => return fail(&refused(&arguments.file, &why)),
    };
    let runtime = match runtime::start() {
        Ok(runtime) => runtime,
        Err(text) => return fail(&text),
    };
    let outcome = runtime.block_on(checks::all(&plugin, tenant.as_ref()));
    // A plugin that blocks forever keeps its thread.
    runtime.shutdown_background();
    match outcome {
        Ok(0) => ExitCode::from(PASSED),
        Ok(failed) => fail(&Text::new(format!("{failed} 项未通过"), format!("{failed} failed"))),
        Err(text) => fail(&text),
    }
}

fn read(file: &Path) -> Result<Document, ExitCode> {
    let bytes = fs::read(file).map_err(|e| {
        let file = file.display();
        fail(&Text::new(format!("无法读取 {file}：{e}"), format!("{file} can't be read: {e}")))
    })?;
    Document::parse(file, &bytes).map_err(|errors| {
        show_errors(&errors);
        ExitCode::FAILURE
    })
}
