//! `[actions.<name>]` with `plugin = "proxy"`: the upstream, the allowed callers, and the headers to pass on.

use menlou_plugin::{Auth, Setup, Upstream, UpstreamOptions, prelude::*};
use std::time::Duration;

/// Default timeout of the upstream.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Default number of consecutive failures that open a server's circuit, and default time for which it stays open.
const BREAK_AFTER: u32 = 5;
const BREAK_FOR: Duration = Duration::from_secs(10);
/// Default interval of health checks.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// Default and greatest maximum size of a body that is signed, in bytes.
const MAX_SIGNED_BY_DEFAULT: u64 = 1 << 20;
const MAX_SIGNED: u64 = 16 << 20;
/// Minimum length of the key in bytes.
const MIN_KEY_LEN: usize = 16;

/// Request headers that are always passed on.
const PASSED: [&str; 17] = [
    "accept",
    "accept-encoding",
    "accept-language",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "range",
    "traceparent",
    "tracestate",
    "user-agent",
];
/// Request headers that the gateway sets itself, hop-by-hop headers, and `Proxy`, which configures HTTP clients of CGI programs.
const RESERVED: [&str; 20] = [
    "authorization",
    "connection",
    "content-digest",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-request-id",
];

/// 租户文件中的设置。The settings in a tenant file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxySettings {
    /// 上游地址：一个，或多个（发往在途请求最少的一个）；可带路径，各地址须相同。URL of the upstream, or several (a request goes
    /// to the one with the fewest requests in flight). A path is allowed; it must be the same in all of them.
    #[schemars(extend("examples" = ["http://10.0.0.5:8080/api"]))]
    pub upstream: ServerList,
    /// 允许的调用方：optional（任何人；若带有令牌，令牌必须有效，并转发其身份）、session（需要会话）、required（需要登录）。The
    /// allowed callers: any (optional; a token, if sent, must be valid, and its identity is passed on), callers with a
    /// session, or logged-in users (required).
    #[serde(default)]
    pub auth: Auth,
    /// 与上游共享的签名密钥；除 auth = "optional" 外必填，没有密钥时不转发身份。The signing key shared with the upstream.
    /// Required unless auth is optional; without a key no identity is sent.
    #[serde(default)]
    pub key: Option<Secret>,
    /// 从请求体发送完到收到响应头的超时，也是响应体中每次停顿的超时，默认 10s；前者不超过网关的 call_timeout。Timeout from the
    /// last byte of the body to the response headers, and for each pause within the response body; default 10s. The former
    /// is bounded by the gateway's call_timeout.
    #[serde(default)]
    timeout: Option<ConfigDuration>,
    /// 连接失败时的重试次数，默认 1；可能已送达的请求仅在方法幂等（GET、HEAD、PUT、DELETE）时重试。Number of retries if a
    /// connection fails; default 1. A request that may have been received is retried only if its method is idempotent.
    #[serde(default)]
    #[schemars(range(max = 5))]
    retries: Option<u32>,
    /// 是否对请求体签名：以 Content-Digest（SHA-256）发送，其值作为签名的第七个值。请求体先整个读入内存，因此 max_body 默认为
    /// 1048576，至多 16777216。Whether the body is signed: its Content-Digest (SHA-256) is sent, and is the seventh value of the
    /// signature. The body is read into memory first, so max_body is 1048576 by default and at most 16777216.
    #[serde(default)]
    pub sign_body: bool,
    /// 除常用请求头外，另外转发的请求头。Request headers to pass on in addition to the usual ones.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pass_headers: Vec<String>,
    /// 是否去掉路径中的 /srv/租户/动作，默认 true。Whether /srv/tenant/action is removed from the path; default true.
    #[serde(default)]
    strip_prefix: Option<bool>,
    /// 是否把 Location、Content-Location、Refresh 中上游的地址改写为公开路径，默认 true。Whether addresses of the upstream in
    /// Location, Content-Location and Refresh become public paths; default true.
    #[serde(default)]
    rewrite_location: Option<bool>,
    /// 告知上游客户端地址、协议、主机与路径前缀的请求头：both（默认，两种都有）、x-forwarded（X-Forwarded-For、-Proto、-Host、
    /// -Prefix）、forwarded（RFC 7239）、none。Headers that tell the upstream the client's address, scheme, host and path prefix:
    /// both (default), x-forwarded (X-Forwarded-For, -Proto, -Host, -Prefix), forwarded (RFC 7239), none.
    #[serde(default)]
    pub forwarded: ForwardedHeaders,
    /// 请求体的最大字节数，默认不限（不占内存）。Maximum size of the body in bytes; unlimited by default, as it is streamed.
    #[serde(default)]
    #[schemars(range(min = 1))]
    max_body: Option<u64>,
    /// 连续失败多少次后熔断一个地址，默认 5；0 为从不。Number of consecutive failures that open the circuit of an address;
    /// default 5, 0 disables it.
    #[serde(default)]
    break_after: Option<u32>,
    /// 熔断持续时间，默认 10s。Time for which the circuit stays open; default 10s.
    #[serde(default)]
    break_for: Option<ConfigDuration>,
    /// 健康检查的路径，用 GET 请求，返回 2xx 或 3xx 为健康；默认不检查。Path of health checks with GET; 2xx and 3xx are healthy.
    /// By default there are no health checks.
    #[serde(default)]
    health_path: Option<String>,
    /// 健康检查的间隔，默认 5s。Interval of health checks; default 5s.
    #[serde(default)]
    health_interval: Option<ConfigDuration>,
    #[serde(skip)]
    pub upstream_handle: Upstream,
}

