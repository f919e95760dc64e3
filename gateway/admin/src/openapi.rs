//! The OpenAPI 3.1 document of the actions, built from what their plugins say of them.

mod answers;
mod schemas;

use http::Method;
use menlou_action::NamedAction;
use menlou_config::tenant::NAME;
use menlou_error::text::Text;
use menlou_policy::Access;
use serde_json::{Map, Value, json};
use std::{collections::BTreeSet, net::SocketAddr};

/// What all operations stand under.
const TAG: &str = "actions";

/// Builds the document: of one tenant's actions, its name in the paths, or of all actions, the tenant a parameter of the
/// path. The same actions always make the same document.
///
/// `listen` is where the gateway listens: the server that the document proposes.
pub fn document<'a>(
    tenant: Option<&str>,
    actions: impl IntoIterator<Item = NamedAction<'a>>,
    listen: SocketAddr,
) -> Value {
    let (mut paths, mut schemas) = (Map::new(), answers::schemas());
    for (action, prefix) in with_prefixes(actions) {
        let NamedAction { name, descriptor, .. } = action;
        let base = format!("/srv/{}/{name}", tenant.unwrap_or("{tenant}"));
        for (path, beneath) in [(base.clone(), false), (base + "/{path}", true)] {
            if beneath && !descriptor.flags.subpaths {
                continue;
            }
            let mut item = Map::new();
            for method in &descriptor.methods {
                let operation = operation(action, method, &prefix, tenant.is_none(), beneath);
                item.insert(method.as_str().to_lowercase(), operation);
            }
            paths.insert(path, Value::Object(item));
        }
        schemas.extend(schemas::of(descriptor, &prefix));
    }
    let title = tenant.map_or_else(|| "Menlou 门楼".to_owned(), |tenant| format!("Menlou 门楼: {tenant}"));
    let mut parameters = json!({
        "language": {
            "name": "Accept-Language", "in": "header",
            "description": "msg 的语言：中文（缺省）或英文。The language of msg: Chinese, unless English is preferred.",
            "schema": { "type": "string", "examples": ["zh-CN", "en"] },
        },
        "request_id": {
            "name": "X-Request-Id", "in": "header",
            "description": "请求编号：1 至 64 个字母、数字、. _ -，原样返回；否则由网关另给。The request's id: 1 to 64 letters, \
                digits, . _ -, sent back as it came; anything else is replaced by one of the gateway's.",
            "schema": { "type": "string" },
        },
    });
    parameters["path"] = json!({
        "name": "path", "in": "path", "required": true,
        "description": "动作之下的路径，可含 /（OpenAPI 无法表达）。The path beneath the action; it may hold slashes, which \
            OpenAPI can't say.",
        "schema": { "type": "string" },
    });
    parameters["query"] = json!({
        "name": "query", "in": "query", "style": "form", "explode": true,
        "description": "任意查询串，原样交给动作。Any query: it goes to the action as it is.",
        "schema": { "type": "object", "additionalProperties": true },
    });
    if tenant.is_none() {
        parameters["tenant"] = json!({
            "name": "tenant", "in": "path", "required": true,
            "description": "租户。The tenant: the f of ?f=&a=.",
            "schema": { "type": "string", "pattern": NAME },
        });
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": title, "version": env!("CARGO_PKG_VERSION"), "description": about(tenant) },
        "servers": [{
            "url": "{gateway}",
            "description": "网关对外的地址。Where clients reach the gateway.",
            "variables": { "gateway": { "default": base(listen) } },
        }],
        "tags": [{ "name": TAG, "description": "动作 · Actions" }],
        "paths": paths,
        "components": {
            "parameters": parameters,
            "headers": answers::headers(),
            "responses": answers::responses(),
            "schemas": schemas,
            "securitySchemes": { "bearerAuth": {
                "type": "http", "scheme": "bearer",
                "description": "a=openid 返回的 data.session.token。The data.session.token that a=openid answered.",
            } },
        },
    })
}

/// Each action with the name that its schemas and types start with: `check-text` is `CheckText`. Where two actions would
/// share one, the later has a number behind it.
pub(super) fn with_prefixes<'a>(actions: impl IntoIterator<Item = NamedAction<'a>>) -> Vec<(NamedAction<'a>, String)> {
    let mut actions: Vec<NamedAction<'a>> = actions.into_iter().collect();
    actions.sort_by_key(|action| action.name);
    let mut taken = BTreeSet::new();
    let prefixed = actions.into_iter().map(|action| {
        let plain = pascal(action.name);
        let numbered = (2..).map(|n| format!("{plain}_{n}"));
        let free = std::iter::once(plain.clone()).chain(numbered).find(|p| !taken.contains(p)).unwrap_or(plain);
        taken.insert(free.clone());
        (action, free)
    });
    prefixed.collect()
}

/// BilingualText languages on one line, for where there is one line only.
pub(super) fn both(text: &Text) -> String {
    match (text.zh.is_empty(), text.en.is_empty()) {
        (true, _) => text.en.to_string(),
        (_, true) => text.zh.to_string(),
        _ => format!("{} · {}", text.zh, text.en),
    }
}

