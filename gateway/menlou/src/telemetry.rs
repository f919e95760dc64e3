//! Export of logs and metrics. All other modules use the `tracing` and `metrics` facades.

pub mod metric_catalog;

use menlou_config::server::{Log, LogFormat, LogLevel};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::{io, io::IsTerminal};
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt, util::SubscriberInitExt};

/// Buckets of the histograms, in seconds.
const BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Starts logging to standard error. Further calls have no effect.
pub fn log(config: &Log) {
    let level = match config.level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    // Libraries log at warn and above: their debug lines may contain URLs and headers, and therefore secrets. sqlx
    // warns of every connection that an outage closes; the gateway logs the outage itself, once.
    let filter = EnvFilter::new(format!("warn,sqlx=error,menlou={level},plugin={level},access={level}"));
    let layer = fmt::layer().with_writer(io::stderr).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    let _ = match config.format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(layer.with_ansi(io::stderr().is_terminal())).try_init(),
    };
}

/// Installs the metrics recorder. The handle renders the metrics in the text format of Prometheus.
pub fn metrics() -> Result<PrometheusHandle, BuildError> {
    let recorder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)?;
    let handle = recorder.install_recorder()?;
    metric_catalog::describe();
    Ok(handle)
}
