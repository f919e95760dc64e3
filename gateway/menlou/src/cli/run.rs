//! `menlou run`

use super::{fail, runtime, show};
use crate::gateway::Gateway;
use menlou_config::{config_error::ConfigError, server::Config};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{process::ExitCode, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// What is left of a stop after the drain: connections are closed, tasks dropped.
const LAST: Duration = Duration::from_secs(2);

pub fn run(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>) -> ExitCode {
    let config = match config() {
        Ok(config) => config,
        Err(faults) => {
            show(&faults);
            return ExitCode::FAILURE;
        }
    };
    allow_files();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(text) => return fail(&text),
    };
    let outcome = runtime.block_on(async {
        // On the runtime's own threads, where blocking for a moment is allowed.
        let built = tokio::spawn(Gateway::build(config)).await;
        match built {
            Ok(Ok(gateway)) => {
                let stop = async {
                    told_to_stop().await;
                    tracing::info!("told to stop: no new connections, calls in call may end");
                };
                gateway.run(stop).await;
                ExitCode::SUCCESS
            }
            Ok(Err(text)) => fail(&text),
            Err(e) => {
                tracing::error!(cause = %e, "the gateway could not be built: this is a mistake in Menlou");
                ExitCode::FAILURE
            }
        }
    });
    runtime.shutdown_timeout(LAST);
    outcome
}

/// Takes as many open files as the system allows: each connection is one, and many systems start programs with 1024.
fn allow_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Where it may not be raised, it stays as it is.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

/// Ready at the first SIGTERM or SIGINT.
pub async fn told_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals can't be listened for: end the gateway with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
