//! Proxies in front of the gateway, and what they are believed.

use crate::network::Network;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[proxies]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Proxies {
    /// Addresses and networks of the proxies in front: they are believed who the client is, nobody else is.
    /// 前置代理的地址或网段：只采信它们所报的客户端地址。
    pub trusted: Vec<Network>,
    /// The header that they say it in: x-forwarded-for, forwarded or none. They must set it, or add to it.
    /// 代理用来传递客户端地址的请求头：x-forwarded-for、forwarded 或 none；代理必须设置或追加它。
    pub header: ProxyHeader,
    /// Whether they begin each connection with the PROXY protocol, version 1 or 2.
    /// 代理是否在每个连接开头发送 PROXY 协议（v1 或 v2）。
    pub proxy_protocol: bool,
}

/// `[proxies] header`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    /// `X-Forwarded-For`
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
    /// None.
    None,
}
