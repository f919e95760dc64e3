//! Export of logs and metrics. All other modules use the `tracing` and `metrics` facades.

mod buckets;
mod log_writer;
pub mod metric_catalog;
pub mod metrics_upkeep;
mod recorder;
pub mod service_manager;
mod tenant_series;

use buckets::BUCKETS;
use log_writer::LogWriter;
use menlou_config::server::{Log, LogFormat, LogLevel};
use menlou_error::text::Text;
use metrics::gauge;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
pub use recorder::Metrics;
use recorder::Recorder;
use std::{
    backtrace::{Backtrace, BacktraceStatus},
    io,
    io::IsTerminal,
    panic,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};
use tenant_series::TenantSeries;
use tracing_subscriber::{EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt};

/// Maximum time to write the last lines of the log when the process ends.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Whether the gateway is starting: a panic of any of its threads ends the process then, so that it does not stay without
/// serving.
static IS_STARTING: AtomicBool = AtomicBool::new(true);

static WRITER: OnceLock<LogWriter> = OnceLock::new();
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging to standard error or to the log file, and logs panics. Further calls have no effect.
///
/// # Errors
/// The log file cannot be opened.
pub fn log(config: &Log) -> Result<(), Text> {
    if WRITER.get().is_some() {
        return Ok(());
    }
    let writer = LogWriter::start(config.file.as_deref()).map_err(|e| match &config.file {
        Some(path) => {
            let path = path.display();
            Text::new(
                format!("无法打开日志文件 {path}：{e}（用 [log] file 指定）"),
                format!("could not open the log file {path}: {e} (set it with [log] file)"),
            )
        }
        None => Text::new(format!("无法开始记录日志：{e}"), format!("could not start logging: {e}")),
    })?;
    let writer = WRITER.get_or_init(|| writer);
    let (filter, handle) = reload::Layer::new(filter(config.level));
    let _ = FILTER.set(handle);
    let layer = fmt::layer().with_writer(|| writer.clone()).with_target(false);
    let registry = tracing_subscriber::registry().with(filter);
    let _ = match config.format {
        LogFormat::Json => registry.with(layer.json().flatten_event(true)).try_init(),
        LogFormat::Text => {
            let is_colored = config.file.is_none() && io::stderr().is_terminal();
            registry.with(layer.with_ansi(is_colored)).try_init()
        }
    };
    // The standard hook writes to standard error directly, and would block there while the reader is stuck.
    panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn filter(level: LogLevel) -> EnvFilter {
    let level = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    };
    // Libraries log at warn and above: their debug lines may contain URLs and headers, and therefore secrets. sqlx
    // warns of every connection that an outage closes; the gateway logs the outage itself, once.
    EnvFilter::new(format!("warn,sqlx=error,menlou={level},plugin={level},access={level}"))
}

/// Changes the minimum level of logged lines. Returns whether that succeeded.
pub fn set_level(level: LogLevel) -> bool {
    FILTER.get().is_some_and(|handle| handle.reload(filter(level)).is_ok())
}

/// Opens the log file again: logrotate has moved it away, or the config names another one.
///
/// # Errors
/// The file cannot be opened; the earlier one stays in use.
pub fn reopen_log(config: &Log) -> io::Result<()> {
    WRITER.get().map_or(Ok(()), |writer| writer.reopen(config.file.as_deref()))
}

/// Waits until the log has been written, for a short time.
pub fn flush_log() {
    if let Some(writer) = WRITER.get() {
        writer.flush(LAST_LINES);
    }
}

/// The gateway serves: from now on a panic fails what its thread was doing.
pub fn end_of_start() {
    IS_STARTING.store(false, Ordering::Release);
}

fn log_panic(info: &panic::PanicHookInfo<'_>) {
    let current = thread::current();
    let location = info.location().map(ToString::to_string);
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    tracing::error!(
        thread = current.name().unwrap_or_default(),
        location,
        backtrace,
        "thread panicked (a bug in Menlou): {}",
        info.payload_as_str().unwrap_or_default()
    );
    if IS_STARTING.load(Ordering::Acquire) {
        tracing::error!(
            "the gateway could not start; if a thread could not be started, raise the limit of threads (ulimit -u, TasksMax of systemd, pids.max of the cgroup)"
        );
        flush_log();
        std::process::exit(1);
    }
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
    metrics.describe_process();
    gauge!("menlou_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(metrics)
}
