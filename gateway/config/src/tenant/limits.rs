//! Rate limits and concurrency limits of a tenant or one of its actions: `[limits]`, `[actions.NAME.limits]`.

use crate::load::Document;
use crate::rate::Rate;
use menlou_error::text::Text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// `[limits]` and `[actions.NAME.limits]`. A limit that is not set does not apply.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitConfig {
    /// Maximum request rate of all clients together, such as "1000/s" or "600/m burst 50". Excess requests are rejected
    /// with 429.
    /// 所有客户端合计的请求速率上限，例如 "1000/s"、"600/m burst 50"（burst 为突发量），超出的请求返回 429。
    pub calls: Option<Rate>,
    /// Maximum request rate of one client address (for IPv6, one /64).
    /// 每个客户端地址（IPv6 按 /64 网段）的请求速率上限。
    pub per_address: Option<Rate>,
    /// Maximum request rate of one openid, for actions that need a session.
    /// 每个 openid 的请求速率上限，用于需要会话的动作。
    pub per_openid: Option<Rate>,
    /// Maximum number of concurrent requests, within the tenant's share of the gateway. Excess requests are rejected
    /// with 503.
    /// 并发请求数上限（不超过网关分配给租户的份额），超出的请求返回 503。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_concurrent: Option<usize>,
}

/// The keys of this table that are rates.
const RATES: [&str; 3] = ["calls", "per_address", "per_openid"];

/// Checks of the limits at `pointer` that a schema cannot express.
pub(super) fn errors(doc: &Document, pointer: &str) -> Vec<ConfigError> {
    let too_long = |name: &&str| {
        let pointer = format!("{pointer}/{name}");
        let rate: Rate = doc.value(&pointer)?.as_str()?.parse().ok()?;
        let longest = Rate::LONGEST;
        let text = Text::new(
            format!("`{name}` 的突发量用完后应在 {longest} 内恢复：减小 burst 或调高频率"),
            format!("`{name}`: a used-up burst must recover within {longest}: reduce the burst or raise the rate"),
        );
        (rate.window() > longest.get()).then(|| doc.error_with_value(&pointer, text))
    };
    RATES.iter().filter_map(too_long).collect()
}

#[cfg(test)]
mod tests {
    use crate::{load::Document, tenant::TenantFile};

    /// The errors of a minimal tenant file with these tables appended.
    fn errors(tables: &str) -> Vec<String> {
        let text = format!("name = 'A'\n[wechat]\nappid = 'wx0123456789abcdef'\nsecret = 'env:S'\n{tables}");
        let doc = Document::parse("a.toml", text.as_bytes()).unwrap();
        TenantFile::read(&doc).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn limits_are_accepted_for_a_tenant_and_for_its_actions() {
        let text = "[limits]\ncalls = '100/s burst 200'\n[actions.login]\nmethods = ['phone']\nlimits = { per_address = '5/m' }";
        assert_eq!(errors(text), [""; 0]);
        for (tables, message) in [
            ("[limits]\ncalls = 100", "a.toml:6:9: `calls` must be a string (in quotes), but is an integer"),
            (
                "[limits]\ncalls = '100/sec'",
                "a.toml:6:9: `calls` must be a number per s, m, h or d, with an optional burst, such as \"100/s\", \"600/m\", \"10/s burst 50\"",
            ),
            ("[limits]\nper_adress = '5/s'", "a.toml:6:1: unknown key `per_adress`; did you mean `per_address`?"),
            ("[actions.login.limits]\ncall = '5/s'", "a.toml:6:1: unknown key `call`; did you mean `calls`?"),
            (
                "[actions.login.limits]\nper_openid = '1/d burst 31'",
                "a.toml:6:14: `per_openid`: a used-up burst must recover within 30d: reduce the burst or raise the rate",
            ),
        ] {
            assert_eq!(errors(tables), [message], "{tables}");
        }
    }
}
