//! `[actions.<name>]` with `plugin = "wechat"`: the request, the allowed callers, and the fields that clients may send.

use crate::calls::{NAMED, Operation, Target, is_reserved};
use menlou_plugin::{Auth, prelude::*};
use serde_json::{Map, Value};
use std::time::Duration;

/// Default maximum age of encrypted data.
const MAX_AGE: Duration = Duration::from_secs(300);
/// Largest maximum age: a longer one would make the check useless.
const MAX_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// 租户文件的 `[actions.<名称>]` 表。The table `[actions.<name>]` of a tenant file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WechatSettings {
    /// 调用哪个接口：phone_number、msg_sec_check、subscribe_send、qrcode、decrypt、check_session、reset_session_key，
    /// 或 "POST /路径"、"GET /路径"。The request: one of these names, or a method and a path of WeChat's API.
    #[schemars(extend("examples" = ["msg_sec_check", "POST /wxa/getuserriskrank"]))]
    pub call: String,
    /// 允许的调用方；设为 optional 时任何人都会消耗租户的接口额度，请慎用。The allowed callers. With optional, anyone can spend
    /// the tenant's quota: use it with care.
    #[serde(default)]
    pub auth: Auth,
    /// 仅用于 decrypt：加密数据的最长有效时间，默认 5m，最长 7d。Only for decrypt: maximum age of the data; default 5m, at most
    /// 7d.
    #[serde(default)]
    pub max_age: Option<ConfigDuration>,
    /// 仅用于按路径调用：客户端可提供的字段，其余丢弃；默认全部允许。Only for requests by path: the fields that clients may
    /// send; others are dropped. By default all are allowed.
    #[serde(default)]
    pub fields: Option<Vec<String>>,
    /// 由租户固定的字段，优先于客户端的参数。Fields that the tenant fixes; they override the client's parameters.
    #[serde(default)]
    pub fixed: Map<String, Value>,
    /// 仅用于按路径调用：填入调用方 openid 的字段。Only for requests by path: the field that is set to the caller's openid.
    #[serde(default)]
    pub openid_field: Option<String>,
}

impl WechatSettings {
    /// Maximum age of encrypted data.
    pub fn max_age(&self) -> Duration {
        self.max_age.map_or(MAX_AGE, |age| age.0)
    }
}

impl Settings for WechatSettings {
    fn check(&self, errors: &mut ConfigErrors) {
        let Some(target) = Target::parse(&self.call) else {
            let names = NAMED.iter().map(|n| n.name).collect::<Vec<_>>();
            let zh = format!("应为 {} 之一，或 \"POST /路径\"、\"GET /路径\"（路径不含 ?、% 等）", names.join("、"));
            let en = format!(
                "This must be one of {}, or \"POST /path\" or \"GET /path\" (without ?, % and the like).",
                names.join(", ")
            );
            return errors.add("/call", zh, en);
        };
        let is_request = match &target {
            Target::Generic { path, .. } => {
                if is_reserved(path) {
                    let (zh, en) = (
                        "此接口会返回凭据，只有网关可以调用",
                        "This path returns credentials: only the gateway may request it.",
                    );
                    errors.add("/call", zh, en);
                }
                true
            }
            Target::Named(named) => {
                let path_only = |given: bool, pointer: &str, errors: &mut ConfigErrors| {
                    if given {
                        let (zh, en) = (
                            "仅用于按路径调用（\"POST /路径\"）",
                            "This is only for requests by path (\"POST /path\").",
                        );
                        errors.add(pointer, zh, en);
                    }
                };
                path_only(self.fields.is_some(), "/fields", errors);
                path_only(self.openid_field.is_some(), "/openid_field", errors);
                for (name, value) in &self.fixed {
                    match named.fields.iter().find(|field| field.name == name) {
                        None => errors.add(
                            format!("/fixed/{}", name.replace('~', "~0").replace('/', "~1")),
                            format!("{} 没有字段 {name}", named.name),
                            format!("{} has no field {name}.", named.name),
                        ),
                        Some(field) if field.kind.convert(value.clone()).is_none() => {
                            let (zh, en) = field.kind.expected();
                            errors.add(format!("/fixed/{name}"), zh, format!("This must be {en}."));
                        }
                        Some(_) => {}
                    }
                }
                matches!(named.operation, Operation::Request { .. })
            }
        };
        let needs_session = match &target {
            Target::Generic { .. } => self.openid_field.is_some(),
            Target::Named(named) => named.needs_session(),
        };
        if needs_session && self.auth == Auth::Optional {
            let (zh, en) = (
                "此接口需要调用方的会话：应为 session 或 required",
                "This request needs the caller's session: set session or required.",
            );
            errors.add("/auth", zh, en);
        }
        if !is_request && !self.fixed.is_empty() {
            errors.add("/fixed", "此接口没有可固定的字段", "This request has no fields to fix.");
        }
        if self.fixed.contains_key("access_token") {
            let (zh, en) = ("access_token 由网关填入", "The gateway sets access_token.");
            errors.add("/fixed/access_token", zh, en);
        }
        let decrypts = matches!(target, Target::Named(named) if matches!(named.operation, Operation::Decrypt));
        match self.max_age {
            Some(_) if !decrypts => errors.add("/max_age", "仅用于 decrypt", "This is only for decrypt."),
            Some(age) if age.0 > MAX_MAX_AGE || age.0.is_zero() => {
                errors.add("/max_age", "应大于 0，且不超过 7d", "This must be more than 0 and at most 7d.");
            }
            _ => {}
        }
    }
}
