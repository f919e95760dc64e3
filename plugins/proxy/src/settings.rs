//! `[actions.<name>]` with `plugin = "proxy"`: where calls go, who may make them, what goes along.

use menlou_plugin::{Auth, Setup, Upstream, UpstreamOptions, prelude::*};
use std::time::Duration;

/// How long the upstream may take where the tenant says nothing.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How many failures in a row open a server's circuit, and for how long.
const BREAK_AFTER: u32 = 5;
const BREAK_FOR: Duration = Duration::from_secs(10);
/// How often servers are asked whether they are well.
const HEALTH_INTERVAL: Duration = Duration::from_secs(5);
/// No key is shorter, in bytes.
const SHORTEST_KEY: usize = 16;

/// What goes along of every request.
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
/// What the gateway says itself, or is for one connection only.
const KEPT: [&str; 14] = [
    "authorization",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-request-id",
];

/// 租户文件中的设置。The settings in a tenant file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxySettings {
    /// 转发到哪里：一个地址，或几个地址（发往最空闲者）；可带路径。Where calls go: one address, or several (each call goes to
    /// the one with the least to do); perhaps with a path, the same for all.
    #[schemars(extend("examples" = ["http://10.0.0.5:8080/api"]))]
    pub upstream: Servers,
    /// 谁可以调用：optional（任何人；若带有令牌，令牌须有效，并转发其身份）、session（需要会话）、required（需要登录）。Who may call: whoever has
    /// a session, is logged in, or anyone; a token that comes along has to be good, and its identity goes along.
    #[serde(default)]
    pub auth: Auth,
    /// 与该服务共享的密钥，用于签名身份；除 auth = "optional" 外必填，没有密钥则不转发身份。The key shared with that service, which
    /// signs the identity; needed unless auth is optional: without one no identity goes along.
    #[serde(default)]
    pub key: Option<Secret>,
    /// 从请求体收完到回答开始的时限，也是回答中途停顿的时限，默认 10s；不会超过网关的 call_timeout。From the last byte of the
    /// body until the answer begins, and for each pause within the answer; 10s if not given. The former is bounded by the
    /// gateway's call_timeout.
    #[serde(default)]
    timeout: Option<ConfigDuration>,
    /// 连接失败时再试几次，默认 1；可能已送达的请求仅在方法幂等（GET、HEAD、PUT、DELETE）时重试。How many more attempts there
    /// are where a connection fails; 1 if not given. What may have been received is sent again only by idempotent methods.
    #[serde(default)]
    #[schemars(range(max = 5))]
    retries: Option<u32>,
    /// 除常用请求头外，还转发哪些请求头。Which headers go along besides the usual ones.
    #[serde(default)]
    #[schemars(length(max = 32))]
    pass_headers: Vec<String>,
    /// 是否去掉路径中的 /srv/租户/动作，默认 true。Whether /srv/tenant/action is taken off the path; true if not given.
    #[serde(default)]
    strip_prefix: Option<bool>,
    /// 请求体的最大字节数，默认不限（不占内存）。The largest body, in bytes; any if not given, as none is held in memory.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub max_body: Option<u64>,
    /// 连续失败几次后暂停使用一个地址，默认 5；0 为从不。After how many failures in a row an address is left alone; 5 if not
    /// given, 0 for never.
    #[serde(default)]
    break_after: Option<u32>,
    /// 暂停多久，默认 10s。For how long; 10s if not given.
    #[serde(default)]
    break_for: Option<ConfigDuration>,
    /// 用 GET 定期检查各地址是否健康的路径（答 2xx、3xx 为健康），默认不检查。The path that each address is asked for by GET, to see
    /// whether it is well (2xx or 3xx); not asked if not given.
    #[serde(default)]
    health_path: Option<String>,
    /// 多久检查一次，默认 5s。How often; 5s if not given.
    #[serde(default)]
    health_interval: Option<ConfigDuration>,
    #[serde(skip)]
    pub upstream_handle: Upstream,
}

/// One address, or several.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub(crate) enum Servers {
    /// One.
    One(Address),
    /// Several.
    Several(#[schemars(length(min = 1, max = 32))] Vec<Address>),
}

impl Servers {
    fn all(&self) -> Vec<&str> {
        match self {
            Self::One(server) => vec![server.as_str()],
            Self::Several(servers) => servers.iter().map(Address::as_str).collect(),
        }
    }
}

impl ProxySettings {
    pub fn timeout(&self) -> Duration {
        self.timeout.map_or(TIMEOUT, |t| t.0)
    }

    pub fn retries(&self) -> u32 {
        self.retries.unwrap_or(1)
    }

    pub fn strips_prefix(&self) -> bool {
        self.strip_prefix.unwrap_or(true)
    }

    /// The headers that go along.
    pub fn passed(&self) -> Vec<&str> {
        PASSED.into_iter().chain(self.pass_headers.iter().map(String::as_str)).collect()
    }

    /// The path that stands before each target, without a slash at its end: the same for all servers.
    pub fn base_path(&self) -> &str {
        self.upstream.all().first().map_or("", |server| path_of(server))
    }
}

impl Settings for ProxySettings {
    fn check(&self, errors: &mut ConfigErrors) {
        if self.key.is_none() && self.auth != Auth::Optional {
            let zh =
                "缺少 key：身份须签名，上游才能相信；用 openssl rand -hex 32 生成，写作 \"env:名称\" 或 \"file:路径\"";
            let en = "The key is missing: an identity must be signed to be trusted. Make one by openssl rand -hex 32, and \
                      write \"env:NAME\" or \"file:PATH\".";
            errors.add("", zh, en);
        }
        if self.key.as_ref().is_some_and(|key| key.expose().len() < SHORTEST_KEY) {
            errors.add("/key", "密钥过短，至少 16 字节", "The key is too short: 16 bytes at least.");
        }
        let paths: Vec<&str> = self.upstream.all().into_iter().map(path_of).collect();
        if paths.iter().any(|path| *path != paths[0]) {
            let en = "All addresses need the same path: it is part of what is signed.";
            errors.add("/upstream", "各地址的路径须相同：路径是签名的一部分", en);
        }
        for (i, name) in self.pass_headers.iter().enumerate() {
            let token = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_');
            if name.is_empty() || name.len() > 64 || !name.bytes().all(token) {
                let (zh, en) = ("应为小写的请求头名称", "This is a header's name in lower case.");
                errors.add(format!("/pass_headers/{i}"), zh, en);
            } else if KEPT.contains(&name.as_str()) || name.starts_with("x-menlou-") {
                let zh = format!("{name} 由网关自己填写，不能转发");
                let en = format!("{name} is the gateway's own to say, and can't be passed on.");
                errors.add(format!("/pass_headers/{i}"), zh, en);
            }
        }
        for (pointer, period) in [("/timeout", self.timeout), ("/break_for", self.break_for)] {
            if period.is_some_and(|p| p.0.is_zero() || p.0 > Duration::from_secs(3600)) {
                errors.add(pointer, "应大于 0，至多 1h", "This is more than 0 and 1h at most.");
            }
        }
        if self.health_interval.is_some() && self.health_path.is_none() {
            errors.add("/health_interval", "只与 health_path 一起使用", "This goes with health_path only.");
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

fn path_of(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.find('/').map_or("", |at| &rest[at..]).trim_end_matches('/')
}
