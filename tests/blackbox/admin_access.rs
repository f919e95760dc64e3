//! Access to the admin API: every route with every role, valid and invalid tokens.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, tenant};
use menlou_harness::{Admin, http::Request};
use serde_json::Value;
use std::fs;

const OWN: &str = "tenant:manulife";

/// An operation in the OpenAPI document.
struct Operation {
    method: String,
    path: String,
    roles: Vec<String>,
    takes: Option<String>,
}

/// All operations, from the API's own document.
fn operations(scene: &Scene) -> Vec<Operation> {
    let document: Value = serde_json::from_slice(&scene.admin("/api/v1/openapi.json").unwrap().body).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(name, _)| *name != "parameters") {
            let roles = operation["x-roles"].as_array().unwrap().iter().map(|role| role.as_str().unwrap().to_owned());
            let takes = operation.pointer("/requestBody/content").and_then(Value::as_object);
            found.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                roles: roles.collect(),
                takes: takes.and_then(|content| content.keys().next().cloned()),
            });
        }
    }
    assert!(found.len() >= 20, "{} routes", found.len());
    found
}

struct People {
    scene: Scene,
    user: i64,
    openid: String,
}

/// Two tenants with a person each. `user` and `openid` belong to the person of the first tenant.
fn people() -> People {
    let scene = Scene::new(Stores::Embedded);
    let client = scene.session("Ann");
    let code = scene.sim.phone_code("13800138000");
    let user = client.call("login", &[("method", "phone"), ("phone_code", &code)]).user_id().unwrap();
    scene.client().call("openid", &[("code", "no such code")]).assert_error(200, "invalid_code");
    let operator = scene.admin_as("operator");
    let found = operator.get(&format!("/tenants/{TENANT}/users/{user}"));
    let openid = found.ok()["bindings"][0]["openid"].as_str().unwrap().to_owned();
    People { scene, user, openid }
}

impl People {
    /// The request of an operation on a tenant. `complete`: with everything that the operation needs to succeed.
    fn request(&self, operation: &Operation, of: &str, complete: bool) -> Request {
        let path = operation
            .path
            .replace("{tenant}", of)
            .replace("{user}", &self.user.to_string())
            .replace("{session}", &"0".repeat(64))
            .replace("{platform}", "wechat")
            .replace("{openid}", if complete { &self.openid } else { "nobody" });
        assert!(!path.contains('{'), "a parameter that this test does not know: {path}");
        let query = match (operation.method.as_str(), path.rsplit('/').next()) {
            ("GET", Some("sessions")) => format!("?user={}", self.user),
            ("DELETE", Some("sessions")) if complete => "?all=true".to_owned(),
            _ => String::new(),
        };
        let mut request = Request::new(&operation.method, format!("{path}{query}"));
        if complete {
            request = request.header("If-Match", "*");
        }
        match operation.takes.as_deref() {
            Some("application/toml") => request.body("application/toml", tenant(&self.scene.sim)),
            Some("application/json") if operation.path.ends_with("{tenant}") => {
                request.json(&serde_json::json!({ "set": { "name": "Changed" } }))
            }
            Some("application/json") => request.json(&serde_json::json!({ "name": "Changed" })),
            None => request,
            Some(other) => panic!("a body that this test does not know: {other}"),
        }
    }
}

