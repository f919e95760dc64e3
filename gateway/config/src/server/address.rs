//! What is expected of the address of a listener.

use serde_json::Value;

/// The description of a listener's address for people.
pub(super) fn address_expected() -> Value {
    serde_json::json!({
        "zh": "IP 地址与端口，例如 \"127.0.0.1:8080\" 或 \"[::]:8080\"",
        "en": "an IP address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"",
    })
}
