//! The envelope in OpenAPI: what every action may answer, and with which words.

use super::both;
use http::StatusCode;
use menlou_action::Descriptor;
use menlou_error::{ErrorCode, codes};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The schemas that all actions share.
pub fn schemas() -> Map<String, Value> {
    let names: Vec<&str> = codes::ALL.iter().map(|w| w.name).collect();
    let mut schemas = Map::new();
    schemas.insert(
        "ErrorWord".into(),
        json!({
            "description": "错误词：不会改名；新版本与插件会有新的词。A word is never renamed; new versions and plugins have new ones.",
            "type": "string",
            "anyOf": [{ "enum": names }, { "pattern": "^[a-z][a-z0-9_]*$" }],
            "examples": ["invalid_code", "code_used"],
        }),
    );
    schemas.insert(
        "Failure".into(),
        json!({
            "description": "失败。A failure.",
            "type": "object",
            "required": ["code", "error", "msg", "data"],
            "properties": {
                "code": { "const": 0, "description": "0：失败。0: failed." },
                "error": { "$ref": "#/components/schemas/ErrorWord" },
                "msg": msg(),
                "data": { "type": "object", "description": "如平台的 errcode 与 rid；多为空。Such as the platform's errcode and rid; mostly empty." },
            },
        }),
    );
    schemas
}

/// The schema of an action's success, around that of its `data`.
pub fn success(data: &str) -> Value {
    json!({
        "description": "成功。Success.",
        "type": "object",
        "required": ["code", "msg", "data"],
        "properties": {
            "code": { "const": 1, "description": "1：成功。1: it worked." },
            "msg": msg(),
            "data": { "$ref": format!("#/components/schemas/{data}") },
        },
    })
}

/// What the action with this prefix answers, by status.
pub fn of(prefix: &str, action: &Descriptor) -> Value {
    if action.has_any_media_type() {
        return anything();
    }
    let mut responses = own(prefix, &action.files);
    for (status, _) in by_status() {
        responses.insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{}", name(status)) }));
    }
    Value::Object(responses)
}

/// What stands at all statuses of an action owner answers may be anything.
const REST: &str = "动作的回答，状态码由它决定；网关自己的失败（如 401、429、502、503、504）有信封与 error。\
    The action's answer, with a status of its own; what the gateway itself refuses or could not do \
    (as 401, 429, 502, 503, 504) has the envelope with its error.";

/// Whatever a server answers that the action forwards to, also with the statuses that the gateway has words for.
fn anything() -> Value {
    let of = |about: &str| json!({ "description": about, "content": { "*/*": {} } });
    json!({
        "200": of("动作的回答，原样返回，不套信封。The action's answer, as it is, without an envelope."),
        "4XX": of(REST),
        "default": of(REST),
    })
}

/// The envelope; a file of these media types in its place, if any.
fn own(prefix: &str, files: &[String]) -> Map<String, Value> {
    let schema = json!({ "oneOf": [
        { "$ref": format!("#/components/schemas/{prefix}Success") },
        { "$ref": "#/components/schemas/Failure" },
    ] });
    let mut content = Map::from_iter([("application/json".to_owned(), json!({ "schema": schema }))]);
    // Bytes, of which a schema says nothing.
    content.extend(files.iter().map(|media_type| (media_type.clone(), json!({}))));
    let file = match files.is_empty() {
        true => "",
        false => {
            "\n\n成功时也可能是文件，原样返回，不套信封。A success may be a file, which comes as it is, without an envelope."
        }
    };
    let mut responses = Map::new();
    responses.insert(
        "200".into(),
        json!({
            "description": format!("动作的回答：成功，或它自己判断的失败。What the action answered: success, or a failure that it decided.{file}"),
            "headers": sent_with(200),
            "content": content,
        }),
    );
    responses
}

/// What the gateway answers where it could not serve.
pub fn responses() -> Map<String, Value> {
    let of = |(status, words): (u16, Vec<&ErrorCode>)| {
        let listed: String = words.iter().map(|w| format!("\n- `{}`: {}", w.name, both(&w.text))).collect();
        let example = |w: &&ErrorCode| {
            let value = json!({ "code": 0, "error": w.name, "msg": w.text.zh, "data": {} });
            (w.name.to_owned(), json!({ "summary": both(&w.remedy), "value": value }))
        };
        let names: Vec<&str> = words.iter().map(|w| w.name).collect();
        let response = json!({
            "description": format!("网关未能服务。The gateway could not serve.\n{listed}"),
            "headers": sent_with(status),
            "content": { "application/json": {
                "schema": { "allOf": [
                    { "$ref": "#/components/schemas/Failure" },
                    { "type": "object", "properties": { "error": { "enum": names } } },
                ] },
                "examples": words.iter().map(example).collect::<Map<_, _>>(),
            } },
        });
        (name(status), response)
    };
    by_status().into_iter().map(of).collect()
}

/// The headers that answers have.
pub fn headers() -> Value {
    json!({
        "X-Request-Id": {
            "description": "请求编号，与日志中的一致。The request's id, as it stands in the log.",
            "required": true,
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
        },
        "Content-Language": {
            "description": "msg 的语言。The language of msg.",
            "required": true,
            "schema": { "enum": ["zh-CN", "en"] },
        },
        "Retry-After": {
            "description": "多少秒后值得再试。After how many seconds it is worth trying again.",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "RateLimit-Policy": {
            "description": "生效的频率限制：名称、突发量 q、恢复所需秒数 w；未设限制时没有。The limits that hold: name, burst q, seconds w until a used-up burst is back; absent where there is none.",
            "schema": { "type": "string" },
            "example": "\"calls\";q=100;w=1",
        },
        "RateLimit": {
            "description": "最接近用完的限制：剩余次数 r、恢复所需秒数 t。The limit nearest to its end: r more calls, whole again in t seconds.",
            "schema": { "type": "string" },
            "example": "\"calls\";r=42;t=1",
        },
        "Allow": {
            "description": "该动作支持的 HTTP 方法。The HTTP methods that the action serves.",
            "required": true,
            "schema": { "type": "string" },
        },
    })
}

fn sent_with(status: u16) -> Value {
    let always = ["X-Request-Id", "Content-Language"];
    let also: &[&str] = match status {
        200 => &["RateLimit-Policy", "RateLimit"],
        405 => &["Allow"],
        429 => &["Retry-After", "RateLimit-Policy", "RateLimit"],
        503 => &["Retry-After"],
        _ => &[],
    };
    let headers = always.iter().chain(also);
    headers
        .map(|h| ((*h).to_owned(), json!({ "$ref": format!("#/components/headers/{h}") })))
        .collect::<Map<_, _>>()
        .into()
}

fn msg() -> Value {
    json!({ "type": "string", "description": "给人看的一句话。A sentence for people." })
}

/// `NotFound` for 404.
fn name(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Status");
    reason.split([' ', '-']).collect()
}

/// The words for what the gateway could not serve.
fn by_status() -> BTreeMap<u16, Vec<&'static ErrorCode>> {
    let mut statuses = BTreeMap::<u16, Vec<&ErrorCode>>::new();
    for word in codes::ALL.iter().filter(|w| w.status != 200) {
        statuses.entry(word.status).or_default().push(word);
    }
    statuses
}