#[test]
fn routes_serve_exactly_the_roles_in_the_openapi_document() {
    let people = people();
    let files =
        || [TENANT, NEIGHBOUR].map(|name| fs::read(people.scene.tenants().join(format!("{name}.toml"))).unwrap());
    let before = files();
    let roles = ["operator", "viewer", OWN].map(|role| (role, people.scene.admin_as(role)));
    for operation in operations(&people.scene) {
        let shown = format!("{} {}", operation.method, operation.path);
        if operation.method != "GET" {
            assert!(!operation.roles.contains(&"viewer".to_owned()), "{shown} changes something");
        }
        for of in [TENANT, NEIGHBOUR] {
            people
                .scene
                .anonymous_admin()
                .send(&people.request(&operation, of, true))
                .assert_error(401, "admin_token_required");
            for (role, admin) in &roles {
                let named = operation.roles.iter().any(|named| named == role.split(':').next().unwrap());
                let others = *role == OWN && of != TENANT && operation.path.contains("{tenant}");
                // Roles without the permission send a complete request; the others send one without a precondition, which changes
                // nothing.
                let response = admin.send(&people.request(&operation, of, !named || others));
                if named && !others {
                    assert!(
                        ![401, 403].contains(&response.status),
                        "{shown} of {of} as {role}: {}",
                        response.response.text()
                    );
                } else {
                    assert_eq!(
                        (response.status, response.body["error"].as_str()),
                        (403, Some("forbidden")),
                        "{shown} of {of} as {role}"
                    );
                }
            }
        }
    }
    assert_eq!(files(), before, "no file has changed");
    let (_, operator) = &roles[0];
    let user = operator.get(&format!("/tenants/{TENANT}/users/{}", people.user));
    assert!(user.ok()["name"] != "Changed" && user.body["bindings"].as_array().unwrap().len() == 1, "{}", user.body);
    assert_eq!(operator.get(&format!("/tenants/{TENANT}/sessions/count")).ok()["total"], 1);
}

#[test]
fn responses_contain_no_secrets_and_only_the_data_that_the_role_may_read() {
    let people = people();
    people.scene.write_tenant(TENANT, &format!("# secret = \"older-secret\"\n{}", tenant(&people.scene.sim)));
    let operator = people.scene.admin_as("operator");
    let phone =
        operator.get(&format!("/tenants/{TENANT}/users/{}", people.user)).ok()["phone"].as_str().unwrap().to_owned();
    // Creates audit entries.
    operator.put(TENANT, &tenant(&people.scene.sim), ("If-Match", "*")).ok();
    operator
        .send(&people.request(
            &Operation {
                method: "PATCH".into(),
                path: "/api/v1/tenants/{tenant}/users/{user}".into(),
                roles: Vec::new(),
                takes: Some("application/json".into()),
            },
            TENANT,
            true,
        ))
        .ok();
    for role in ["operator", "viewer", OWN] {
        let admin = people.scene.admin_as(role);
        for operation in operations(&people.scene).iter().filter(|operation| operation.method == "GET") {
            for of in [TENANT, NEIGHBOUR] {
                let text = admin.send(&people.request(operation, of, false)).response.text();
                let shown = format!("{} of {of} as {role}: {text}", operation.path);
                let mut hidden = vec!["demo-secret", "neighbours-own-secret", "password_hash", "mla_"];
                match role {
                    "viewer" => hidden.extend([people.openid.as_str(), &phone, "Changed", "older-secret"]),
                    OWN => hidden.extend([NEIGHBOUR, "Neighbour", "wx00000000000000ff"]),
                    _ => {}
                }
                for secret in hidden {
                    assert!(!text.contains(secret), "{secret} in {shown}");
                }
            }
        }
    }
}

#[test]
fn token_is_valid_until_it_is_revoked_or_expires() {
    let scene = Scene::new(Stores::Embedded);
    let admin = scene.admin_as("operator");
    let me = admin.get("/me");
    let id = me.ok()["id"].as_str().unwrap().to_owned();
    assert_eq!((me.body["role"].as_str(), me.body["label"].as_str()), (Some("operator"), Some("a test")));
    let short = scene.command(&["admin", "token", "new", "--role", "viewer", "--expires", "1s"]);
    let short = scene.admin_with(String::from_utf8(short.stdout).unwrap().trim());
    short.get("/me").ok();
    let listed = String::from_utf8(scene.command(&["admin", "token", "list"]).stdout).unwrap();
    assert!(listed.contains(&id) && listed.contains("operator") && listed.contains("a test"), "{listed}");
    assert!(!listed.contains(&admin.token()["mla_000000000000_".len()..]), "no secret is listed");
    assert!(scene.command(&["admin", "token", "revoke", &id]).status.success());
    admin.get("/me").assert_error(401, "admin_token_invalid");
    assert!(!scene.command(&["admin", "token", "revoke", &id]).status.success(), "the token is already revoked");
    eventually("the short-lived token expires", || (short.get("/me").status == 401).then_some(()));
    let operator = scene.admin_as("operator");
    let log = operator.get("/audit").ok()["entries"].clone();
    let operations: Vec<_> = log.as_array().unwrap().iter().map(|entry| entry["what"].as_str().unwrap()).collect();
    assert_eq!(operations, ["token.new", "token.revoke", "token.new", "token.new"]);
    assert!(log[1]["target"] == id && log[1]["who"].as_str().unwrap().starts_with("command line"), "{log}");
}

