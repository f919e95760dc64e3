//! `[actions.<name>]` with `plugin = "wechat"`: which call it is, who may make it, what the client may send.

use crate::calls::{Does, NAMED, Target, is_kept};
use menlou_plugin::{Auth, prelude::*};
use serde_json::{Map, Value};
use std::time::Duration;

/// How old encrypted data may be where the tenant says nothing.
const MAX_AGE: Duration = Duration::from_secs(300);
/// And at most: beyond, a check of its age says nothing.
const LONGEST_AGE: Duration = Duration::from_secs(7 * 24 * 3600);

/// 租户文件中的 `[actions.<名称>]`。The table `[actions.<name>]` of a tenant's file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WechatSettings {
    /// 调用哪个接口：phone_number、msg_sec_check、subscribe_send、qrcode、decrypt、check_session、reset_session_key，
    /// 或 "POST /路径"、"GET /路径"。Which call: one of these names, or a method and a path of WeChat's.
    #[schemars(extend("examples" = ["msg_sec_check", "POST /wxa/getuserriskrank"]))]
    pub call: String,
    /// 谁可以调用；设为 optional 时任何人都会消耗租户的接口额度，请慎用。Who may call; with optional, anyone spends the tenant's quota: use with care.
    #[serde(default)]
    pub auth: Auth,
    /// 仅用于 decrypt：加密数据最多可有多旧，默认 5m，至多 7d。For decrypt: how old the data may be; 5m if not given, 7d at most.
    #[serde(default)]
    pub max_age: Option<ConfigDuration>,
    /// 仅用于按路径调用：客户端可以给出的字段，其余不会发出；默认全部。For calls by path: the fields that the client may
    /// send, all else is left out; everything if not given.
    #[serde(default)]
    pub fields: Option<Vec<String>>,
    /// 由租户固定的字段，优先于客户端的参数。Fields that the tenant fixes; they prevail over the client's.
    #[serde(default)]
    pub fixed: Map<String, Value>,
    /// 仅用于按路径调用：在此字段填入调用者的 openid。For calls by path: the field that the caller's openid is put into.
    #[serde(default)]
    pub openid_field: Option<String>,
}

impl WechatSettings {
    /// How old encrypted data may be.
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
                "This is one of {}, or \"POST /path\" or \"GET /path\" (without ?, % and the like).",
                names.join(", ")
            );
            return errors.add("/call", zh, en);
        };
        let asks = match &target {
            Target::Generic { path, .. } => {
                if is_kept(path) {
                    let (zh, en) = (
                        "此接口涉及密钥，由网关自己调用",
                        "This path gives out credentials: the gateway keeps it to itself.",
                    );
                    errors.add("/call", zh, en);
                }
                true
            }
            Target::Named(named) => {
                let only = |given: bool, pointer: &str, errors: &mut ConfigErrors| {
                    if given {
                        let (zh, en) =
                            ("只用于按路径调用（\"POST /路径\"）", "This is for calls by path only (\"POST /path\").");
                        errors.add(pointer, zh, en);
                    }
                };
                only(self.fields.is_some(), "/fields", errors);
                only(self.openid_field.is_some(), "/openid_field", errors);
                for (name, value) in &self.fixed {
                    match named.fields.iter().find(|field| field.name == name) {
                        None => errors.add(
                            format!("/fixed/{}", name.replace('~', "~0").replace('/', "~1")),
                            format!("{} 没有字段 {name}", named.name),
                            format!("{} has no field {name}.", named.name),
                        ),
                        Some(field) if field.kind.take(value.clone()).is_none() => {
                            let (zh, en) = field.kind.expected();
                            errors.add(format!("/fixed/{name}"), zh, format!("This must be {en}."));
                        }
                        Some(_) => {}
                    }
                }
                matches!(named.does, Does::Ask { .. })
            }
        };
        let for_somebody = match &target {
            Target::Generic { .. } => self.openid_field.is_some(),
            Target::Named(named) => named.needs_session(),
        };
        if for_somebody && self.auth == Auth::Optional {
            let (zh, en) = (
                "此调用需要调用者的会话：应为 session 或 required",
                "This call needs the caller's session: session or required.",
            );
            errors.add("/auth", zh, en);
        }
        if !asks && !self.fixed.is_empty() {
            errors.add("/fixed", "此调用没有可固定的字段", "This call has no fields to fix.");
        }
        if self.fixed.contains_key("access_token") {
            let (zh, en) = ("access_token 由网关填入", "The gateway puts the access_token in.");
            errors.add("/fixed/access_token", zh, en);
        }
        let decrypts = matches!(target, Target::Named(named) if matches!(named.does, Does::Decrypt));
        match self.max_age {
            Some(_) if !decrypts => errors.add("/max_age", "只用于 decrypt", "This is for decrypt only."),
            Some(age) if age.0 > LONGEST_AGE || age.0.is_zero() => {
                errors.add("/max_age", "应大于 0，至多 7d", "This is more than 0 and 7d at most.");
            }
            _ => {}
        }
    }
}