fn operation(
    NamedAction { name, access, descriptor }: NamedAction<'_>,
    method: &Method,
    prefix: &str,
    of_any_tenant: bool,
    beneath: bool,
) -> Value {
    let mut id = match descriptor.methods.len() {
        1 => name.to_owned(),
        _ => format!("{name}-{}", method.as_str().to_lowercase()),
    };
    if beneath {
        id += "-path";
    }
    let takes = descriptor.flags;
    let given = [(of_any_tenant, "tenant"), (beneath, "path"), (takes.raw_query, "query")];
    let given = given.into_iter().filter_map(|(holds, name)| holds.then_some(name));
    let shared = given.chain(["language", "request_id"]);
    let mut parameters: Vec<Value> =
        shared.map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })).collect();
    let Text { zh, en } = &descriptor.description;
    let (who_zh, who_en) = match access {
        Access::Anyone => ("", ""),
        Access::Optional => ("可带会话。", "May have a session."),
        Access::Session => ("须有会话。", "Needs a session."),
        Access::User => ("须已登录。", "Needs a log-in."),
    };
    let mut operation = json!({
        "operationId": id,
        "tags": [TAG],
        "summary": if descriptor.title.zh.is_empty() && descriptor.title.en.is_empty() { name.to_owned() } else { both(&descriptor.title) },
        "description": format!("{zh}{who_zh}\n\n{en} {who_en}\n\n`?a={name}`").replace(" \n", "\n").trim().to_owned(),
        "security": match access {
            Access::Anyone => json!([]),
            Access::Optional => json!([{}, { "bearerAuth": [] }]),
            Access::Session | Access::User => json!([{ "bearerAuth": [] }]),
        },
        "responses": answers::of(prefix, descriptor),
    });
    if schemas::has_body(method) {
        operation["requestBody"] = match takes.raw_body {
            // Bytes, of which a schema says nothing.
            true => json!({ "content": { "*/*": {} } }),
            false => schemas::body(descriptor.params.as_json(), prefix),
        };
    } else if !takes.raw_query {
        parameters.extend(schemas::query(descriptor.params.as_json()));
    }
    operation["parameters"] = Value::Array(parameters);
    operation
}

fn about(tenant: Option<&str>) -> String {
    let f = tenant.unwrap_or("{tenant}");
    format!(
        "动作由插件提供，下面每个动作一条路径。每条路径 `/srv/{f}/{{action}}` 与 `/srv/?f={f}&a={{action}}` 完全等同：\
        OpenAPI 无法按查询参数区分操作，所以这里写成路径。\n\n\
        参数可以放在 JSON 请求体、表单或查询串中；同名时以请求体为准。空字符串与 null 视为没有给。登录凭证不要放在地址里。\n\n\
        每个回答都是 `{{\"code\":1|0,\"msg\":…,\"data\":{{…}}}}`；失败时 `code` 为 0，并有 `error`：不会改名的错误词。\
        HTTP 200 是动作自己的判断，4xx 与 5xx 表示网关未能服务。\n\n\
        Actions come from plugins; each has a path of its own here. `/srv/{f}/{{action}}` is the same as \
        `/srv/?f={f}&a={{action}}`: OpenAPI can't tell operations apart by a query parameter, so the path form is shown.\n\n\
        Parameters may come in a JSON body, a form or the query; where a name stands in both, the body counts. An empty \
        string or null counts as absent. Keep login codes out of URLs.\n\n\
        Every answer is `{{\"code\":1|0,\"msg\":…,\"data\":{{…}}}}`; a failure has `code` 0 and an `error`, a word that is \
        never renamed. HTTP 200 is what an action decided, 4xx and 5xx that the gateway could not serve."
    )
}

fn base(listen: SocketAddr) -> String {
    match listen.ip().is_unspecified() {
        true => format!("http://127.0.0.1:{}", listen.port()),
        false => format!("http://{listen}"),
    }
}

fn pascal(name: &str) -> String {
    let parts = name.split(['-', '_']).filter(|part| !part.is_empty());
    let joined: String = parts.map(|part| part[..1].to_uppercase() + &part[1..]).collect();
    // A name may start with a digit; a TypeScript type's may not.
    match joined.starts_with(|c: char| c.is_ascii_digit()) {
        true => format!("A{joined}"),
        false => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_schemas_are_names_in_typescript_too() {
        for (name, wanted) in [("openid", "Openid"), ("check-text", "CheckText"), ("a_b", "AB"), ("2fa-", "A2fa")] {
            assert_eq!(pascal(name), wanted);
        }
    }

    #[test]
    fn the_proposed_server_can_be_called() {
        assert_eq!(base("0.0.0.0:8080".parse().unwrap()), "http://127.0.0.1:8080");
        assert_eq!(base("[::1]:80".parse().unwrap()), "http://[::1]:80");
    }
}
