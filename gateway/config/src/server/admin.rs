//! `[admin]`: the admin listener, and what tenants' admins may do.

use super::address::address_expected;
use crate::hosts::HostPattern;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
};

/// Default of `writes_per_minute`.
const DEFAULT_WRITES: NonZeroU32 = NonZeroU32::MIN.saturating_add(19);

/// `[admin]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// IP address and port of /console/, /api/v1, /healthz, /readyz, /metrics, /openapi.json and /docs. Do not expose
    /// it to the internet.
    /// An address other than a loopback address requires tls_cert and tls_key, or allow_plain_http.
    /// /console/、/api/v1、/healthz、/readyz、/metrics、/openapi.json、/docs 监听的 IP 地址与端口，不要暴露到公网。
    /// 非回环地址须配置 tls_cert 与 tls_key，或 allow_plain_http。
    #[schemars(extend("format" = "socket-address", "x-expected" = address_expected()))]
    pub listen: SocketAddr,
    /// If set, the admin listener uses HTTPS: path of its certificate chain (PEM, own certificate first). Changes are
    /// loaded while running.
    /// 设置后管理端使用 HTTPS：证书链文件的路径（PEM，自身证书在前），运行时自动加载改动。
    #[schemars(extend("minLength" = 1))]
    pub tls_cert: Option<PathBuf>,
    /// Path of the certificate's private key (PEM).
    /// 证书私钥文件的路径（PEM）。
    #[schemars(extend("minLength" = 1))]
    pub tls_key: Option<PathBuf>,
    /// Whether plain HTTP is allowed on an address that others can reach: only behind a TLS proxy or in a private
    /// network, because tokens are sent unencrypted.
    /// 是否允许在他人可达的地址上使用明文 HTTP：仅限位于 TLS 代理之后或私有网络中，因为令牌以明文传输。
    pub allow_plain_http: bool,
    /// Further hosts under which browsers and probes may reach the admin listener: a host "admin.example.com", all
    /// subdomains "*.example.com", or a network "10.20.0.0/16". localhost, loopback addresses and the address in listen are
    /// always allowed; if listen is 0.0.0.0 or [::], so is every IP address. Other hosts are answered with 421.
    /// 浏览器与探针访问管理端时还可使用的主机：主机 "admin.example.com"、所有子域名 "*.example.com" 或网段 "10.20.0.0/16"。
    /// localhost、回环地址与 listen 中的地址始终可用；listen 为 0.0.0.0 或 [::] 时任何 IP 地址可用。其他主机返回 421。
    pub allowed_hosts: Vec<HostPattern>,
    /// Maximum number of changes per minute with one token of a tenant's admin, after a burst of three minutes' worth. An
    /// operator's token may make ten times as many.
    /// 租户管理员的每个令牌每分钟的最大修改次数，可突发至三分钟的量；运维令牌为其十倍。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub writes_per_minute: NonZeroU32,
    /// Number of complete months of the audit log that are kept, beside the current one. Older months are exported to files
    /// in audit_export_dir, then deleted. Default: everything is kept in the database.
    /// 审计记录除当月外保留的完整月数；更早的月份先导出到 audit_export_dir 中的文件，再从数据库删除。默认全部保留在数据库中。
    #[schemars(range(min = 1, max = 1200))]
    pub audit_retention_months: Option<u32>,
    /// Folder of the exported months: one file with a JSON object per line. Default: the folder audit beside the SQLite
    /// file.
    /// 导出文件所在的文件夹，每月一个文件，每行一个 JSON 对象。默认为 SQLite 文件旁的 audit 文件夹。
    #[schemars(extend("minLength" = 1))]
    pub audit_export_dir: Option<PathBuf>,
    /// Hosts that tenants' admins may set as upstream or delegate_url, with any port: a host "api.example.com", all
    /// subdomains "*.example.com", or a network "10.20.0.0/16". Only operators may set other addresses.
    /// 租户管理员可以设为 upstream 或 delegate_url 的主机（不限端口）：主机 "api.example.com"、所有子域名 "*.example.com" 或网段
    /// "10.20.0.0/16"；其他地址只能由运维设置。
    pub allowed_upstream_hosts: Vec<HostPattern>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8081).into(),
            tls_cert: None,
            tls_key: None,
            allow_plain_http: false,
            allowed_hosts: Vec::new(),
            writes_per_minute: DEFAULT_WRITES,
            audit_retention_months: None,
            audit_export_dir: None,
            allowed_upstream_hosts: Vec::new(),
        }
    }
}
