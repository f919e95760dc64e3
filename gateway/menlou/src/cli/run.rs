//! `menlou run`: runs the gateway.

use crate::cli::{
    output::{fail, show_errors},
    runtime,
    shutdown_signal::shutdown_signal,
};
use crate::gateway::Gateway;
use menlou_config::{config_error::ConfigError, server::Config};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{process::ExitCode, time::Duration};

/// Time for closing connections and dropping tasks after the drain.
const LAST: Duration = Duration::from_secs(2);

pub fn run(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>) -> ExitCode {
    let config = match config() {
        Ok(config) => config,
        Err(errors) => {
            show_errors(&errors);
            return ExitCode::FAILURE;
        }
    };
    allow_files();
    let runtime = match runtime::start() {
        Ok(runtime) => runtime,
        Err(text) => return fail(&text),
    };
    let outcome = runtime.block_on(async {
        // On a worker thread of the runtime, where short blocking is allowed.
        let built = tokio::spawn(Gateway::build(config)).await;
        match built {
            Ok(Ok(gateway)) => {
                let stop = async {
                    shutdown_signal().await;
                    tracing::info!(
                        "shutdown signal received: accepting no new connections, finishing requests in flight"
                    );
                };
                gateway.run(stop).await;
                ExitCode::SUCCESS
            }
            Ok(Err(text)) => fail(&text),
            Err(e) => {
                tracing::error!(cause = %e, "building the gateway panicked (a bug in Menlou)");
                ExitCode::FAILURE
            }
        }
    });
    runtime.shutdown_timeout(LAST);
    outcome
}

/// Raises the limit of open files to the maximum that the system allows. Each connection needs one file descriptor, and
/// many systems start programs with a limit of 1024.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // If the limit cannot be raised, the current limit applies.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}
