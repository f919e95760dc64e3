//! TLS certificates, and the limits of HTTP/2.

use crate::duration::ConfigDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `[tls]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificates with their private keys, as PEM files. The certificate is selected by host name; the first is the
    /// fallback. Without certificates, TLS is off.
    /// 证书与私钥（PEM 文件），按域名选用，未匹配时使用第一个；不填则不启用 TLS。
    pub certificates: Vec<Certificate>,
    /// If set, only clients with a certificate from an authority in this PEM file are accepted (mutual TLS).
    /// 设置后只接受由此 PEM 文件中的机构签发证书的客户端（双向 TLS）。
    #[schemars(extend("minLength" = 1))]
    pub client_ca: Option<PathBuf>,
    /// Maximum time of a TLS handshake.
    /// TLS 握手的时限。
    pub handshake_timeout: ConfigDuration,
}

/// A certificate. Changes of its files are loaded while running.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// Path of the certificate chain, the host's own certificate first.
    /// 证书链文件的路径，主机证书在前。
    #[schemars(extend("minLength" = 1))]
    pub cert: PathBuf,
    /// Path of the private key.
    /// 私钥文件的路径。
    #[schemars(extend("minLength" = 1))]
    pub key: PathBuf,
}

/// `[http2]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http2 {
    /// Whether HTTP/2 is enabled: over TLS by negotiation, without TLS with prior knowledge.
    /// 是否启用 HTTP/2：TLS 上由客户端协商，明文须客户端事先约定（h2c）。
    pub enabled: bool,
    /// Maximum number of concurrent requests on one connection.
    /// 每个连接的并发请求数上限。
    #[schemars(range(min = 1, max = 10_000))]
    pub max_streams: u32,
    /// Maximum number of requests that a client has reset before the gateway handled them. Above it, the connection is
    /// closed.
    /// 客户端在请求被处理前即重置的数量上限，超出则关闭连接。
    #[schemars(range(min = 1, max = 10_000))]
    pub max_pending_resets: usize,
    /// Maximum number of PING, SETTINGS and other control frames from a client within one minute. Above it, the
    /// connection is closed.
    /// 客户端每分钟可发送的 PING、SETTINGS 等控制帧的数量上限，超出则关闭连接。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_control_frames_per_minute: u32,
    /// Interval of the pings to a client with requests in flight.
    /// 向有请求处理中的客户端发送 PING 的间隔。
    pub ping_interval: ConfigDuration,
    /// Maximum time for the client to answer a ping.
    /// 客户端响应 PING 的时限。
    pub ping_timeout: ConfigDuration,
}

impl Tls {
    /// Resolves relative paths against `folder`.
    pub(super) fn rebase(&mut self, folder: &Path) {
        let files = self.certificates.iter_mut().flat_map(|c| [&mut c.cert, &mut c.key]);
        files.chain(self.client_ca.as_mut()).for_each(|path| *path = folder.join(&*path));
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self { certificates: Vec::new(), client_ca: None, handshake_timeout: ConfigDuration::secs(10) }
    }
}

impl Default for Http2 {
    fn default() -> Self {
        Self {
            enabled: true,
            max_streams: 100,
            max_pending_resets: 20,
            max_control_frames_per_minute: 1000,
            ping_interval: ConfigDuration::secs(20),
            ping_timeout: ConfigDuration::secs(10),
        }
    }
}
