//! What a client may ask for, and how long it may take.

use crate::{duration::ConfigDuration, size::Size};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[clients]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// The longest path with query: 256B to 32KiB. It is part of the head, see max_header_bytes.
    /// 请求路径与查询串的最大长度：256B 至 32KiB；计入 max_header_bytes。
    pub max_uri_length: Size,
    /// How many connections one address (of IPv6, one /64) has open at once; further ones are closed. Mind clients behind
    /// one proxy.
    /// 每个客户端地址（IPv6 为每个 /64）同时打开的连接数上限，超出的立即关闭；客户端经同一代理接入时应调大。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections_per_address: usize,
    /// How many requests a connection may bring; it is closed behind the last one's answer.
    /// 每个连接的请求数上限，答复最后一个后关闭。
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_requests_per_connection: u64,
    /// How long a new connection may be silent.
    /// 新连接可以不发数据的时间。
    pub first_byte_timeout: ConfigDuration,
    /// How long a connection may be idle between two requests.
    /// 连接在两个请求之间可以空闲的时间。
    pub keep_alive_timeout: ConfigDuration,
    /// How long a request's body may pause.
    /// 请求体可以停顿的时间。
    pub body_idle_timeout: ConfigDuration,
    /// How long a client may leave an answer unread.
    /// 客户端可以不读取答复的时间。
    pub response_write_timeout: ConfigDuration,
    /// The least rate, in bytes a second, of who sends a body or reads an answer slowly: pauses in all are bounded by it.
    /// 收发数据的最低速率（每秒字节数）：断续收发时，停顿的总和由此受限。
    pub min_transfer_rate: Size,
    /// How long a request may take in all, also where body and answer are streams.
    /// 一个请求从头到答复结束的总时限，流式传输亦然。
    pub request_timeout: ConfigDuration,
}

impl Clients {
    /// Each size with the least and the most that it may be.
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
