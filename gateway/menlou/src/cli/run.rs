//! `menlou run`: runs the gateway.

use crate::cli::{
    output::{fail, show_errors},
    process_limits,
    reload_signals::ReloadSignals,
    runtime,
    shutdown_signal::shutdown_signal,
};
use crate::{gateway::Gateway, telemetry};
use menlou_config::{
    config_error::ConfigError,
    server::{Config, Log, LogFormat},
};
use menlou_error::text::{Language, Text};
use std::{path::Path, process::ExitCode, time::Duration};

/// Time for closing connections and dropping tasks after the drain.
const LAST: Duration = Duration::from_secs(2);

/// `config` reads the config, now and at each reload.
pub fn run(
    config: impl Fn() -> Result<Config, Vec<ConfigError>> + Send + Sync + 'static,
    file: Option<&Path>,
) -> ExitCode {
    // Before the first secret is read.
    process_limits::forbid_core_dumps();
    let loaded = match config() {
        Ok(loaded) => loaded,
        Err(errors) => return refuse_config(&errors, file),
    };
    process_limits::raise_open_files();
    if loaded.server.allow_core_dumps {
        process_limits::allow_core_dumps();
    }
    let log = loaded.log.clone();
    let outcome = match telemetry::log(&log) {
        Ok(()) => process_limits::check_threads().and_then(|()| serve(loaded, config)),
        Err(text) => Err(text),
    };
    let code = match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            log_error(&log, &text);
            ExitCode::FAILURE
        }
    };
    telemetry::flush_log();
    code
}

fn serve(
    config: Config,
    source: impl Fn() -> Result<Config, Vec<ConfigError>> + Send + Sync + 'static,
) -> Result<(), Text> {
    let runtime = runtime::start()?;
    let outcome = runtime.block_on(async {
        let signals = ReloadSignals::install();
        // On a worker thread of the runtime, where short blocking is allowed.
        let built = tokio::spawn(Gateway::build(config)).await;
        let gateway = built.unwrap_or_else(|e| {
            Err(Text::new(
                format!("构建网关时程序崩溃（门楼的缺陷）：{e}"),
                format!("building the gateway panicked (a bug in Menlou): {e}"),
            ))
        })?;
        let gateway = gateway.config_source(source);
        let stop = async {
            shutdown_signal().await;
            tracing::info!("shutdown signal received: accepting no new connections, finishing requests in flight");
        };
        let reloads = tokio::spawn(signals.handle(gateway.reload_handle()));
        gateway.run(stop).await;
        reloads.abort();
        Ok(())
    });
    runtime.shutdown_timeout(LAST);
    outcome
}

/// Reports errors of the config: for people, or as lines of the JSON log where the config asks for it.
fn refuse_config(errors: &[ConfigError], file: Option<&Path>) -> ExitCode {
    let variable = std::env::var("MENLOU_LOG__FORMAT").ok();
    let format = LogFormat::of_invalid(file, variable.as_deref());
    let log = Log { format, ..Log::default() };
    if format == LogFormat::Text || telemetry::log(&log).is_err() {
        show_errors(errors);
        return ExitCode::FAILURE;
    }
    for error in errors {
        let (line, column) = error.position().unzip();
        let file = error.file().map(|file| file.display().to_string());
        let variable = error.variable();
        tracing::error!(file, line, column, variable, "{}", error.text.get(Language::for_operator()));
    }
    telemetry::flush_log();
    ExitCode::FAILURE
}

/// Reports why the gateway does not start: in the log, and for people on standard error where they see no log there.
fn log_error(log: &Log, text: &Text) {
    let is_json = log.format == LogFormat::Json;
    if is_json || log.file.is_some() {
        tracing::error!("{}", text.get(Language::for_operator()));
    }
    if !is_json || log.file.is_some() {
        fail(text);
    }
}
