//! Responses in the OpenAPI document: the envelope of every action and the errors of the gateway.

use crate::bilingual::on_one_line;
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
        "ErrorCode".into(),
        json!({
            "description": "错误码，稳定不变；新版本与插件会增加新的错误码。Error codes are stable; new versions and plugins add new ones.",
            "type": "string",
            "anyOf": [{ "enum": names }, { "pattern": "^[a-z][a-z0-9_]*$" }],
            "examples": ["invalid_code", "code_used"],
        }),
    );
    schemas.insert(
        "Failure".into(),
        json!({
            "description": "失败。Failure.",
            "type": "object",
            "required": ["code", "error", "msg", "data"],
            "properties": {
                "code": { "const": 0, "description": "0：失败。0: failure." },
                "error": { "$ref": "#/components/schemas/ErrorCode" },
                "msg": msg(),
                "data": {
                    "type": "object",
                    "description": "如平台的 errcode 与 rid。For example the platform's errcode and rid.",
                    "properties": {
                        "detail": { "type": "string", "description": "给开发者的说明，如哪个参数、应为何种类型；msg 则给用户看。For developers: which parameter, which type. msg is for users." },
                    },
                },
            },
        }),
    );
    schemas
}

/// The schema of a successful response. `data` names the schema of its data.
pub fn success(data: &str) -> Value {
    json!({
        "description": "成功。Success.",
        "type": "object",
        "required": ["code", "msg", "data"],
        "properties": {
            "code": { "const": 1, "description": "1：成功。1: success." },
            "msg": msg(),
            "data": { "$ref": format!("#/components/schemas/{data}") },
        },
    })
}

/// The responses of an action by status. `prefix` is the prefix of its schemas.
pub fn for_action(prefix: &str, action: &Descriptor) -> Value {
    if action.has_any_media_type() {
        return anything();
    }
    let mut responses = own(prefix, &action.files);
    for (status, _) in by_status() {
        responses
            .insert(status.to_string(), json!({ "$ref": format!("#/components/responses/{}", response_name(status)) }));
    }
    Value::Object(responses)
}

/// The description of all other statuses of an action that may respond with any media type.
const OTHER_STATUSES: &str = "动作的响应，状态码由动作决定；网关自身的错误（如 401、429、502、503、504）使用统一信封并带 error。\
    The response of the action, with a status of its own. Errors of the gateway itself \
    (such as 401, 429, 502, 503, 504) have the envelope with an error code.";

/// The responses of an action that forwards to another server, which may use any status and media type.
fn anything() -> Value {
    let of = |about: &str| json!({ "description": about, "content": { "*/*": {} } });
    json!({
        "200": of("动作的响应，原样返回，不带信封。The response of the action, unchanged and without an envelope."),
        "4XX": of(OTHER_STATUSES),
        "default": of(OTHER_STATUSES),
    })
}

/// The 200 response: the envelope, or a file of one of these media types.
fn own(prefix: &str, files: &[String]) -> Map<String, Value> {
    let schema = json!({ "oneOf": [
        { "$ref": format!("#/components/schemas/{prefix}Success") },
        { "$ref": "#/components/schemas/Failure" },
    ] });
    let mut content = Map::from_iter([("application/json".to_owned(), json!({ "schema": schema }))]);
    // Arbitrary bytes have no schema.
    content.extend(files.iter().map(|media_type| (media_type.clone(), json!({}))));
    let file = match files.is_empty() {
        true => "",
        false => "\n\n成功时也可能返回文件，不带信封。A success may be a file without an envelope.",
    };
    let mut responses = Map::new();
    responses.insert(
        "200".into(),
        json!({
            "description": format!("动作的响应：成功，或由动作判定的失败。The response of the action: success, or a failure that the action decided.{file}"),
            "headers": response_headers(200),
            "content": content,
        }),
    );
    responses
}

/// The responses for errors of the gateway, by the name of the status.
pub fn responses() -> Map<String, Value> {
    let of = |(status, error_codes): (u16, Vec<&ErrorCode>)| {
        let listed: String =
            error_codes.iter().map(|w| format!("\n- `{}`: {}", w.name, on_one_line(w.meaning()))).collect();
        let example = |w: &&ErrorCode| {
            let data = w.detail.as_ref().map_or_else(|| json!({}), |detail| json!({ "detail": detail.zh }));
            let value = json!({ "code": 0, "error": w.name, "msg": w.text.zh, "data": data });
            (w.name.to_owned(), json!({ "summary": on_one_line(&w.remedy), "value": value }))
        };
        let names: Vec<&str> = error_codes.iter().map(|w| w.name).collect();
        let response = json!({
            "description": format!("网关无法处理请求。The gateway could not serve the request.\n{listed}"),
            "headers": response_headers(status),
            "content": { "application/json": {
                "schema": { "allOf": [
                    { "$ref": "#/components/schemas/Failure" },
                    { "type": "object", "properties": { "error": { "enum": names } } },
                ] },
                "examples": error_codes.iter().map(example).collect::<Map<_, _>>(),
            } },
        });
        (response_name(status), response)
    };
    by_status().into_iter().map(of).collect()
}

/// The response headers.
pub fn headers() -> Value {
    json!({
        "X-Request-Id": {
            "description": "请求编号，与日志中的一致。The request id, as in the log.",
            "required": true,
            "schema": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
        },
        "Content-Language": {
            "description": "msg 的语言。The language of msg.",
            "required": true,
            "schema": { "enum": ["zh-CN", "en"] },
        },
        "Retry-After": {
            "description": "建议的重试等待秒数。Seconds to wait before retrying.",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "RateLimit-Policy": {
            "description": "生效的频率限制：名称、突发量 q、恢复所需秒数 w；未设限制时省略。The rate limits in effect: name, burst q, seconds w until the burst is restored. Absent without a limit.",
            "schema": { "type": "string" },
            "example": "\"calls\";q=100;w=1",
        },
        "RateLimit": {
            "description": "剩余最少的限制：剩余次数 r、恢复所需秒数 t。The limit with the least remaining: r requests, fully restored in t seconds.",
            "schema": { "type": "string" },
            "example": "\"calls\";r=42;t=1",
        },
        "Allow": {
            "description": "该动作支持的 HTTP 方法。The HTTP methods that the action supports.",
            "required": true,
            "schema": { "type": "string" },
        },
    })
}

fn response_headers(status: u16) -> Value {
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
    json!({ "type": "string", "description": "面向用户的提示。A message for people." })
}

/// `NotFound` for 404.
fn response_name(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or("Status");
    reason.split([' ', '-']).collect()
}

/// The error codes of the gateway by status, except those with status 200.
fn by_status() -> BTreeMap<u16, Vec<&'static ErrorCode>> {
    let mut statuses = BTreeMap::<u16, Vec<&ErrorCode>>::new();
    for code in codes::ALL.iter().filter(|w| w.status != 200) {
        statuses.entry(code.status).or_default().push(code);
    }
    statuses
}
