//! The OpenAPI 3.1 document of the actions, generated from the descriptions in their plugins.

mod responses;
pub(crate) mod schema_names;
mod schemas;

use crate::bilingual::on_one_line;
use http::Method;
use menlou_action::NamedAction;
use menlou_config::tenant::NAME;
use menlou_error::text::Text;
use menlou_policy::Access;
use schema_names::with_prefixes;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;

/// The tag of all operations.
const TAG: &str = "actions";

/// Generates the document. With a tenant, the paths contain its name; otherwise the tenant is a parameter of the path. The
/// same actions always result in the same document.
///
/// `listen` is the address of the traffic listener, which the document gives as the default server.
pub fn document<'a>(
    tenant: Option<&str>,
    actions: impl IntoIterator<Item = NamedAction<'a>>,
    listen: SocketAddr,
) -> Value {
    let (mut paths, mut schemas) = (Map::new(), responses::schemas());
    for (action, prefix) in with_prefixes(actions) {
        let NamedAction { name, descriptor, .. } = action;
        let base = format!("/srv/{}/{name}", tenant.unwrap_or("{tenant}"));
        for (path, is_subpath) in [(base.clone(), false), (base + "/{path}", true)] {
            if is_subpath && !descriptor.flags.subpaths {
                continue;
            }
            let mut item = Map::new();
            for method in &descriptor.methods {
                let operation = operation(action, method, &prefix, tenant.is_none(), is_subpath);
                item.insert(method.as_str().to_lowercase(), operation);
            }
            paths.insert(path, Value::Object(item));
        }
        schemas.extend(schemas::for_action(descriptor, &prefix));
    }
    let title = tenant.map_or_else(|| "Menlou 门楼".to_owned(), |tenant| format!("Menlou 门楼: {tenant}"));
    let mut parameters = json!({
        "language": {
            "name": "Accept-Language", "in": "header",
            "description": "msg 的语言：默认中文，也可为英文。The language of msg: Chinese, or English if preferred.",
            "schema": { "type": "string", "examples": ["zh-CN", "en"] },
        },
        "request_id": {
            "name": "X-Request-Id", "in": "header",
            "description": "请求编号：1 至 64 个字母、数字、. _ -，在响应中原样返回；其他值由网关替换。The request id: 1 to 64 \
                letters, digits, . _ -. The response returns it unchanged; any other value is replaced by the gateway.",
            "schema": { "type": "string" },
        },
    });
    parameters["path"] = json!({
        "name": "path", "in": "path", "required": true,
        "description": "动作之后的路径，可含 /（OpenAPI 无法表达）。The path after the action. It may contain slashes, which \
            OpenAPI cannot express.",
        "schema": { "type": "string" },
    });
    parameters["query"] = json!({
        "name": "query", "in": "query", "style": "form", "explode": true,
        "description": "任意查询串，原样传给动作。Any query, passed to the action unchanged.",
        "schema": { "type": "object", "additionalProperties": true },
    });
    if tenant.is_none() {
        parameters["tenant"] = json!({
            "name": "tenant", "in": "path", "required": true,
            "description": "租户，即 ?f=&a= 中的 f。The tenant: the f in ?f=&a=.",
            "schema": { "type": "string", "pattern": NAME },
        });
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": title, "version": env!("CARGO_PKG_VERSION"), "description": description(tenant) },
        "servers": [{
            "url": "{gateway}",
            "description": "网关对外的地址。The address at which clients reach the gateway.",
            "variables": { "gateway": { "default": default_server(listen) } },
        }],
        "tags": [{ "name": TAG, "description": "动作 · Actions" }],
        "paths": paths,
        "components": {
            "parameters": parameters,
            "headers": responses::headers(),
            "responses": responses::responses(),
            "schemas": schemas,
            "securitySchemes": { "bearerAuth": {
                "type": "http", "scheme": "bearer",
                "description": "a=openid 返回的 data.session.token。The data.session.token in the response of a=openid.",
            } },
        },
    })
}

