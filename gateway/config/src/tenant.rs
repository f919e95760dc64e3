//! A tenant's file: display name, platform, sessions, limits and actions.

mod cors;
mod limits;

use super::{
    config_error::{ConfigError, quoted},
    duration::ConfigDuration,
    load::{self, Document},
    schema::{self, Schema},
    secret::SecretRef,
    unknown_settings::UnknownSettings,
};
pub use cors::Cors;
pub use limits::RateLimitConfig;
use menlou_error::text::Text;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
    sync::LazyLock,
    time::Duration,
};

/// Maximum size of a tenant file, in bytes. The admin API has the same limit for a request body.
pub const MAX_TENANT_FILE_SIZE: usize = 256 * 1024;
/// Maximum number of actions of a tenant. Every action costs memory, a check of its settings, and series in the metrics.
pub const MAX_ACTIONS: usize = 256;

/// Pattern of the names of tenants, actions and plugins.
pub const NAME: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";

/// The name of a tenant: the name of its file without `.toml`, and the parameter `f` of requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TenantName(String);

impl TenantName {
    /// Parses a name.
    ///
    /// # Errors
    /// The name does not match [`NAME`].
    pub fn parse(name: &str) -> Result<Self, Text> {
        if is_name(name) {
            return Ok(Self(name.to_owned()));
        }
        let shown = quoted(name);
        Err(Text::new(
            format!("{shown} 不能用作租户名：应为 1 至 64 个小写字母、数字、_ 或 -，且不以 _ 或 - 开头"),
            format!(
                "{shown} is not a valid tenant name: it must have 1 to 64 lower-case letters, digits, _ or -, and must not start with _ or -"
            ),
        ))
    }

    /// The tenant of a file; `None` if the file does not end in `.toml` or is hidden, as the files of editors are.
    ///
    /// # Errors
    /// The file ends in `.toml`, but its name is not a valid tenant name.
    pub fn from_path(path: &Path) -> Option<Result<Self, ConfigError>> {
        let file = path.file_name()?.to_string_lossy();
        let name = file.strip_suffix(".toml").filter(|_| !file.starts_with('.'))?;
        Some(Self::parse(name).map_err(|text| ConfigError::in_file(path, text)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a string can name a tenant, an action or a plugin, see [`NAME`].
pub fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| plain(b) || matches!(b, b'_' | b'-'))
        && name.bytes().next().is_some_and(plain)
}

/// A tenant of the gateway. The name of the file without .toml is the parameter f of its requests.
/// 网关的一个租户。文件名（不含 .toml）即请求参数 f。
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Menlou: a tenant 租户")]
pub struct TenantFile {
    /// Display name: 1 to 64 characters.
    /// 显示名称：1 至 64 个字符。
    #[schemars(extend(
        "minLength" = 1, "maxLength" = 64, "pattern" = "\\S",
        "x-expected" = expected("1 至 64 个字符，不能只有空白", "1 to 64 characters, not only white space"),
    ))]
    pub name: String,
    /// The WeChat mini-program.
    /// 微信小程序。
    pub wechat: Option<WechatConfig>,
    /// Login sessions.
    /// 登录会话。
    #[serde(default)]
    pub session: SessionConfig,
    /// Rate limits and the concurrency limit of the tenant.
    /// 租户的限流与并发上限。
    #[serde(default)]
    pub limits: RateLimitConfig,
    /// Web pages that may call the tenant's actions.
    /// 允许调用该租户动作的网页。
    #[serde(default)]
    pub cors: Cors,
    /// The enabled actions. The name of the table is the parameter a of requests.
    /// 已启用的动作，表名即请求参数 a。
    #[serde(default)]
    #[schemars(extend("propertyNames" = action_names()))]
    pub actions: BTreeMap<String, ActionConfig>,
}

