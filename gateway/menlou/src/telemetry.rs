//! Export of logs and metrics. All other modules use the `tracing` and `metrics` facades.

pub mod metric_catalog;
mod recorder;
mod tenant_series;

use menlou_config::server::{Log, LogFormat, LogLevel};
use menlou_error::text::Text;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
pub use recorder::Metrics;
use recorder::Recorder;
use std::{io, io::IsTerminal, sync::Arc};
use tenant_series::TenantSeries;
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

/// Installs the metrics recorder.
///
/// # Errors
/// There is a recorder already.
pub fn metrics() -> Result<Metrics, Text> {
    let failed = |e: &dyn std::error::Error| {
        Text::new(format!("无法初始化指标：{e}"), format!("could not initialise the metrics: {e}"))
    };
    let builder = PrometheusBuilder::new().set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS);
    let recorder = builder.map_err(|e| failed(&e))?.build_recorder();
    let series = Arc::new(TenantSeries::new(metric_catalog::ALL.iter().filter(|metric| metric.is_per_tenant())));
    let metrics = Metrics::new(recorder.handle(), series.clone());
    metrics::set_global_recorder(Recorder::new(recorder, series)).map_err(|e| failed(&e))?;
    metric_catalog::describe();
    Ok(metrics)
}