#[test]
fn invalid_role_lifetime_or_label_creates_no_token() {
    let scene = Scene::new(Stores::Embedded);
    for arguments in [
        &["--role", "admin"][..],
        &["--role", "tenant:No Name"],
        &["--role", "operator", "--expires", "soon"],
        &["--role", "operator", "--label", "two\nlines"],
        &["--label", "without a role"],
    ] {
        let output = scene.command(&[&["admin", "token", "new"], arguments].concat());
        assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}");
    }
    assert_eq!(scene.command(&["admin", "token", "list", "--json"]).stdout.trim_ascii(), b"[]");
}

#[test]
fn invalid_tokens_are_rejected_and_many_answer_429() {
    let scene = Scene::new(Stores::Embedded);
    let valid = scene.admin_as("viewer");
    let (start, secret) = valid.token().split_at("mla_000000000000".len());
    let other = format!("{start}_{}", secret.chars().rev().collect::<String>());
    let long = format!("{start}_{}", "x".repeat(5000));
    for token in ["mla_", "nonsense", "mla_000000000000_x", &other, &long, start, &valid.token().to_uppercase()] {
        scene.admin_with(token).get("/me").assert_error(401, "admin_token_invalid");
    }
    let basic = Request::new("GET", "/api/v1/me").header("Authorization", "Basic bWxhXzA6eA==");
    scene.anonymous_admin().send(&basic).assert_error(401, "admin_token_required");
    valid.get("/me").ok();
    let invalid: Admin = scene.admin_with(&other);
    let rejected = (0..40).map(|_| invalid.get("/me")).find(|response| response.status == 429).expect("a limit");
    rejected.assert_error(429, "too_many_attempts");
    assert!(rejected.response.header("retry-after").is_some_and(|wait| wait.parse::<u64>().is_ok_and(|s| s > 0)));
    valid.get("/me").ok();
    invalid.get("/me").assert_error(429, "too_many_attempts");
    scene.admin_with("nonsense").get("/me").assert_error(429, "too_many_attempts");
    assert_eq!(scene.admin("/healthz").unwrap().status, 200, "probes are not affected");
}

#[test]
fn invalid_tokens_are_counted_for_the_client_behind_a_trusted_proxy() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("proxies.trusted", "[\"127.0.0.1\"]"));
    let from = |address: &str| {
        let request = Request::new("GET", "/api/v1/me").header("X-Forwarded-For", address);
        scene.anonymous_admin().send(&request.header("Authorization", "Bearer mla_000000000000_x")).status
    };
    (0..40).find(|_| from("198.51.100.7") == 429).expect("a limit");
    assert_eq!((from("198.51.100.7"), from("198.51.100.8")), (429, 401));
}

#[test]
fn unavailable_store_answers_503() {
    let mut scene = Scene::new(Stores::Postgres);
    let admin = scene.admin_as("operator");
    admin.get("/me").ok();
    scene.postgres.as_mut().unwrap().kill();
    eventually("the store is unavailable", || (admin.get("/me").status == 503).then_some(()));
    admin.get("/me").assert_error(503, "store_unavailable");
}
