//! Limits and timeouts of client connections.

use crate::{duration::ConfigDuration, size::Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[clients]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// Maximum length of path and query: 256B to 32KiB. It counts towards max_header_bytes.
    /// 请求路径与查询串的最大长度：256B 至 32KiB；计入 max_header_bytes。
    pub max_uri_length: Size,
    /// Maximum number of open connections of one client address (for IPv6, one /64). Further connections are closed.
    /// Raise it if clients share a proxy.
    /// 每个客户端地址（IPv6 为每个 /64）同时打开的连接数上限，超出的立即关闭；客户端经同一代理接入时应调大。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections_per_address: usize,
    /// Maximum number of requests on one connection. The connection is closed after the last response.
    /// 每个连接的请求数上限，最后一个响应之后关闭连接。
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_requests_per_connection: u64,
    /// Maximum time until a new connection sends its first byte.
    /// 新连接发送第一个字节的时限。
    pub first_byte_timeout: ConfigDuration,
    /// Maximum idle time of a connection between two requests.
    /// 连接在两个请求之间的最长空闲时间。
    pub keep_alive_timeout: ConfigDuration,
    /// Maximum time without data while a request body is received.
    /// 接收请求体时无数据的最长时间。
    pub body_idle_timeout: ConfigDuration,
    /// Maximum time without progress while a response is written to the client.
    /// 向客户端写响应时无进展的最长时间。
    pub response_write_timeout: ConfigDuration,
    /// Minimum average transfer rate, in bytes per second, of request bodies and responses. It bounds the sum of all
    /// pauses.
    /// 请求体与响应的最低平均传输速率（字节每秒），用于限制停顿的总时长。
    pub min_transfer_rate: Size,
    /// Maximum total time of a request, including streamed bodies and responses.
    /// 一个请求的总时限，包括流式的请求体与响应。
    pub request_timeout: ConfigDuration,
}

impl Clients {
    /// The permitted range of each size.
    pub(super) const SIZES: [(&'static str, Size, Size); 2] = [
        ("/clients/max_uri_length", Size::from_bytes(256), Size::kib(32)),
        ("/clients/min_transfer_rate", Size::from_bytes(1), Size::mib(64)),
    ];
}

impl Default for Clients {
    fn default() -> Self {
        Self {
            max_uri_length: Size::kib(8),
            max_connections_per_address: 1000,
            max_requests_per_connection: 10_000,
            first_byte_timeout: ConfigDuration::secs(10),
            keep_alive_timeout: ConfigDuration::secs(30),
            body_idle_timeout: ConfigDuration::secs(10),
            response_write_timeout: ConfigDuration::secs(20),
            min_transfer_rate: Size::from_bytes(1000),
            request_timeout: ConfigDuration::secs(600),
        }
    }
}
