//! Cross-origin requests from web pages to a tenant: `[cors]`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Pattern of an origin: exact, or with `*.` for all subdomains. `*` for all origins is not allowed.
const ORIGIN: &str = "^https?://((\\*\\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?|\\[[0-9a-f:]+\\])(:[1-9][0-9]{0,4})?$";
/// Pattern of a header name.
const HEADER: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$";

/// `[cors]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cors {
    /// Origins of web pages (H5) that may call the tenant's actions, such as "https://h5.example.com" or
    /// "https://*.example.com". Default: none.
    /// 允许调用该租户动作的网页（H5）来源，例如 "https://h5.example.com"、"https://*.example.com"；默认都不允许。
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("items" = origin()))]
    pub origins: Vec<String>,
    /// Request headers that these pages may send, in addition to Authorization, Content-Type and X-Request-Id.
    /// 除 Authorization、Content-Type、X-Request-Id 外，这些网页还可以发送的请求头。
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("items" = header()))]
    pub headers: Vec<String>,
}

fn origin() -> Value {
    json!({ "type": "string", "pattern": ORIGIN, "x-expected": {
        "zh": "来源（小写的协议与主机，无路径），例如 \"https://h5.example.com\" 或 \"https://*.example.com\"",
        "en": "an origin (scheme and host in lower case, no path), such as \"https://h5.example.com\" or \"https://*.example.com\"",
    } })
}

fn header() -> Value {
    json!({ "type": "string", "pattern": HEADER, "x-expected": { "zh": "请求头的名称", "en": "the name of a header" } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Schema;

    #[test]
    fn origins_are_exact_or_subdomains_and_never_all() {
        let schema = Schema::compile(&origin()).unwrap();
        for good in ["https://h5.example.com", "https://*.example.com", "http://localhost:5173", "http://[::1]:80"] {
            assert!(schema.fits(&good.into()), "{good}");
        }
        for bad in [
            "*",
            "null",
            "",
            "https://*",
            "https://*.",
            "https://*:443",
            "h5.example.com",
            "https://h5.example.com/",
            "https://h5.example.com/x",
            "https://H5.example.com",
            "https://a.*.example.com",
            "https://*example.com",
            "wss://h5.example.com",
            "https://h5.example.com:0",
            "https://h5.example.com, https://b",
            "https://u@h",
        ] {
            assert!(!schema.fits(&bad.into()), "{bad}");
        }
    }
}