/// `[wechat]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WechatConfig {
    /// AppID of the mini-program.
    /// 小程序的 AppID。
    #[schemars(extend(
        "pattern" = "^wx[0-9a-f]{16}$",
        "x-expected" = expected("wx 加 16 位小写十六进制数字（appid）", "an AppID: wx and 16 hex digits in lower case"),
    ))]
    pub appid: String,
    /// AppSecret of the mini-program: env:NAME, file:PATH, sealed:… (made by menlou secret seal), or the secret itself.
    /// 小程序的 AppSecret：env:变量名、file:路径、sealed:…（由 menlou secret seal 生成），或密钥本身。
    pub secret: SecretRef,
    /// The old AppSecret during a change. It is used when WeChat rejects the new one.
    /// 更换 AppSecret 期间的旧密钥，在微信拒绝新密钥时使用。
    pub previous_secret: Option<SecretRef>,
    /// Base URL of the platform's API. Change it for tests only.
    /// 平台接口地址，仅测试时需要修改。
    #[serde(default = "wechat_address")]
    #[schemars(extend(
        "format" = "base-url",
        "x-expected" = expected(
            "http 或 https 地址，不含用户名、查询串和片段",
            "an http or https URL without user, query or fragment",
        ),
    ))]
    pub base_url: String,
}

fn wechat_address() -> String {
    "https://api.weixin.qq.com".to_owned()
}

/// `[session]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SessionConfig {
    /// Lifetime of a session after the login: 1m to 30d.
    /// 会话自登录起的有效期：1m 至 30d。
    pub ttl: ConfigDuration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { ttl: ConfigDuration::secs(7 * 86_400) }
    }
}

/// `[actions.NAME]`. The other keys are the plugin's own settings, see [`plugin_settings`].
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ActionConfig {
    /// The plugin that serves this action. Default: the plugin with the name of the action.
    /// 提供该动作的插件；默认与动作同名。
    #[schemars(extend("pattern" = NAME, "x-expected" = name_expected()))]
    pub plugin: Option<String>,
    /// Limits of this action, in addition to those of the tenant.
    /// 该动作的限流与并发上限，与租户的上限同时生效。
    #[serde(default)]
    pub limits: RateLimitConfig,
    /// Whether the action is switched off: its settings are kept and not checked, and requests to it are answered as if it
    /// were not in the file.
    /// 是否停用：保留其设置但不校验，对它的请求如同文件中没有该动作。
    #[serde(default)]
    pub disabled: bool,
}

/// The gateway's own keys in `[actions.NAME]`. No plugin may have a setting of these names.
pub const GATEWAY_KEYS: [&str; 3] = ["plugin", "limits", "disabled"];

impl ActionConfig {
    /// The plugin that serves the action `name`.
    pub fn plugin<'a>(&'a self, name: &'a str) -> &'a str {
        self.plugin.as_deref().unwrap_or(name)
    }
}

