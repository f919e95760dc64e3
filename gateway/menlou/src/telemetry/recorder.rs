//! The metrics recorder: series of tenants and actions are kept by [`TenantSeries`], all others by the exporter.

use super::tenant_series::TenantSeries;
use menlou_tenant::TenantRegistry;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString, Unit};
use metrics_exporter_prometheus::{PrometheusHandle, PrometheusRecorder};
use std::sync::Arc;

/// Routes each metric to where its series are kept.
pub struct Recorder {
    others: PrometheusRecorder,
    series: Arc<TenantSeries>,
}

/// Reads what the recorder has recorded.
#[derive(Clone)]
pub struct Metrics {
    others: PrometheusHandle,
    series: Arc<TenantSeries>,
    process: metrics_process::Collector,
}

impl Recorder {
    /// Keeps the metrics of `series` there, and all others in `others`.
    pub fn new(others: PrometheusRecorder, series: Arc<TenantSeries>) -> Self {
        Self { others, series }
    }
}

impl Metrics {
    /// Reads these.
    pub fn new(others: PrometheusHandle, series: Arc<TenantSeries>) -> Self {
        Self { others, series, process: metrics_process::Collector::default() }
    }

    /// Registers the help texts of the metrics of the process.
    pub fn describe_process(&self) {
        self.process.describe();
    }

    /// All metrics in the text format of Prometheus. Those of the process, such as its memory, are read now.
    pub fn render(&self) -> String {
        self.process.collect();
        let mut text = self.others.render();
        self.series.render(&mut text);
        text
    }

    /// Bounds the memory of the metrics while nobody reads them, and ends the series of tenants and actions that are not
    /// served any more.
    pub fn upkeep(&self, registry: &TenantRegistry) {
        self.others.run_upkeep();
        self.series.prune(registry);
    }
}

impl metrics::Recorder for Recorder {
    fn describe_counter(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        if !self.series.has(key.as_str()) {
            self.others.describe_counter(key, unit, text);
        }
    }

    fn describe_gauge(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        if !self.series.has(key.as_str()) {
            self.others.describe_gauge(key, unit, text);
        }
    }

    fn describe_histogram(&self, key: KeyName, unit: Option<Unit>, text: SharedString) {
        if !self.series.has(key.as_str()) {
            self.others.describe_histogram(key, unit, text);
        }
    }

    fn register_counter(&self, key: &Key, metadata: &Metadata<'_>) -> Counter {
        match self.series.has(key.name()) {
            true => self.series.counter(key),
            false => self.others.register_counter(key, metadata),
        }
    }

    fn register_gauge(&self, key: &Key, metadata: &Metadata<'_>) -> Gauge {
        match self.series.has(key.name()) {
            true => self.series.gauge(key),
            false => self.others.register_gauge(key, metadata),
        }
    }

    fn register_histogram(&self, key: &Key, metadata: &Metadata<'_>) -> Histogram {
        match self.series.has(key.name()) {
            true => self.series.histogram(key),
            false => self.others.register_histogram(key, metadata),
        }
    }
}
