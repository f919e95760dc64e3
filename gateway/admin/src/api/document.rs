//! The OpenAPI 3.1 document of the API, generated from the table of routes and the types that they use.

use super::{
    request::BodyKind,
    response::ErrorBody,
    routes::{BASE, Route, SchemaFn, by_path},
};
use crate::caller::Permission;
use axum::http::Method;
use menlou_config::tenant::NAME;
use schemars::{SchemaGenerator, generate::SchemaSettings};
use serde_json::{Map, Value, json};

/// Generates the document.
pub fn document() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    let error_body = generator.subschema_for::<ErrorBody>();
    let mut paths = Map::new();
    for (path, routes) in by_path() {
        let mut item = Map::new();
        let names = path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
        let parameters: Vec<Value> = names.map(path_parameter).collect();
        if !parameters.is_empty() {
            item.insert("parameters".into(), parameters.into());
        }
        for route in routes {
            item.insert(route.method_name().to_lowercase(), operation(route, &mut generator));
        }
        paths.insert(format!("{BASE}{path}"), Value::Object(item));
    }
    let error_response = |description: &str| {
        json!({
            "description": description,
            "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
            "content": { "application/json": { "schema": error_body } },
        })
    };
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Menlou 门楼: admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "管理接口。令牌由 menlou admin token new 创建；时间为 RFC 3339（UTC）。\n\nThe admin API. Create tokens with menlou admin token new. Timestamps are RFC 3339 in UTC.",
        },
        "servers": [{ "url": "/", "description": "管理端口。The admin port." }],
        "security": [{ "adminToken": [] }],
        "tags": [
            { "name": "tenants", "description": "租户。Tenants." },
            { "name": "sessions", "description": "会话。Sessions." },
            { "name": "users", "description": "用户。Users." },
            { "name": "gateway", "description": "网关。The gateway." },
        ],
        "paths": paths,
        "components": {
            "securitySchemes": { "adminToken": {
                "type": "http", "scheme": "bearer",
                "description": "mla_…，由 menlou admin token new 创建。Created by menlou admin token new.",
            } },
            "headers": {
                "RequestId": {
                    "description": "日志中的请求编号。The request id in the log.", "schema": { "type": "string" },
                },
                "ETag": {
                    "description": "版本，修改时作为 If-Match 发送。The version. Send it as If-Match with a change.",
                    "schema": { "type": "string" },
                },
            },
            "responses": {
                "Rejected": error_response("请求被拒绝，error 为错误码。The request was rejected; error is the error code."),
                "Failed": error_response("网关未能完成请求，可稍后重试。The gateway could not complete the request; retry later."),
            },
            "schemas": generator.take_definitions(true),
        },
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut parameters = Vec::new();
    if let Some(query) = route.query {
        parameters.extend(query_parameters(query, generator));
    }
    if route.is_versioned && route.method() != Method::GET {
        parameters.push(json!({
            "name": "If-Match", "in": "header",
            "description": "所依据版本的 ETag；* 表示任意版本；缺少时响应 428。The ETag of the version that the change is based on, or * for any version. Without it the response is 428.",
            "schema": { "type": "string" },
        }));
    }
    if route.method() == Method::PUT {
        parameters.push(json!({
            "name": "If-None-Match", "in": "header",
            "description": "* 表示新建，代替 If-Match。* creates a new tenant and replaces If-Match.",
            "schema": { "type": "string", "const": "*" },
        }));
    }
    let mut success = json!({
        "description": "成功。Success.",
        "headers": { "X-Request-Id": { "$ref": "#/components/headers/RequestId" } },
    });
    if let Some(response) = route.response {
        success["content"] = json!({ "application/json": { "schema": response(generator) } });
        if route.is_versioned {
            success["headers"]["ETag"] = json!({ "$ref": "#/components/headers/ETag" });
        }
    }
    let mut responses = Map::new();
    if route.method() == Method::PUT {
        responses.insert("201".into(), success.clone());
    }
    responses.insert(route.status.to_string(), success);
    responses.insert("4XX".into(), json!({ "$ref": "#/components/responses/Rejected" }));
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
        let schema = match route.body_schema {
            Some(schema) => schema(generator).to_value(),
            None => json!({ "type": "string", "description": "租户文件全文。The complete tenant file." }),
        };
        let example = (route.body == BodyKind::Toml).then_some(json!(
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

/// The roles that have the permission. `tenant` means the admin of the tenant in the path.
fn roles(route: &Route) -> Value {
    match route.permission {
        Permission::Authenticated => json!(["operator", "viewer", "tenant"]),
        // A tenant admin may not read what concerns no tenant.
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

fn path_parameter(name: &str) -> Value {
    let (description, schema) = match name {
        "tenant" => ("租户名。The tenant name.", json!({ "type": "string", "pattern": NAME })),
        "user" => ("用户 ID。The user id.", json!({ "type": "integer", "format": "int64" })),
        "session" => ("会话 ID。The session id.", json!({ "type": "string", "pattern": "^[0-9a-f]{64}$" })),
        "platform" => ("平台：wechat。The platform: wechat.", json!({ "type": "string" })),
        _ => ("openid。The openid.", json!({ "type": "string" })),
    };
    json!({ "name": name, "in": "path", "required": true, "description": description, "schema": schema })
}

/// The query parameters, from the schema of the query type.
fn query_parameters(query: SchemaFn, generator: &mut SchemaGenerator) -> Vec<Value> {
    let reference = query(generator).to_value();
    let name = reference["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()).unwrap_or_default();
    // The parameters are listed at the operation; no component is needed.
    let schema = generator.definitions_mut().remove(name).unwrap_or_default();
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let parameter = |(name, mut schema): (String, Value)| {
        let description = schema.as_object_mut().and_then(|schema| schema.remove("description")).unwrap_or_default();
        if let Some(Value::Array(types)) = schema.get("type") {
            // A query parameter cannot be null.
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
    fn each_route_has_a_unique_operation_id_in_the_document() {
        let document = document();
        let mut names = BTreeSet::new();
        for route in ROUTES {
            let operation = &document["paths"][format!("{BASE}{}", route.path)][route.method_name().to_lowercase()];
            assert_eq!(operation["operationId"], route.id);
            assert!(names.insert(route.id), "{} is used twice", route.id);
            assert!(route.title.zh.chars().any(|c| c as u32 > 0x2e80), "{} has no Chinese title", route.id);
        }
    }

    #[test]
    fn every_reference_can_be_resolved() {
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
