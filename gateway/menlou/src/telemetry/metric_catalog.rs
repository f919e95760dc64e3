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

impl Metric {
    /// Whether the metric has series for each tenant or action.
    pub fn is_per_tenant(&self) -> bool {
        // Plugins name their own actions, and there are as many as the operator has loaded.
        self.labels.iter().any(|label| matches!(*label, "tenant" | "action")) && !self.labels.contains(&"plugin")
    }

    /// The help text in both languages.
    pub fn help(&self) -> String {
        format!("{} · {}", self.text.zh, self.text.en)
    }
}

const fn metric(name: &'static str, kind: MetricKind, labels: &'static [&'static str], text: Text) -> Metric {
    Metric { name, kind, labels, text }
}

/// All metrics, sorted by name.
pub const ALL: &[Metric] = &[
    metric(
        "menlou_build_info",
        MetricKind::Gauge,
        &["version"],
        Text::fixed("始终为 1；version 为运行中的版本", "Always 1; version is the running version."),
    ),
    metric(
        "menlou_certificate_expiry_timestamp_seconds",
        MetricKind::Gauge,
        &["file"],
        Text::fixed(
            "证书文件中最早到期的证书的到期时间（Unix 时间，秒）",
            "When the first certificate of a file expires, in seconds of Unix time.",
        ),
    ),
    metric("menlou_connections", MetricKind::Gauge, &[], Text::fixed("打开的客户端连接数", "Open client connections.")),
    metric(
        "menlou_connections_closed_total",
        MetricKind::Counter,
        &["reason"],
        Text::fixed(
            "网关主动关闭的客户端连接数。reason：silent（未收到首字节）、head_timeout（首个请求头未按时收全）、handshake（TLS 握手超时）、idle、slow_reader（不读取响应）、flood（HTTP/2 控制帧过多）",
            "Client connections that the gateway closed. reason: silent (no first byte), head_timeout (the first head was incomplete), handshake (TLS), idle, slow_reader (the client did not read a response), flood (HTTP/2 control frames).",
        ),
    ),
    metric(
        "menlou_connections_rejected_total",
        MetricKind::Counter,
        &["reason"],
        Text::fixed(
            "因同一地址的连接数达到上限而拒绝的连接数",
            "Connections rejected because their address reached its connection limit.",
        ),
    ),
    metric(
        "menlou_errors_total",
        MetricKind::Counter,
        &["tenant", "action", "error"],
        Text::fixed("失败的请求数，按错误码（见 ERRORS.md）", "Failed requests, by error code (see ERRORS.md)."),
    ),
    metric(
        "menlou_log_lines_dropped_total",
        MetricKind::Counter,
        &[],
        Text::fixed(
            "因日志读取或写入过慢而丢弃的日志行数",
            "Log lines of the gateway that were dropped because the log was not read or written fast enough.",
        ),
    ),
    metric(
        "menlou_platform_request_duration_seconds",
        MetricKind::Histogram,
        &["platform", "api"],
        Text::fixed(
            "调用平台接口的时间（秒）。api：code2session、access_token、phone_number、session_key、other，以及插件的调用 action",
            "Seconds of requests to a platform. api: code2session, access_token, phone_number, session_key, other, or action for the requests of plugins.",
        ),
    ),
    metric(
        "menlou_platform_requests_total",
        MetricKind::Counter,
        &["platform", "api", "outcome"],
        Text::fixed(
            "发往平台的请求数，按结果。outcome：ok、rejected（平台返回错误码）、failed（没有可用的响应）",
            "Requests sent to a platform. outcome: ok, rejected (the platform returned an error code), failed (no usable response).",
        ),
    ),
    metric(
        "menlou_platform_up",
        MetricKind::Gauge,
        &["server"],
        Text::fixed(
            "1：平台可用；0：平台不可用，对它的调用立即失败",
            "1 while a platform is up; 0 while it is down and calls to it fail immediately.",
        ),
    ),
    metric(
        "menlou_plugin_generations",
        MetricKind::Gauge,
        &[],
        Text::fixed(
            "本进程加载过的插件版本数，上限为 2000",
            "Plugin versions that this process has loaded; the maximum is 2,000.",
        ),
    ),
    metric(
        "menlou_plugin_log_lines_dropped_total",
        MetricKind::Counter,
        &["plugin"],
        Text::fixed(
            "因插件日志过多而丢弃的日志行数",
            "Log lines of a plugin that were dropped because it logged too much.",
        ),
    ),
    metric(
        "menlou_plugin_reloads_total",
        MetricKind::Counter,
        &["plugin", "result"],
        Text::fixed(
            "运行中重新加载插件的次数；result 为 loaded 或 rejected",
            "Plugin reloads while running; result is loaded or rejected.",
        ),
    ),
    metric(
        "menlou_plugin_violations_total",
        MetricKind::Counter,
        &["plugin", "action", "reason"],
        Text::fixed(
            "插件违反 ABI 约定的次数，按原因，例如阻塞线程、重复响应",
            "Violations of the plugin ABI's rules, by reason, such as blocking a worker thread or replying twice.",
        ),
    ),
    metric(
        "menlou_plugins_rejected",
        MetricKind::Gauge,
        &[],
        Text::fixed("当前被拒绝的插件文件数", "Plugin files that are currently rejected."),
    ),
    metric(
        "menlou_rate_limit_local_fallback_total",
        MetricKind::Counter,
        &[],
        Text::fixed(
            "Redis 不可用期间由本网关自行计数的请求数",
            "Requests counted by this gateway alone because Redis was down.",
        ),
    ),
    metric(
        "menlou_rate_limited_total",
        MetricKind::Counter,
        &["tenant", "limit"],
        Text::fixed(
            "因超过频率限制而返回 429 的请求数",
            "Requests rejected with 429 because a rate limit was reached.",
        ),
    ),
    metric(
        "menlou_replica_lookups_total",
        MetricKind::Counter,
        &["outcome"],
        Text::fixed("PostgreSQL 副本上的查询数，按结果", "Look-ups on the PostgreSQL replica, by outcome."),
    ),
    metric(
        "menlou_request_duration_seconds",
        MetricKind::Histogram,
        &["action"],
        Text::fixed(
            "从收完请求到发出响应的时间（秒），所有租户合计",
            "Seconds from the last byte of a request to its response, all tenants together.",
        ),
    ),
    metric(
        "menlou_requests_rejected_total",
        MetricKind::Counter,
        &["reason"],
        Text::fixed(
            "在解析前拒绝的请求数。reason：malformed_head、malformed_body、head_too_long、head_timeout、not_http",
            "Requests rejected before they were parsed. reason: malformed_head, malformed_body, head_too_long, head_timeout, not_http.",
        ),
    ),
    metric(
        "menlou_requests_shed_total",
        MetricKind::Counter,
        &["reason", "tenant"],
        Text::fixed(
            "因过载而返回 503 的请求数。reason：max_concurrent_requests（达到并发上限）、cpu_saturated（CPU 饱和）、tenant_limit（租户达到并发上限）、store_busy（内置 SQLite 写入积压）、password_hashing（该租户排队校验密码的登录过多）",
            "Requests rejected with 503 because of overload. reason: max_concurrent_requests, cpu_saturated, tenant_limit (the tenant reached its concurrency limit), store_busy (writes are queued in the embedded SQLite), password_hashing (too many logins of the tenant wait for the check of their password).",
        ),
    ),
    metric(
        "menlou_requests_total",
        MetricKind::Counter,
        &["tenant", "action", "outcome"],
        Text::fixed(
            "请求数。outcome：ok、client_error（因客户端或用户而拒绝）、error（网关、存储、插件或租户自己的服务失败）、platform_error（平台失败）。每个序列从第一个请求起才有，随租户或动作一起消失",
            "Requests. outcome: ok, client_error (refused because of the client or user), error (the gateway, a store, a plugin or the tenant's own service failed), platform_error (the platform failed). A series begins with its first request and ends with its tenant or action.",
        ),
    ),
    metric(
        "menlou_responses_aborted_total",
        MetricKind::Counter,
        &[],
        Text::fixed("发送途中中断的流式响应数", "Streamed responses that were aborted before their end."),
    ),
    metric(
        "menlou_store_size_bytes",
        MetricKind::Gauge,
        &["store"],
        Text::fixed(
            "内置 SQLite 文件及其日志的大小（字节）",
            "Size of the embedded SQLite file and its log, in bytes.",
        ),
    ),
    metric(
        "menlou_store_up",
        MetricKind::Gauge,
        &["store"],
        Text::fixed(
            "1：存储可用；0：存储不可用，对它的操作立即失败",
            "1 while a store is up; 0 while it is down and operations on it fail immediately.",
        ),
    ),
    metric(
        "menlou_tenant_reloads_total",
        MetricKind::Counter,
        &[],
        Text::fixed(
            "构建的租户版本数：启动时，以及文件、密钥或插件变化时",
            "Tenant versions built: at the start, and when a tenant's file, secret or plugin changed.",
        ),
    ),
    metric("menlou_tenants", MetricKind::Gauge, &[], Text::fixed("正在服务的租户数", "Tenants that are served.")),
    metric(
        "menlou_tenants_invalid",
        MetricKind::Gauge,
        &[],
        Text::fixed(
            "文件有错误的租户数（继续使用上一个有效版本）",
            "Tenants whose file has errors; their last valid version keeps serving.",
        ),
    ),
    metric(
        "menlou_upstream_circuit_open",
        MetricKind::Gauge,
        &["tenant", "action", "server"],
        Text::fixed("1：该上游处于熔断状态", "1 while the circuit breaker of an upstream server is open."),
    ),
    metric(
        "menlou_upstream_request_duration_seconds",
        MetricKind::Histogram,
        &["tenant", "action", "server"],
        Text::fixed("到上游开始响应的时间（秒）", "Seconds until an upstream server began its response."),
    ),
    metric(
        "menlou_upstream_requests_total",
        MetricKind::Counter,
        &["tenant", "action", "server", "outcome"],
        Text::fixed("转发到上游的请求数，按结果", "Requests forwarded to upstream servers, by outcome."),
    ),
    metric(
        "menlou_upstream_unhealthy",
        MetricKind::Gauge,
        &["tenant", "action", "server"],
        Text::fixed("1：该上游未通过健康检查", "1 while an upstream server fails its health checks."),
    ),
];

/// Registers the help texts with the recorder.
pub fn describe() {
    for metric in ALL {
        let (name, text) = (metric.name, metric.help());
        match metric.kind {
            MetricKind::Counter => describe_counter!(name, text),
            MetricKind::Gauge => describe_gauge!(name, text),
            MetricKind::Histogram => describe_histogram!(name, text),
        }
    }
}
