//! What a client may ask for, and how long it may take.

use crate::config::size::Size;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// `[clients]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Clients {
    /// The longest path with query: 256B to 32KiB. It is part of the head, see max_header_bytes.
    /// 请求路径与查询串的最大长度：256B 至 32KiB；计入 max_header_bytes。
    pub max_target: Size,
}

impl Clients {
    /// Each size with the least and the most that it may be.
    pub(super) const SIZES: [(&'static str, Size, Size); 1] =
        [("/clients/max_target", Size::bytes_of(256), Size::kib(32))];
}

impl Default for Clients {
    fn default() -> Self {
        Self { max_target: Size::kib(8) }
    }
}