fn operation(
    NamedAction { name, access, descriptor }: NamedAction<'_>,
    method: &Method,
    prefix: &str,
    has_tenant_param: bool,
    is_subpath: bool,
) -> Value {
    let mut id = match descriptor.methods.len() {
        1 => name.to_owned(),
        _ => format!("{name}-{}", method.as_str().to_lowercase()),
    };
    if is_subpath {
        id += "-path";
    }
    let takes = descriptor.flags;
    let given = [(has_tenant_param, "tenant"), (is_subpath, "path"), (takes.raw_query, "query")];
    let given = given.into_iter().filter_map(|(holds, name)| holds.then_some(name));
    let shared = given.chain(["language", "request_id"]);
    let mut parameters: Vec<Value> =
        shared.map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })).collect();
    let Text { zh, en } = &descriptor.description;
    let (access_zh, access_en) = match access {
        Access::Anyone => ("", ""),
        Access::Optional => ("会话可选。", "A session is optional."),
        Access::Session => ("需要会话。", "Requires a session."),
        Access::User => ("需要登录。", "Requires login."),
    };
    let mut operation = json!({
        "operationId": id,
        "tags": [TAG],
        "summary": if descriptor.title.zh.is_empty() && descriptor.title.en.is_empty() { name.to_owned() } else { on_one_line(&descriptor.title) },
        "description": format!("{zh}{access_zh}\n\n{en} {access_en}\n\n`?a={name}`").replace(" \n", "\n").trim().to_owned(),
        "security": match access {
            Access::Anyone => json!([]),
            Access::Optional => json!([{}, { "bearerAuth": [] }]),
            Access::Session | Access::User => json!([{ "bearerAuth": [] }]),
        },
        "responses": responses::for_action(prefix, descriptor),
    });
    if schemas::has_body(method) {
        operation["requestBody"] = match takes.raw_body {
            // Arbitrary bytes have no schema.
            true => json!({ "content": { "*/*": {} } }),
            false => schemas::body(descriptor.params.as_json(), prefix),
        };
    } else if !takes.raw_query {
        parameters.extend(schemas::query(descriptor.params.as_json()));
    }
    operation["parameters"] = Value::Array(parameters);
    operation
}

fn description(tenant: Option<&str>) -> String {
    let f = tenant.unwrap_or("{tenant}");
    format!(
        "动作由插件提供，每个动作对应一条路径。路径 `/srv/{f}/{{action}}` 与 `/srv/?f={f}&a={{action}}` 等价；\
        OpenAPI 无法按查询参数区分操作，因此使用路径形式。\n\n\
        参数可以放在 JSON 请求体、表单或查询串中；同名时以请求体为准。空字符串与 null 视为未提供。请勿将登录 code 放在地址中。\n\n\
        每个响应都是 `{{\"code\":1|0,\"msg\":…,\"data\":{{…}}}}`；失败时 `code` 为 0，并带有 `error`，即稳定不变的错误码。\
        HTTP 200 表示结果由动作决定，4xx 与 5xx 表示网关无法处理请求。\n\n\
        Plugins provide the actions; each action has its own path. `/srv/{f}/{{action}}` is equivalent to \
        `/srv/?f={f}&a={{action}}`. OpenAPI cannot distinguish operations by a query parameter, therefore the path form is \
        used.\n\n\
        Parameters can be sent in a JSON body, a form or the query. If a name occurs in both, the body takes precedence. An \
        empty string and null count as absent. Do not put login codes into URLs.\n\n\
        Every response is `{{\"code\":1|0,\"msg\":…,\"data\":{{…}}}}`. A failure has `code` 0 and an `error`, a stable error \
        code. HTTP 200 means that the action decided the result, 4xx and 5xx that the gateway could not serve the request."
    )
}

fn default_server(listen: SocketAddr) -> String {
    match listen.ip().is_unspecified() {
        true => format!("http://127.0.0.1:{}", listen.port()),
        false => format!("http://{listen}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_server_is_reachable_from_this_host() {
        assert_eq!(default_server("0.0.0.0:8080".parse().unwrap()), "http://127.0.0.1:8080");
        assert_eq!(default_server("[::1]:80".parse().unwrap()), "http://[::1]:80");
    }
}
