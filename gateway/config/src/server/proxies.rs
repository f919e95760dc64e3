//! Proxies in front of the gateway, and what the gateway accepts from them.

use crate::network::Network;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[proxies]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Proxies {
    /// Addresses and networks of the proxies in front of the gateway. Client addresses are accepted from them only.
    /// 前置代理的地址或网段：只采信它们提供的客户端地址。
    pub trusted: Vec<Network>,
    /// Header in which the proxies pass the client address: x-forwarded-for, forwarded or none. The proxies must set it
    /// or append to it.
    /// 代理用来传递客户端地址的请求头：x-forwarded-for、forwarded 或 none；代理必须设置或追加它。
    pub header: ProxyHeader,
    /// Whether the proxies begin each connection with the PROXY protocol, version 1 or 2.
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
    /// No header.
    None,
}
