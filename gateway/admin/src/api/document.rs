//! The API's own OpenAPI 3.1 document, made from the table of routes and the types that they take and give.

use super::{
    BASE,
    request::Brings,
    response::Failure,
    routes::{Of, Route, by_path},
};
use crate::Permission;
use axum::http::Method;
use menlou_config::tenant::NAME;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// The document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let failure = generator.subschema_for::<Failure>();
    let mut paths = Map::new();
    for (path, routes) in by_path() {
        let mut item = Map::new();
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters: Vec<Value> = names.map(parameter).collect();
        if !parameters.is_empty() {
            item.insert("parameters".into(), parameters.into());
        }
        for route in routes {
            item.insert(route.name().to_lowercase(), operation(route, &mut generator));
        }
        paths.insert(format!("{BASE}{path}"), Value::Object(item));
    }
    let failed = |description: &str| {
        json!({
            "description": description,
            "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
            "content": { "application/json": { "schema": failure } },
        })
    };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Menlou 门楼: admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "管理接口。令牌由 menlou admin token new 生成；时间为 RFC 3339（UTC）。\n\nThe admin API. menlou admin token new makes tokens; times are RFC 3339 in UTC.",
        },
        "servers": [{ "url": "/", "description": "管理端口。The admin port." }],
        "security": [{ "adminToken": [] }],
        "tags": [
            { "name": "tenants", "description": "租户。Tenants." },
            { "name": "sessions", "description": "会话。Sessions." },
            { "name": "users", "description": "用户。Users." },
            { "name": "gateway", "description": "网关。The gateway as a whole." },
        ],
        "paths": paths,
        "components": {
            "securitySchemes": { "adminToken": {
                "type": "http", "scheme": "bearer",
                "description": "mla_…，由 menlou admin token new 生成。Made by menlou admin token new.",
            } },
            "headers": {
                "RequestId": {
                    "description": "日志中的请求编号。The request's id in the log.", "schema": { "type": "string" },
                },
                "ETag": {
                    "description": "版本；修改时放进 If-Match。The version; a change sends it as If-Match.",
                    "schema": { "type": "string" },
                },
            },
            "responses": {
                "Refused": failed("请求被拒绝，error 说明原因。The request is refused; error says why."),
                "Failed": failed("网关未能完成，可稍后重试。The gateway could not do it; try again later."),
            },
            "schemas": generator.take_definitions(true),
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut parameters = Vec::new();
    if let Some(query) = route.query {
        parameters.extend(queried(query, generator));
    }
    if route.versioned && route.method() != Method::GET {
        parameters.push(json!({
            "name": "If-Match", "in": "header",
            "description": "所依据版本的 ETag；* 表示不论版本；缺少时回答 428。The ETag of the version that this is based on; * for whichever; without it the answer is 428.",
            "schema": { "type": "string" },
        }));
    }
    if route.method() == Method::PUT {
        parameters.push(json!({
            "name": "If-None-Match", "in": "header",
            "description": "* 表示新建，代替 If-Match。* for a new one, instead of If-Match.",
            "schema": { "type": "string", "const": "*" },
        }));
    }
    let mut success = json!({
        "description": "成功。Done.",
        "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
    });
    if let Some(gives) = route.gives {
        success["content"] = json!({ "application/json": { "schema": gives(generator) } });
        if route.versioned {
            success["headers"]["ETag"] = json!({ "$ref": "#/components/headers/ETag" });
        }
    }
    let mut responses = Map::new();
    if route.method() == Method::PUT {
        responses.insert("201".into(), success.clone());
    }
    responses.insert(route.status.to_string(), success);
    responses.insert("4XX".into(), json!({ "$ref": "#/components/responses/Refused" }));
    responses.insert("5XX".into(), json!({ "$ref": "#/components/responses/Failed" }));
    let mut operation = json!({
        "operationId": route.id,
        "summary": format!("{}。{}.", route.title.zh, route.title.en),
        "tags": [tag(route)],
        "x-roles": roles(route),
        "responses": responses,
    });
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(media_type) = route.body.media_type() {
        let schema = match route.takes {
            Some(takes) => takes(generator).to_value(),
            None => json!({ "type": "string", "description": "租户文件全文。The whole of a tenant's file." }),
        };
        let example = (route.body == Brings::Toml).then_some(json!(
            "name = \"Acme\"\n\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"env:ACME_WECHAT_SECRET\"\n\n[actions.openid]\n"
        ));
        let mut content = json!({ "schema": schema });
        if let Some(example) = example {
            content["example"] = example;
        }
        operation["requestBody"] = json!({ "required": true, "content": { media_type: content } });
    }
    operation
}

/// The roles that may, as they are written; tenant stands for the tenant's own.
fn roles(route: &Route) -> Value {
    match route.right {
        Permission::Authenticated => json!(["operator", "viewer", "tenant"]),
        // What is about no tenant is not for tenants' admins.
        Permission::Read if !route.path.contains("{tenant}") => json!(["operator", "viewer"]),
        Permission::Read => json!(["operator", "viewer", "tenant"]),
        Permission::ReadPersonalData | Permission::Write => json!(["operator", "tenant"]),
        Permission::Operate => json!(["operator"]),
    }
}

fn tag(route: &Route) -> &'static str {
    match route.path {
        path if path.contains("/sessions") => "sessions",
        path if path.contains("/users") => "users",
        path if path.starts_with("/tenants") => "tenants",
        _ => "gateway",
    }
}

fn parameter(name: &str) -> Value {
    let (description, schema) = match name {
        "tenant" => ("租户名。The tenant's name.", json!({ "type": "string", "pattern": NAME })),
        "user" => ("用户 ID。The user's id.", json!({ "type": "integer", "format": "int64" })),
        "session" => ("会话 ID。The session's id.", json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })),
        "platform" => ("平台：wechat。The platform: wechat.", json!({ "type": "string" })),
        _ => ("openid。The openid.", json!({ "type": "string" })),
    };
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

/// The parameters of a query, from the schema of its type.
fn queried(query: Of, generator: &mut SchemaGenerator) -> Vec<Value> {
    let reference = query(generator).to_value();
    let name = reference["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()).unwrap_or_default();
    // Parameters stand where they are used, and their type nowhere else.
    let schema = generator.definitions_mut().remove(name).unwrap_or_default();
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
        if let Some(Value::Array(types)) = schema.get("type") {
            // A query has no null.
            schema["type"] = types.iter().find(|of| *of != "null").cloned().unwrap_or_default();
        }
        json!({ "name": name, "in": "query", "description": description, "schema": schema })
    };
    properties.into_iter().map(parameter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::routes::ROUTES;
    use std::collections::BTreeSet;

    #[test]
    fn each_route_stands_in_the_document_under_a_name_of_its_own() {
        let document = document();
        let mut names = BTreeSet::new();
        for route in ROUTES {
            let operation = &document["paths"][format!("{BASE}{}", route.path)][route.name().to_lowercase()];
            assert_eq!(operation["operationId"], route.id);
            assert!(names.insert(route.id), "{} stands twice", route.id);
            assert!(route.title.zh.chars().any(|c| c as u32 > 0x2e80), "{} has no Chinese", route.id);
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn visit(value: &Value, root: &Value) {
            if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
                assert!(root.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
            }
            match value {
                Value::Object(fields) => fields.values().for_each(|value| visit(value, root)),
                Value::Array(items) => items.iter().for_each(|value| visit(value, root)),
                _ => {}
            }
        }
        let document = document();
        visit(&document, &document);
    }
}
