//! The catalog of metrics, for `/metrics` and the operators' page.

use menlou_error::text::Text;
use metrics::{describe_counter, describe_gauge, describe_histogram};

/// A metric that the gateway exports.
pub struct Metric {
    /// Name in Prometheus.
    pub name: &'static str,
    /// Type of the metric.
    pub kind: MetricKind,
    /// Names of the labels.
    pub labels: &'static [&'static str],
    /// Help text.
    pub text: Text,
}

/// Types of metrics.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A value that only increases.
    Counter,
    /// A value that increases and decreases.
    Gauge,
    /// A distribution of durations, in seconds.
    Histogram,
}

impl MetricKind {
    /// Name of the type in Prometheus.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

const fn metric(name: &'static str, kind: MetricKind, labels: &'static [&'static str], text: Text) -> Metric {
    Metric { name, kind, labels, text }
}

/// All metrics, sorted by name.
pub const ALL: &[Metric] = &[
    metric(
        "menlou_answers_broken_total",
        MetricKind::Counter,
        &[],
        Text::fixed("发送途中断开的流式回答", "streamed answers that broke off on their way"),
    ),
    metric(
        "menlou_call_seconds",
        MetricKind::Histogram,
        &["action"],
        Text::fixed(
            "从收完请求到答复的时间，所有租户合计",
            "from the last byte of a request to its answer, of all tenants together",
        ),
    ),
    metric(
        "menlou_calls_total",
        MetricKind::Counter,
        &["tenant", "action"],
        Text::fixed("调用次数；每个租户从第一次调用起才有", "calls; a tenant's are there from the first on"),
    ),
    metric(
        "menlou_clients_let_go_total",
        MetricKind::Counter,
        &["why"],
        Text::fixed(
            "因沉默、拖延、空闲、不读答复或滥发空帧而断开的连接，按原因",
            "connections closed as their client was silent, slow, idle, did not read or sent a flood of frames, by reason",
        ),
    ),
    metric(
        "menlou_connections",
        MetricKind::Gauge,
        &[],
        Text::fixed("打开的客户端连接", "open connections of clients"),
    ),
    metric(
        "menlou_connections_refused_total",
        MetricKind::Counter,
        &["why"],
        Text::fixed("因同一地址连接过多而拒绝的连接", "connections refused as their address had too many"),
    ),
    metric(
        "menlou_errors_total",
        MetricKind::Counter,
        &["tenant", "action", "error"],
        Text::fixed("失败的调用，按错误词（见 ERRORS.md）", "failed calls, by error word (see ERRORS.md)"),
    ),
    metric(
        "menlou_limits_unshared_total",
        MetricKind::Counter,
        &[],
        Text::fixed(
            "Redis 不可用时由本网关自行计数的调用",
            "calls that this gateway counted against limits by itself, as Redis was away",
        ),
    ),
    metric(
        "menlou_platform_up",
        MetricKind::Gauge,
        &["server"],
        Text::fixed(
            "1：平台可用；0：平台不可用，对它的调用立即失败",
            "1 while a platform is up; 0 while it is down and calls to it fail immediately",
        ),
    ),
    metric(
        "menlou_plugin_generations",
        MetricKind::Gauge,
        &[],
        Text::fixed(
            "本进程加载过的插件版本数；上限 2000",
            "versions of plugins that this process has loaded; 2,000 at most",
        ),
    ),
    metric(
        "menlou_plugin_lapses_total",
        MetricKind::Counter,
        &["plugin", "action", "kind"],
        Text::fixed(
            "插件违反接口约定的次数（如占住线程、重复作答），按种类",
            "what plugins did against the rules (such as keeping a thread, answering twice), by kind",
        ),
    ),
    metric(
        "menlou_plugin_log_lines_lost_total",
        MetricKind::Counter,
        &["plugin"],
        Text::fixed("因插件刷屏而省略的日志行", "lines of plugins left out of the log, as they flooded it"),
    ),
    metric(
        "menlou_plugin_swaps_total",
        MetricKind::Counter,
        &["plugin", "outcome"],
        Text::fixed("运行中更换插件的次数：taken 或 refused", "swaps of plugins while running: taken or refused"),
    ),
    metric(
        "menlou_plugins_refused",
        MetricKind::Gauge,
        &[],
        Text::fixed("现在被拒绝的插件文件", "files of plugins that are refused now"),
    ),
    metric(
        "menlou_rate_limited_total",
        MetricKind::Counter,
        &["tenant", "limit"],
        Text::fixed("因超过频率限制而以 429 答复的调用", "calls answered with 429 as a limit was reached"),
    ),
    metric(
        "menlou_replica_lookups_total",
        MetricKind::Counter,
        &["outcome"],
        Text::fixed("在 PostgreSQL 副本上的查询，按结果", "look-ups asked of PostgreSQL's replica, by outcome"),
    ),
    metric(
        "menlou_requests_refused_total",
        MetricKind::Counter,
        &["why"],
        Text::fixed(
            "因格式不合规而在读取前拒绝的请求，按原因",
            "requests refused for their form before they were read, by reason",
        ),
    ),
    metric(
        "menlou_requests_shed_total",
        MetricKind::Counter,
        &["reason", "tenant"],
        Text::fixed(
            "因过载而以 503 拒绝的请求，按原因；store_busy：内置的 SQLite 写入积压",
            "requests rejected with 503 because of overload, by reason; store_busy: too many writes are queued in the embedded SQLite",
        ),
    ),
    metric(
        "menlou_shed_total",
        MetricKind::Counter,
        &[],
        Text::fixed(
            "因超过 max_concurrent_requests 或处理器忙不过来而以 503 答复的请求",
            "requests answered with 503 as there were max_concurrent_requests already, or more than the processor could serve",
        ),
    ),
    metric(
        "menlou_store_up",
        MetricKind::Gauge,
        &["store"],
        Text::fixed(
            "1：存储可用；0：存储不可用，对它的操作立即失败",
            "1 while a store is up; 0 while it is down and operations on it fail immediately",
        ),
    ),
    metric(
        "menlou_tenant_shed_total",
        MetricKind::Counter,
        &["tenant"],
        Text::fixed(
            "因租户占满自己的名额而以 503 答复的调用",
            "calls answered with 503 as their tenant had all the places that it may have",
        ),
    ),
    metric("menlou_tenants", MetricKind::Gauge, &[], Text::fixed("在服务的租户", "tenants that are served")),
    metric(
        "menlou_tenants_built_total",
        MetricKind::Counter,
        &[],
        Text::fixed(
            "投入服务的租户版本：启动时，以及文件、密钥或插件变化时；没有变化的租户不重建",
            "versions of tenants put to work: at the start, and as a file, secret or plugin of theirs changed; no other is built anew",
        ),
    ),
    metric(
        "menlou_tenants_faulty",
        MetricKind::Gauge,
        &[],
        Text::fixed(
            "文件有误的租户（上一个好的版本继续服务）",
            "tenants whose file is faulty (the last good version serves on)",
        ),
    ),
    metric(
        "menlou_upstream_open",
        MetricKind::Gauge,
        &["tenant", "action", "server"],
        Text::fixed("1：熔断中，暂不使用该上游", "1 while a tenant's server is left alone after failures"),
    ),
    metric(
        "menlou_upstream_requests_total",
        MetricKind::Counter,
        &["tenant", "action", "server", "outcome"],
        Text::fixed("转发到租户自己的上游的请求，按结果", "requests forwarded to a tenant's own servers, by outcome"),
    ),
    metric(
        "menlou_upstream_seconds",
        MetricKind::Histogram,
        &["tenant", "action", "server"],
        Text::fixed("上游开始回答所用的时间", "until a tenant's own server begins to answer"),
    ),
    metric(
        "menlou_upstream_unhealthy",
        MetricKind::Gauge,
        &["tenant", "action", "server"],
        Text::fixed("1：健康检查未通过的上游", "1 while a tenant's server fails its health checks"),
    ),
];

/// Registers the help texts with the recorder.
pub fn describe() {
    for Metric { name, kind, text, .. } in ALL {
        let text = format!("{} · {}", text.zh, text.en);
        match kind {
            MetricKind::Counter => describe_counter!(*name, text),
            MetricKind::Gauge => describe_gauge!(*name, text),
            MetricKind::Histogram => describe_histogram!(*name, text),
        }
    }
}
