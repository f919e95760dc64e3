//! Where logs and metrics leave the process. Only the gateway and its admin side see this admission; everyone else emits
//! through the `tracing` and `metrics` facades.

pub mod metric_catalog;

use menlou_config::server::{Log, LogFormat, LogLevel};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::{io, io::IsTerminal};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Seconds of a call, for its histogram.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Starts logging to standard error. A second call does nothing: the first stands.
pub fn log(config: &Log) {
    let level = match config.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    // Libraries speak at warn: their debug lines may hold URLs and headers, and so secrets. sqlx's pool warns of each
    // connection that an outage ends; the outage itself is told by us, once.
    let filter = EnvFilter::new(format!("warn,sqlx=error,menlou={level},plugin={level},access={level}"));
    let layer = fmt::layer().with_writer(io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    let _ = match config.format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer.with_ansi(io::stderr().is_terminal())).try_init(),
    };
}

/// Starts counting; the handle renders what was counted.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)?;
    let handle = recorder.install_recorder()?;
    metric_catalog::describe();
    Ok(handle)
}
