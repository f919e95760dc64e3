//! A tenant's file: its name, its platforms, its sessions, its limits, its actions.

mod cors;
mod limits;

use super::{
    config_error::{ConfigError, quoted},
    duration::ConfigDuration,
    load::{self, Document},
    schema::{self, Schema},
    secret::SecretRef,
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

/// The pattern of the names of tenants, actions and plugins.
pub const NAME: &str = "^[a-z0-9][a-z0-9_-]{0,63}$";

/// The name of a tenant: its file's without `.toml`, and the `f` of its requests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct TenantName(String);

impl TenantName {
    /// Reads a name.
    ///
    /// # Errors
    /// What a name looks like.
    pub fn parse(name: &str) -> Result<Self, Text> {
        if is_name(name) {
            return Ok(Self(name.to_owned()));
        }
        let shown = quoted(name);
        Err(Text::new(
            format!("{shown} 不能用作租户名：应为 1 至 64 个小写字母、数字、_ 或 -，且不以 _ 或 - 开头"),
            format!(
                "{shown} is no tenant's name, which is 1 to 64 lower-case letters, digits, _ or -, not starting with _ or -"
            ),
        ))
    }

    /// The tenant that a file is of: `None` where it does not end in `.toml`, or is hidden (editors' own).
    ///
    /// # Errors
    /// A `.toml` file whose name is no tenant's.
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

/// Whether this can name a tenant, an action or a plugin: [`NAME`].
pub fn is_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| plain(b) || matches!(b, b'_' | b'-'))
        && name.bytes().next().is_some_and(plain)
}

/// A tenant of the gateway. The file's name, without .toml, is the `f` of its requests.
/// 网关的一个租户。文件名（不含 .toml）即请求中的 f。
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Menlou: a tenant 租户")]
pub struct TenantFile {
    /// The name for people: 1 to 64 characters.
    /// 显示名称：1 至 64 个字符。
    #[schemars(extend(
        "minLength" = 1, "maxLength" = 64, "pattern" = "\\S",
        "x-expected" = expected("1 至 64 个字符，不能只有空白", "1 to 64 characters, not all blank"),
    ))]
    pub name: String,
    /// The WeChat mini-program.
    /// 微信小程序。
    pub wechat: Option<WechatConfig>,
    /// How long people stay logged in.
    /// 登录会话。
    #[serde(default)]
    pub session: SessionConfig,
    /// How much of the gateway the tenant may take.
    /// 租户的用量上限。
    #[serde(default)]
    pub limits: RateLimitConfig,
    /// Which web pages may call.
    /// 允许哪些网页调用。
    #[serde(default)]
    pub cors: Cors,
    /// The actions that are switched on; a table's name is the `a` of the requests.
    /// 开启的动作，表名即请求中的 a。
    #[serde(default)]
    #[schemars(extend("propertyNames" = action_names()))]
    pub actions: BTreeMap<String, ActionConfig>,
}

/// `[wechat]`
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WechatConfig {
    /// The mini-program's AppID.
    /// 小程序的 AppID。
    #[schemars(extend(
        "pattern" = "^wx[0-9a-f]{16}$",
        "x-expected" = expected("wx 加 16 位小写十六进制数字（appid）", "an appid, which looks like wx + 16 hex digits in lower case"),
    ))]
    pub appid: String,
    /// The mini-program's AppSecret: env:NAME, file:PATH, sealed:… (menlou secret seal), or the secret itself.
    /// 小程序的 AppSecret：env:变量名、file:路径、sealed:…（menlou secret seal 生成），或密钥本身。
    pub secret: SecretRef,
    /// While the AppSecret is being changed: the old one, which serves wherever WeChat refuses the new one.
    /// 更换 AppSecret 期间的旧密钥：微信不认新密钥时用它。
    pub previous_secret: Option<SecretRef>,
    /// The platform's address; another one for tests only.
    /// 平台接口地址，仅测试时需要改动。
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
    /// How long a session lives after its last log-in: 1m to 30d.
    /// 会话自登录起的有效期：1m 至 30d。
    pub ttl: ConfigDuration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self { ttl: ConfigDuration::secs(7 * 86_400) }
    }
}

/// `[actions.NAME]`. The other keys are the plugin's own settings, which its own schema describes: [`plugin_settings`] has them.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct ActionConfig {
    /// The plugin that serves this action; the same as the action's name when absent.
    /// 提供该动作的插件；不填时与动作同名。
    #[schemars(extend("pattern" = NAME, "x-expected" = name_expected()))]
    pub plugin: Option<String>,
    /// How much of the gateway the action may take, besides the tenant's own limits.
    /// 该动作的用量上限，与租户自身的上限同时生效。
    #[serde(default)]
    pub limits: RateLimitConfig,
}

/// The keys of `[actions.NAME]` that are the gateway's own: no plugin has a setting of such a name.
pub const GATEWAY_KEYS: [&str; 2] = ["plugin", "limits"];

impl ActionConfig {
    /// The plugin that serves the action `name`.
    pub fn plugin<'a>(&'a self, name: &'a str) -> &'a str {
        self.plugin.as_deref().unwrap_or(name)
    }
}

impl TenantFile {
    /// Reads a tenant. What belongs to plugins, `[actions.*]`, is not looked at: [`plugin_settings`] gives it to
    /// [`Document::check`] with the plugin's schema. A tenant without actions is allowed: it answers every call with
    /// `unknown_action`, and does no harm.
    ///
    /// # Errors
    /// Every fault but the plugins' own.
    pub fn read(doc: &Document) -> Result<Self, Vec<ConfigError>> {
        let mut faults = doc.check("", &SCHEMA);
        // These read the raw values, so that a fault elsewhere hides none of them.
        let ttl = doc.value("/session/ttl").and_then(Value::as_str).and_then(|t| t.parse::<ConfigDuration>().ok());
        if ttl.is_some_and(|t| !(Duration::from_secs(60)..=Duration::from_secs(30 * 86_400)).contains(&t)) {
            let text = Text::fixed("`ttl` 应在 1m 至 30d 之间", "`ttl` must be from 1m to 30d");
            faults.push(doc.fault_showing("/session/ttl", text));
        }
        if doc.value("/wechat").is_none() {
            let text = Text::fixed("没有配置平台：请添加 [wechat]", "there is no platform: add a table [wechat]");
            faults.push(doc.fault_at("", text));
        }
        faults.extend(limits::faults(doc, "/limits"));
        let actions = doc.value("/actions").and_then(Value::as_object).into_iter().flat_map(|actions| actions.keys());
        faults
            .extend(actions.flat_map(|name| limits::faults(doc, &format!("/actions/{}/limits", schema::escape(name)))));
        load::sort(&mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut file: Self = doc.typed(doc.value("").unwrap_or(&Value::Null)).map_err(|fault| vec![fault])?;
        if let Some(wechat) = &mut file.wechat {
            wechat.base_url.truncate(wechat.base_url.trim_end_matches('/').len());
        }
        Ok(file)
    }
}

/// Where the settings of an action stand in a tenant's file, and the document with these alone, without the gateway's own
/// keys: what a plugin's schema is checked against.
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

/// Whether the gateway's own keys in a tenant's file are as they should be, those of plugins left aside.
pub fn fits(doc: &Document) -> bool {
    doc.check("", &SCHEMA).is_empty()
}

/// The pointers of the gateway's own keys that hold secrets.
pub fn secrets() -> Vec<String> {
    schema::secret_properties(SCHEMA.as_json())
}

/// Where secrets stand in what a tenant's file says, those of plugins left aside.
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
