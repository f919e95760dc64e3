//! The file of a new tenant: every setting with a comment in both languages; defaults are commented out.

use menlou_action::Descriptor;
use menlou_config::schema::is_secret;
use serde_json::{Value, json};

/// The content of a new tenant file.
pub struct NewTenant<'a> {
    /// Name of the tenant.
    pub tenant: &'a str,
    /// Display name.
    pub name: &'a str,
    /// The AppID.
    pub appid: &'a str,
    /// The AppSecret, or where it is.
    pub secret: &'a str,
    /// Address of the platform, if not the default.
    pub base_url: Option<&'a str>,
    /// The actions that are enabled.
    pub actions: Vec<&'a Descriptor>,
}

/// Values of required settings that have no default: action, setting, value.
const INITIAL_VALUES: &[(&str, &str, &[&str])] = &[("login", "methods", &["phone", "password", "profile"])];

/// The text of the file.
pub fn new_tenant_file(new_tenant: &NewTenant<'_>) -> String {
    let NewTenant { tenant, name, appid, secret, base_url, actions } = new_tenant;
    let mut text = format!(
        "# 租户 {tenant}：文件名（不含 .toml）即请求中的 f；保存后网关自动生效。检查：menlou tenant verify {tenant}\n\
         # Tenant {tenant}: the file name without .toml is the f of its requests. Saved changes take effect automatically.\n\
         # Check with: menlou tenant verify {tenant}\n\n\
         # 显示名称。\n\
         # The display name.\n\
         name = {}\n\n\
         [wechat]\n\
         # 小程序后台 mp.weixin.qq.com“开发管理 → 开发设置”中的 AppID 与 AppSecret。\n\
         # AppID and AppSecret, from mp.weixin.qq.com (开发管理 → 开发设置).\n\
         appid = {}\n\
         # \"env:变量名\"、\"file:路径\"、\"sealed:…\"（menlou secret seal 生成），或密钥本身；不会出现在日志中。\n\
         # \"env:NAME\", \"file:PATH\", \"sealed:…\" (menlou secret seal), or the secret itself. It never appears in logs.\n\
         secret = {}\n",
        quoted(name),
        quoted(appid),
        quoted(secret),
    );
    if let Some(base_url) = base_url {
        text.push_str(&format!(
            "# 平台接口地址，仅测试时需要；接入真实微信时删掉此行。\n\
             # The platform's base URL, for tests only. Remove this line to use the real WeChat.\n\
             base_url = {}\n",
            quoted(base_url)
        ));
    }
    text.push_str(
        "\n[session]\n\
         # 登录会话的有效期：1m 至 30d。\n\
         # Lifetime of login sessions: 1m to 30d.\n\
         ttl = \"7d\"\n\n\
         [limits]\n\
         # 调用频率上限，超出的返回 429；单位 s、m、h、d，可加突发量：\"10/s burst 50\"。单个动作的上限写在 [actions.名称.limits]。\n\
         # Rate limits; requests beyond them get 429. The unit is s, m, h or d, a burst is optional: \"10/s burst 50\".\n\
         # Limits of a single action belong in [actions.NAME.limits].\n\
         #calls = \"1000/s\"\n\
         #per_address = \"50/s\"\n\
         #per_openid = \"10/s\"\n\
         # 同时处理的请求数上限，超出的返回 503。\n\
         # Maximum number of concurrent requests; requests beyond it get 503.\n\
         #max_concurrent = 200\n\n\
         [cors]\n\
         # 允许调用的网页（H5）来源；小程序不需要。\n\
         # Origins of web pages (H5) that may send requests. Mini-programs need none.\n\
         #origins = [\"https://h5.example.com\"]\n\n\
         # 每个 [actions.名称] 表开启一个 a=名称。\n\
         # Each table [actions.NAME] enables the action a=NAME.\n",
    );
    for action in actions {
        text.push_str(&format!("\n# {} · {}\n[actions.{}]\n", action.title.zh, action.title.en, action.name));
        settings(&mut text, action);
    }
    text
}

fn settings(text: &mut String, action: &Descriptor) {
    let schema = action.settings.as_json();
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |key: &str| required.is_some_and(|r| r.iter().any(|name| name == key));
    let mut properties: Vec<_> = schema.get("properties").and_then(Value::as_object).into_iter().flatten().collect();
    properties.sort_by_key(|(key, _)| !is_required(key));
    for (key, property) in properties {
        let about = property.get("description").and_then(Value::as_str).unwrap_or_default();
        let about = about.split_whitespace().collect::<Vec<_>>().join(" ");
        if !about.is_empty() {
            text.push_str(&format!("# {about}\n"));
        }
        let initial =
            INITIAL_VALUES.iter().find(|(a, k, _)| *a == action.name && k == key).map(|(_, _, value)| json!(value));
        let default = property.get("default").filter(|d| !d.is_null()).cloned();
        match (initial, default) {
            (Some(value), _) if is_required(key) => text.push_str(&line(key, &value)),
            (_, Some(value)) => text.push_str(&format!("#{}", line(key, &value))),
            _ => text.push_str(&format!("#{}", line(key, &example(property)))),
        }
    }
}

/// An example of the right type for a setting without a default.
fn example(property: &Value) -> Value {
    let kind = property.get("type").map(|t| t.as_array().and_then(|types| types.first()).unwrap_or(t));
    match kind.and_then(Value::as_str) {
        _ if is_secret(property) => json!("env:NAME"),
        Some("integer" | "number") => json!(0),
        Some("boolean") => json!(false),
        Some("array") => json!([]),
        Some("object") => json!({}),
        _ => json!("…"),
    }
}

fn line(key: &str, value: &Value) -> String {
    // Every default has a TOML form: only numbers outside TOML's range have none.
    let value = menlou_config::edit::toml_value(value).map(|v| v.to_string()).unwrap_or_default();
    format!("{} = {}\n", toml_edit::Key::new(key).display_repr(), value.trim())
}

fn quoted(text: &str) -> String {
    toml_edit::Value::from(text).to_string()
}