impl TenantFile {
    /// Reads a tenant's file. The plugins' settings in `[actions.*]` are not checked here: [`plugin_settings`] extracts
    /// them for [`Document::check`] with the plugin's schema. A tenant without actions is valid: every request is
    /// answered with `unknown_action`.
    ///
    /// # Errors
    /// All errors, except those in the plugins' settings.
    pub fn read(doc: &Document) -> Result<Self, Vec<ConfigError>> {
        check_bounds(doc).map_err(|error| vec![error])?;
        let mut errors = doc.check("", &SCHEMA);
        // These checks read the raw values, so that other errors do not hide them.
        let ttl = doc.value("/session/ttl").and_then(Value::as_str).and_then(|t| t.parse::<ConfigDuration>().ok());
        if ttl.is_some_and(|t| !(Duration::from_secs(60)..=Duration::from_secs(30 * 86_400)).contains(&t)) {
            let text = Text::fixed("`ttl` 应在 1m 至 30d 之间", "`ttl` must be from 1m to 30d");
            errors.push(doc.error_with_value("/session/ttl", text));
        }
        if doc.value("/wechat").is_none() {
            let text = Text::fixed("没有配置平台：请添加 [wechat]", "no platform is configured: add a table [wechat]");
            errors.push(doc.error_at("", text));
        }
        errors.extend(limits::errors(doc, "/limits"));
        let actions = doc.value("/actions").and_then(Value::as_object).into_iter().flat_map(|actions| actions.keys());
        errors
            .extend(actions.flat_map(|name| limits::errors(doc, &format!("/actions/{}/limits", schema::escape(name)))));
        load::sort(&mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut file: Self = doc.typed(doc.value("").unwrap_or(&Value::Null)).map_err(|error| vec![error])?;
        if let Some(wechat) = &mut file.wechat {
            wechat.base_url.truncate(wechat.base_url.trim_end_matches('/').len());
        }
        Ok(file)
    }
}

/// Checks the size of a tenant file and the number of its actions, before any work that depends on them.
///
/// # Errors
/// The file is larger than [`MAX_TENANT_FILE_SIZE`] or has more actions than [`MAX_ACTIONS`].
pub fn check_bounds(doc: &Document) -> Result<(), ConfigError> {
    if doc.text().len() > MAX_TENANT_FILE_SIZE {
        let text = Text::fixed(
            "租户文件超过 256 KiB，请缩短文件或拆分为多个租户",
            "the tenant file is larger than 256 KiB: shorten it or split the tenant",
        );
        return Err(ConfigError::in_file(doc.path(), text));
    }
    let count = doc.value("/actions").and_then(Value::as_object).map_or(0, Map::len);
    if count > MAX_ACTIONS {
        let text = Text::new(
            format!("租户最多 {MAX_ACTIONS} 个动作，此文件有 {count} 个"),
            format!("a tenant may have at most {MAX_ACTIONS} actions, and this file has {count}"),
        );
        return Err(doc.error_at_key("/actions", text));
    }
    Ok(())
}

/// The pointer to an action's table in a tenant's file, and a document that contains only the plugin's own settings of
/// that action. The plugin's schema is checked against it.
pub fn plugin_settings(doc: &Document, action: &str) -> (String, Document) {
    let pointer = format!("/actions/{}", schema::escape(action));
    let own = doc.value(&pointer).map(|table| match table {
        Value::Object(table) => {
            let own = table.iter().filter(|(key, _)| !GATEWAY_KEYS.contains(&key.as_str()));
            Value::Object(own.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        other => other.clone(),
    });
    let actions: Map<String, Value> = own.into_iter().map(|own| (action.to_owned(), own)).collect();
    (pointer, doc.with(json!({ "actions": actions })))
}

/// The parts of a tenant's file that are unknown by the gateway's own schema. Plugins' settings are not checked.
pub fn unknown_settings(doc: &Document) -> UnknownSettings {
    UnknownSettings::find(doc, "", &SCHEMA)
}

/// JSON pointers of the gateway's own keys that hold secrets.
pub fn secrets() -> Vec<String> {
    schema::secret_properties(SCHEMA.as_json())
}

/// JSON pointers of the secrets in a tenant's file, without those of plugins.
pub fn secrets_in(file: &Value) -> BTreeSet<String> {
    SCHEMA.secrets(file)
}

/// The JSON Schema of a tenant's file, for editors.
pub fn schema() -> Value {
    schema::generate::<TenantFile>("urn:menlou:schema:tenant")
}

#[expect(clippy::expect_used, reason = "our own schema: it compiles, or each test of this module fails")]
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::compile(&schema()).expect("the tenant's schema"));

fn expected(zh: &str, en: &str) -> Value {
    json!({ "zh": zh, "en": en })
}

fn name_expected() -> Value {
    expected(
        "1 至 64 个小写字母、数字、_ 或 -，且不以 _ 或 - 开头",
        "1 to 64 lower-case letters, digits, _ or -, not starting with _ or -",
    )
}

fn action_names() -> Value {
    json!({ "pattern": NAME, "x-expected": name_expected() })
}
