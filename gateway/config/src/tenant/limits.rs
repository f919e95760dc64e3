//! How much of the gateway a tenant, or one of its actions, may take: `[limits]`, `[actions.NAME.limits]`.

use crate::load::Document;
use crate::rate::Rate;
use menlou_error::text::Text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ConfigError;

/// `[limits]` and `[actions.NAME.limits]`. What is not set is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitConfig {
    /// How often it may be called, all callers together, such as "1000/s" or "600/m burst 50"; further calls are answered with 429.
    /// 所有调用者合计的调用频率，例如 "1000/s"、"600/m burst 50"（burst 为突发量），超出的以 429 答复。
    pub calls: Option<Rate>,
    /// How often one client address (of IPv6, one /64) may call it.
    /// 每个客户端地址（IPv6 按 /64 网段）的调用频率。
    pub per_address: Option<Rate>,
    /// How often one openid may call it; for actions that need a session.
    /// 每个 openid 的调用频率，用于需要会话的动作。
    pub per_openid: Option<Rate>,
    /// How many of its calls are served at once, within the share that the gateway gives a tenant; further ones are answered with 503.
    /// 同时处理的调用数上限（不超过网关给每个租户的份额），超出的以 503 答复。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrent: Option<usize>,
}

/// The rates among the limits of a table.
const RATES: [&str; 3] = ["calls", "per_address", "per_openid"];

/// What no schema can say of the limits at `pointer`.
pub(super) fn faults(doc: &Document, pointer: &str) -> Vec<ConfigError> {
    let too_long = |name: &&str| {
        let pointer = format!("{pointer}/{name}");
        let rate: Rate = doc.value(&pointer)?.as_str()?.parse().ok()?;
        let longest = Rate::LONGEST;
        let text = Text::new(
            format!("`{name}` 的突发量用完后应在 {longest} 内恢复：减小 burst 或调高频率"),
            format!("`{name}`: a used-up burst must be back within {longest}: less burst, or a higher rate"),
        );
        (rate.window() > longest.get()).then(|| doc.fault_showing(&pointer, text))
    };
    RATES.iter().filter_map(too_long).collect()
}

#[cfg(test)]
mod tests {
    use crate::{load::Document, tenant::TenantFile};

    /// What is wrong with a file that has these tables besides.
    fn faults(tables: &str) -> Vec<String> {
        let text = format!("name = 'A'\n[wechat]\nappid = 'wx0123456789abcdef'\nsecret = 'env:S'\n{tables}");
        let doc = Document::parse("a.toml", text.as_bytes()).unwrap();
        TenantFile::read(&doc).err().unwrap_or_default().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn limits_stand_in_the_tenants_table_and_in_its_actions() {
        let text = "[limits]\ncalls = '100/s burst 200'\n[actions.login]\nmethods = ['phone']\nlimits = { per_address = '5/m' }";
        assert_eq!(faults(text), [""; 0]);
        for (tables, told) in [
            ("[limits]\ncalls = 100", "a.toml:6:9: `calls` must be a string (in quotes), but is an integer"),
            (
                "[limits]\ncalls = '100/sec'",
                "a.toml:6:9: `calls` must be a number per s, m, h or d, with a burst if need be, such as \"100/s\", \"600/m\", \"10/s burst 50\"",
            ),
            ("[limits]\nper_adress = '5/s'", "a.toml:6:1: unknown key `per_adress`; did you mean `per_address`?"),
            ("[actions.login.limits]\ncall = '5/s'", "a.toml:6:1: unknown key `call`; did you mean `calls`?"),
            (
                "[actions.login.limits]\nper_openid = '1/d burst 31'",
                "a.toml:6:14: `per_openid`: a used-up burst must be back within 30d: less burst, or a higher rate",
            ),
        ] {
            assert_eq!(faults(tables), [told], "{tables}");
        }
    }
}
