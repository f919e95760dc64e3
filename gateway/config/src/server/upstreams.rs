//! Connections to the tenants' own services.

use crate::duration::ConfigDuration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[upstreams]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Upstreams {
    /// Maximum idle time of a connection between two requests. It should be shorter than that of the services: Node.js closes
    /// idle connections after 5 s.
    /// 连接在两个请求之间的最长空闲时间，应短于上游服务自身的设置：Node.js 在 5 秒后关闭空闲连接。
    pub keep_alive_timeout: ConfigDuration,
    /// Maximum age of a connection. An older one is closed after its response, so that requests follow changes of DNS and of
    /// load balancers.
    /// 连接的最长使用时间，到期后在响应结束时关闭，使请求能跟随 DNS 与负载均衡的变化。
    pub max_connection_age: ConfigDuration,
}

impl Default for Upstreams {
    fn default() -> Self {
        Self { keep_alive_timeout: ConfigDuration::secs(4), max_connection_age: ConfigDuration::secs(60) }
    }
}
