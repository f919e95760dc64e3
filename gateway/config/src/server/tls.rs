//! Certificates, and what HTTP/2 may cost.

use crate::duration::ConfigDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// `[tls]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificates with their keys, as PEM files; the host names in them are served, any other by the first. None: no TLS.
    /// 证书与私钥（PEM 文件）；按证书中的域名选用，其余用第一个。不填则不启用 TLS。
    pub certificates: Vec<Certificate>,
    /// When given, only clients with a certificate of one of the authorities in this PEM file are served (mutual TLS).
    /// 填写后只接受由此 PEM 文件中的机构签发证书的客户端（双向 TLS）。
    #[schemars(extend("minLength" = 1))]
    pub client_ca: Option<PathBuf>,
    /// How long a TLS handshake may take.
    /// TLS 握手的时限。
    pub handshake_timeout: ConfigDuration,
}

/// A certificate. Its files are looked at while running: new ones are taken up.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Certificate {
    /// The chain, the host's own certificate first.
    /// 证书链，主机证书在前。
    #[schemars(extend("minLength" = 1))]
    pub cert: PathBuf,
    /// Its private key.
    /// 私钥。
    #[schemars(extend("minLength" = 1))]
    pub key: PathBuf,
}

/// `[http2]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http2 {
    /// Whether HTTP/2 is spoken: over TLS where the client asks for it, without TLS with clients that know.
    /// 是否支持 HTTP/2：TLS 上由客户端协商，明文须客户端事先约定（h2c）。
    pub enabled: bool,
    /// How many requests a connection may have under way at once.
    /// 每个连接同时进行的请求数上限。
    #[schemars(range(min = 1, max = 10_000))]
    pub max_streams: u32,
    /// How many requests a client may have reset before they were looked at; beyond, its connection is closed.
    /// 客户端在请求被处理前即取消的数量上限，超出则断开连接。
    #[schemars(range(min = 1, max = 10_000))]
    pub max_pending_resets: usize,
    /// How many pings, settings and other frames that bring nothing a client may send within a minute; beyond, its
    /// connection is closed.
    /// 客户端每分钟可以发送的 PING、SETTINGS 等空帧的数量上限，超出则断开连接。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_control_frames_per_minute: u32,
    /// How often a client with a request under way is asked whether it is still there.
    /// 对有请求进行中的客户端的探活间隔。
    pub ping_interval: ConfigDuration,
    /// How long it may take to say so.
    /// 探活的应答时限。
    pub ping_timeout: ConfigDuration,
}

impl Tls {
    /// Makes relative paths start from `folder`.
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
