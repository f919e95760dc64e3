//! A call can use what belongs to it and to its tenant, and nothing else.

use crate::test_gateway::{TestGateway, assert_rejected, call, call_with, data, run};
use menlou_call::Reply;
use serde_json::json;

#[tokio::test]
async fn a_session_is_opened_only_for_an_identity_of_the_call() {
    let gateway = TestGateway::with_rogue().await;
    let openid = gateway.sim.openid("alice");
    assert_rejected(gateway.call("open_session", json!({ "text": openid })).await);
    let code = gateway.sim.code("alice");
    let got = gateway.call("open_session", json!({ "n": 1, "text": code })).await.unwrap();
    assert!(got["text"].as_str().unwrap().len() >= 43);
    // An identity of one call is not valid in another.
    assert_rejected(gateway.call("open_session", json!({ "text": openid })).await);
}

#[tokio::test]
async fn an_account_is_found_only_for_an_openid_of_the_call() {
    let gateway = TestGateway::with_rogue().await;
    assert_rejected(gateway.call("find_user", json!({ "text": gateway.sim.openid("alice") })).await);
    assert_rejected(gateway.call("find_user", json!({ "text": "" })).await);
}

#[tokio::test]
async fn plugins_cannot_read_the_authorization_header() {
    let gateway = TestGateway::with_rogue().await;
    let action = gateway.action("header");
    for (name, n, text) in [
        ("x-kind", 1, "kind"),
        ("x-missing", 0, ""),
        ("authorization", 0, ""),
        ("Authorization", 0, ""),
        ("not a name\0", 0, ""),
        ("x-bytes", 0, ""),
    ] {
        let mut call = call("header", json!({ "text": name }));
        call.headers.insert("x-kind", http::HeaderValue::from_static("kind"));
        call.headers.insert("x-bytes", http::HeaderValue::from_bytes(b"\xff").unwrap());
        call.headers.insert("authorization", http::HeaderValue::from_static("Bearer secret"));
        assert_eq!(run(&action, call).await.unwrap(), json!({ "n": n, "text": text }), "{name}");
    }
}

#[tokio::test]
async fn platform_requests_with_credentials_or_other_hosts_are_rejected() {
    let gateway = TestGateway::with_rogue().await;
    let ask = |method: &str, path: &str, fields: serde_json::Value| json!({ "text": json!([method, path, fields]).to_string() });
    for (method, path, fields) in [
        ("DELETE", "/wxa/msg_sec_check", json!({})),
        ("post", "/wxa/msg_sec_check", json!({})),
        ("POST", "wxa/msg_sec_check", json!({})),
        ("POST", "//example.com/x", json!({})),
        ("POST", "@example.com/x", json!({})),
        ("POST", "http://example.com/x", json!({})),
        ("POST", "/wxa/x?access_token=t", json!({})),
        ("POST", "/wxa/x", json!({ "access_token": "t" })),
        ("GET", "/cgi-bin/token", json!({ "grant_type": "client_credential" })),
        ("POST", "/cgi-bin/stable_token", json!({})),
        ("GET", "/sns/jscode2session", json!({})),
        ("GET", "/wxa/resetusersessionkey", json!({})),
    ] {
        assert_rejected(gateway.call("ask_platform", ask(method, path, fields)).await);
    }
    assert!(gateway.sim.all_calls().values().all(|calls| *calls == 0), "{:?}", gateway.sim.all_calls());
    let unknown = gateway.call("ask_platform", ask("POST", "/wxa/x", json!({}))).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.data().unwrap()["errcode"].as_i64()), ("platform_error", Some(40066)));
}

#[tokio::test]
async fn a_file_from_the_platform_passes_unchanged() {
    let gateway = TestGateway::with_rogue().await;
    let text = json!(["POST", "/wxa/getwxacodeunlimit", { "scene": "a" }]).to_string();
    let reply = gateway.action("ask_platform").run(call("ask_platform", json!({ "text": text }))).await.unwrap();
    let Reply::File { content_type, body } = reply else { panic!("{reply:?}") };
    assert_eq!(content_type, "image/jpeg");
    assert!(body.starts_with(b"\xff\xd8\xff") && body.ends_with(b"\xff\xd9"));
}

#[tokio::test]
async fn session_key_operations_need_a_session() {
    let gateway = TestGateway::with_rogue().await;
    for n in 0..3 {
        assert_rejected(gateway.call("use_session_key", json!({ "n": n })).await);
    }
}

#[tokio::test]
async fn the_tenants_setting_decides_access_if_the_action_allows_it() {
    let libraries =
        [("openid", crate::libraries::built("menlou_openid")), ("rogue", crate::libraries::built("menlou_rogue"))];
    let rogue = TestGateway::new(&libraries.each_ref().map(|(name, bytes)| (*name, bytes.as_slice()))).await;
    for (settings, code) in [
        (json!({}), Some("login_required")),
        (json!({ "auth": "session" }), Some("login_required")),
        (json!({ "auth": "required" }), Some("login_required")),
        (json!({ "auth": "optional" }), None),
    ] {
        let action = rogue.configure("by_setting", &settings).unwrap();
        let got = run(&action, call("by_setting", json!({}))).await;
        assert_eq!(got.as_ref().err().map(|e| e.code()), code, "{settings}");
    }
    // With `none` a token is optional, but a given token is checked, and its openid is passed to the plugin.
    let opened = rogue.call("openid", json!({ "code": rogue.sim.code("ann") })).await.unwrap();
    let token = opened["session"]["token"].as_str().unwrap();
    let action = rogue.configure("by_setting", &json!({ "auth": "optional" })).unwrap();
    assert_eq!(run(&action, call("by_setting", json!({}))).await.unwrap()["n"], 0);
    assert_eq!(run(&action, call_with(token, "by_setting", json!({}))).await.unwrap()["n"], 1);
    let ended = run(&action, call_with("ended-long-ago", "by_setting", json!({}))).await;
    assert_eq!(ended.unwrap_err().code(), "session_expired");
    // An action without access by setting ignores a setting of that name.
    let session = rogue.configure("echo", &json!({ "auth": "required" }));
    assert!(run(&session.unwrap(), call("echo", json!({}))).await.is_ok());
}

#[tokio::test]
async fn first_party_actions_work_as_loaded_plugins() {
    let libraries =
        [("openid", crate::libraries::built("menlou_openid")), ("account", crate::libraries::built("menlou_account"))];
    let gateway = TestGateway::new(&libraries.each_ref().map(|(name, bytes)| (*name, bytes.as_slice()))).await;
    let code = gateway.sim.code("alice");
    let got = gateway.call("openid", json!({ "code": code })).await.unwrap();
    assert_eq!(got["user"], json!(null));
    let token = got["session"]["token"].as_str().unwrap();
    let login = gateway.configure("login", &json!({ "methods": ["profile"] })).unwrap();
    let params = json!({ "method": "profile", "name": "Alice" });
    let bound = run(&login, call_with(token, "login", params.clone())).await.unwrap();
    assert_eq!(bound["user"]["name"], "Alice");
    assert_eq!(run(&login, call("login", params)).await.unwrap_err().code(), "login_required");
    let user = gateway.action("user").run(call_with(token, "user", json!({}))).await.map(data).unwrap();
    assert_eq!(user["user"], bound["user"]);
    let again = gateway.call("openid", json!({ "code": gateway.sim.code("alice") })).await.unwrap();
    assert_eq!(again["user"], bound["user"]);
    assert_eq!(gateway.call("openid", json!({ "code": "none" })).await.unwrap_err().code(), "invalid_code");
}
