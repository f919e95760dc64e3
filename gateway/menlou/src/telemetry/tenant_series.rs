//! Metrics labelled with tenants and actions. Their series end with the tenant or action: the exporter keeps every series
//! until the process ends, which would let tenants' admins fill the memory of the gateway and of Prometheus.

use super::{buckets::BUCKETS, metric_catalog::Metric};
use menlou_tenant::TenantRegistry;
use metrics::{Counter, Gauge, Histogram, HistogramFn, Key, Label, atomics::AtomicU64};
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering::Relaxed},
};

/// The prefix of metrics whose series also end with the server that they describe, which the file may change.
const UPSTREAM: &str = "menlou_upstream_";

/// The series of the metrics that have the label `tenant` or `action`.
pub struct TenantSeries(BTreeMap<&'static str, Family>);

/// All series of one metric.
struct Family {
    metric: &'static Metric,
    series: Mutex<HashMap<Key, Series>>,
}

/// One series. Handles share its value: a reference count of one means that there is no handle.
#[derive(Clone)]
struct Series {
    /// The labels as `/metrics` shows them, without braces.
    labels: Arc<str>,
    value: Value,
}

#[derive(Clone)]
enum Value {
    Counter(Arc<AtomicU64>),
    Gauge(Arc<AtomicU64>),
    Histogram(Arc<Buckets>),
}

/// The value of a histogram: the counts of [`BUCKETS`], of larger values, and the sum of all.
#[derive(Default)]
struct Buckets {
    counts: [AtomicU64; BUCKETS.len() + 1],
    sum: AtomicU64,
}

impl TenantSeries {
    /// For these metrics.
    pub fn new(metrics: impl Iterator<Item = &'static Metric>) -> Self {
        Self(metrics.map(|metric| (metric.name, Family { metric, series: Mutex::default() })).collect())
    }

    /// Whether the series of this metric are kept here.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// A handle of a counter.
    pub fn counter(&self, key: &Key) -> Counter {
        match self.value(key, || Value::Counter(Arc::default())) {
            Some(Value::Counter(value)) => Counter::from_arc(value),
            _ => Counter::noop(),
        }
    }

    /// A handle of a gauge.
    pub fn gauge(&self, key: &Key) -> Gauge {
        match self.value(key, || Value::Gauge(Arc::default())) {
            Some(Value::Gauge(value)) => Gauge::from_arc(value),
            _ => Gauge::noop(),
        }
    }

    /// A handle of a histogram.
    pub fn histogram(&self, key: &Key) -> Histogram {
        match self.value(key, || Value::Histogram(Arc::default())) {
            Some(Value::Histogram(value)) => Histogram::from_arc(value),
            _ => Histogram::noop(),
        }
    }

    fn value(&self, key: &Key, new: impl FnOnce() -> Value) -> Option<Value> {
        let mut series = self.0.get(key.name())?.series();
        if let Some(known) = series.get(key) {
            return Some(known.value.clone());
        }
        let added = Series { labels: rendered(key.labels()).into(), value: new() };
        Some(series.entry(key.clone()).or_insert(added).value.clone())
    }

    /// Removes the series of tenants and actions that are not served any more. A series that still has a handle stays: it
    /// is in use, or a reload is adding it.
    pub fn prune(&self, registry: &TenantRegistry) {
        let actions = registry.action_names();
        for (name, family) in &self.0 {
            family.series().retain(|key, series| {
                let label = |name: &str| key.labels().find(|label| label.key() == name).map(Label::value);
                // The limits of an action are named `ACTION.LIMIT`.
                let action = label("action").or_else(|| Some(label("limit")?.split_once('.')?.0));
                let is_served = match (label("tenant"), action.filter(|action| !action.is_empty())) {
                    (None, action) => action.is_none_or(|action| actions.contains(action)),
                    (Some(""), _) => true,
                    (Some(tenant), action) => registry.has_action(tenant, action),
                };
                series.value.is_in_use() || is_served && !name.starts_with(UPSTREAM)
            });
        }
    }

    /// Appends all series in the text format of Prometheus.
    pub fn render(&self, out: &mut String) {
        for (name, family) in &self.0 {
            // Copied, so that rendering delays no request that adds a series.
            let mut all: Vec<Series> = family.series().values().cloned().collect();
            if all.is_empty() {
                continue;
            }
            all.sort_by(|a, b| a.labels.cmp(&b.labels));
            // Writing to a String cannot fail.
            let _ =
                writeln!(out, "# HELP {name} {}\n# TYPE {name} {}", family.metric.help(), family.metric.kind.name());
            for Series { labels, value } in all {
                value.render(name, &labels, out);
            }
            out.push('\n');
        }
    }
}

impl Family {
    /// A thread that panicked cannot leave the map half changed.
    fn series(&self) -> MutexGuard<'_, HashMap<Key, Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Value {
    fn is_in_use(&self) -> bool {
        let handles = match self {
            Self::Counter(value) | Self::Gauge(value) => Arc::strong_count(value),
            Self::Histogram(value) => Arc::strong_count(value),
        };
        handles > 1
    }

    /// Writing to a String cannot fail.
    fn render(&self, name: &str, labels: &str, out: &mut String) {
        let _ = match self {
            Self::Counter(value) => writeln!(out, "{name}{{{labels}}} {}", value.load(Relaxed)),
            Self::Gauge(value) => writeln!(out, "{name}{{{labels}}} {}", f64::from_bits(value.load(Relaxed))),
            Self::Histogram(buckets) => buckets.render(name, labels, out),
        };
    }
}

impl Buckets {
    fn render(&self, name: &str, labels: &str, out: &mut String) -> std::fmt::Result {
        let mut count = 0;
        for (edge, in_bucket) in BUCKETS.iter().map(f64::to_string).chain(["+Inf".to_owned()]).zip(&self.counts) {
            count += in_bucket.load(Relaxed);
            writeln!(out, "{name}_bucket{{{labels},le=\"{edge}\"}} {count}")?;
        }
        writeln!(out, "{name}_sum{{{labels}}} {}", f64::from_bits(self.sum.load(Relaxed)))?;
        writeln!(out, "{name}_count{{{labels}}} {count}")
    }
}

impl HistogramFn for Buckets {
    fn record(&self, value: f64) {
        self.counts[BUCKETS.partition_point(|edge| *edge < value)].fetch_add(1, Relaxed);
        let add = |sum: u64| Some((f64::from_bits(sum) + value).to_bits());
        // The closure always returns a value, so that this does not fail.
        let _ = self.sum.fetch_update(Relaxed, Relaxed, add);
    }
}

/// The labels as the text format shows them: `tenant="acme",action="login"`.
fn rendered<'a>(labels: impl Iterator<Item = &'a Label>) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    labels.map(|label| format!("{}=\"{}\"", label.key(), escaped(label.value()))).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::{super::metric_catalog, *};

    fn series() -> TenantSeries {
        TenantSeries::new(metric_catalog::ALL.iter().filter(|metric| metric.is_per_tenant()))
    }

    fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
        Key::from_parts(
            name,
            labels.iter().map(|(key, value)| Label::new(*key, (*value).to_owned())).collect::<Vec<_>>(),
        )
    }

    fn shown(series: &TenantSeries) -> String {
        let mut text = String::new();
        series.render(&mut text);
        text
    }

    #[test]
    fn series_are_rendered_in_the_text_format() {
        let series = series();
        let errors = key("menlou_errors_total", &[("tenant", "a\"b\\c"), ("action", "x"), ("error", "e")]);
        series.counter(&errors).increment(2);
        series.counter(&errors).increment(1);
        let durations = series.histogram(&key("menlou_request_duration_seconds", &[("action", "x")]));
        for seconds in [0.001, 0.002, 7.0] {
            durations.record(seconds);
        }
        let open = key("menlou_upstream_circuit_open", &[("tenant", "a"), ("action", "x"), ("server", "s")]);
        series.gauge(&open).set(1.0);
        let text = shown(&series);
        for line in [
            "# TYPE menlou_errors_total counter",
            "menlou_errors_total{tenant=\"a\\\"b\\\\c\",action=\"x\",error=\"e\"} 3",
            "# TYPE menlou_request_duration_seconds histogram",
            "menlou_request_duration_seconds_bucket{action=\"x\",le=\"0.001\"} 1",
            "menlou_request_duration_seconds_bucket{action=\"x\",le=\"0.0025\"} 2",
            "menlou_request_duration_seconds_bucket{action=\"x\",le=\"5\"} 2",
            "menlou_request_duration_seconds_bucket{action=\"x\",le=\"+Inf\"} 3",
            "menlou_request_duration_seconds_sum{action=\"x\"} 7.003",
            "menlou_request_duration_seconds_count{action=\"x\"} 3",
            "menlou_upstream_circuit_open{tenant=\"a\",action=\"x\",server=\"s\"} 1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }

    #[test]
    fn series_without_a_handle_and_a_tenant_are_removed() {
        let (series, nobody) = (series(), TenantRegistry::default());
        let of = |action: &str| key("menlou_errors_total", &[("tenant", "gone"), ("action", action), ("error", "e")]);
        let held = series.counter(&of("held"));
        series.counter(&of("gone")).increment(1);
        series.counter(&key("menlou_errors_total", &[("tenant", ""), ("action", ""), ("error", "e")])).increment(1);
        series.histogram(&key("menlou_request_duration_seconds", &[("action", "gone")])).record(1.0);
        series.prune(&nobody);
        let text = shown(&series);
        assert!(!text.contains("action=\"gone\"") && text.contains("tenant=\"\""), "{text}");
        held.increment(4);
        assert!(shown(&series).contains("action=\"held\",error=\"e\"} 4"));
        drop(held);
        series.prune(&nobody);
        assert!(!shown(&series).contains("held"));
    }
}