/// Which headers tell the upstream how the client reached the gateway.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(crate) enum ForwardedHeaders {
    /// 两种都有。Both kinds.
    #[default]
    Both,
    /// X-Forwarded-For、-Proto、-Host、-Prefix。X-Forwarded-For, -Proto, -Host and -Prefix.
    XForwarded,
    /// Forwarded（RFC 7239）。Forwarded (RFC 7239).
    Forwarded,
    /// 都没有。None.
    None,
}

/// One URL or several.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum ServerList {
    /// One.
    One(Address),
    /// Several.
    Several(#[schemars(length(min = 1, max = 32))] Vec<Address>),
}

impl ServerList {
    fn all(&self) -> Vec<&str> {
        match self {
            Self::One(server) => vec![server.as_str()],
            Self::Several(servers) => servers.iter().map(Address::as_str).collect(),
        }
    }
}

impl ProxySettings {
    pub fn timeout(&self) -> Duration {
        self.timeout.map_or(DEFAULT_TIMEOUT, |t| t.0)
    }

    pub fn retries(&self) -> u32 {
        self.retries.unwrap_or(1)
    }

    /// The maximum size of a body. One that is signed is held in memory.
    pub fn max_body(&self) -> Option<u64> {
        self.max_body.or(self.sign_body.then_some(MAX_SIGNED_BY_DEFAULT))
    }

    pub fn strips_prefix(&self) -> bool {
        self.strip_prefix.unwrap_or(true)
    }

    pub fn rewrites_location(&self) -> bool {
        self.rewrite_location.unwrap_or(true)
    }

    /// The request headers to pass on.
    pub fn passed_headers(&self) -> Vec<&str> {
        PASSED.into_iter().chain(self.pass_headers.iter().map(String::as_str)).collect()
    }

    /// The path that precedes each target, without a trailing slash. It is the same for all servers.
    pub fn base_path(&self) -> &str {
        self.upstream.all().first().map_or("", |server| path_of(server))
    }
}

impl Settings for ProxySettings {
    fn check(&self, errors: &mut ConfigErrors) {
        if self.key.is_none() && self.auth != Auth::Optional {
            let zh = "缺少 key：上游靠签名验证身份。用 openssl rand -hex 32 生成，写作 \"env:名称\" 或 \"file:路径\"";
            let en = "The key is missing: the upstream verifies the identity by its signature. Generate one with openssl rand \
                      -hex 32, and write \"env:NAME\" or \"file:PATH\".";
            errors.add("", zh, en);
        }
        if self.key.as_ref().is_some_and(|key| key.expose().len() < MIN_KEY_LEN) {
            errors.add("/key", "密钥过短，至少 16 字节", "The key is too short: it must have at least 16 bytes.");
        }
        if self.sign_body && self.key.is_none() {
            errors.add("/sign_body", "须与 key 一起使用", "This requires a key.");
        }
        if self.sign_body && self.max_body.is_some_and(|max| max > MAX_SIGNED) {
            let en = "With sign_body = true, this must be at most 16777216: the body is held in memory.";
            errors.add("/max_body", "sign_body = true 时至多 16777216：请求体须整个读入内存", en);
        }
        let paths: Vec<&str> = self.upstream.all().into_iter().map(path_of).collect();
        if paths.iter().any(|path| *path != paths[0]) {
            let en = "All addresses must have the same path, because the path is signed.";
            errors.add("/upstream", "各地址的路径须相同：路径是签名的一部分", en);
        }
        for (i, name) in self.pass_headers.iter().enumerate() {
            let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
            if name.is_empty() || name.len() > 64 || !name.bytes().all(token) {
                let (zh, en) = ("应为小写的请求头名称", "This must be a header name in lower case.");
                errors.add(format!("/pass_headers/{i}"), zh, en);
            } else if is_reserved(name) {
                let zh = format!("{name} 由网关设置，不能转发");
                let en = format!("{name} is set by the gateway and cannot be passed on.");
                errors.add(format!("/pass_headers/{i}"), zh, en);
            }
        }
        for (pointer, period) in [("/timeout", self.timeout), ("/break_for", self.break_for)] {
            if period.is_some_and(|p| p.0.is_zero() || p.0 > Duration::from_secs(3600)) {
                errors.add(pointer, "应大于 0，且不超过 1h", "This must be more than 0 and at most 1h.");
            }
        }
        if self.health_interval.is_some() && self.health_path.is_none() {
            errors.add("/health_interval", "须与 health_path 一起使用", "This requires health_path.");
        }
    }

    fn prepare(&mut self, setup: &Setup<'_>) {
        let interval = self.health_interval.map_or(HEALTH_INTERVAL, |p| p.0);
        self.upstream_handle = setup.upstream(&UpstreamOptions {
            servers: &self.upstream.all(),
            servers_pointer: "/upstream",
            break_after: self.break_after.unwrap_or(BREAK_AFTER),
            break_for: self.break_for.map_or(BREAK_FOR, |p| p.0),
            health: self.health_path.as_deref().map(|path| (path, interval)),
            health_pointer: "/health_path",
        });
    }
}

/// Whether only the gateway sets this header. CGI-like servers do not distinguish `_` and `-` in names.
fn is_reserved(name: &str) -> bool {
    let name = name.replace('_', "-");
    RESERVED.contains(&name.as_str()) || name.starts_with("x-menlou-")
}

fn path_of(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..]).trim_end_matches('/')
}
