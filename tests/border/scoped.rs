//! A call reaches what is its own, and nothing else.

use crate::house::{House, call, call_with, data, refused, run};
use menlou_call::Reply;
use serde_json::json;

#[tokio::test]
async fn a_session_is_opened_only_for_a_person_whom_the_call_got() {
    let house = House::of_rogue().await;
    let openid = house.sim.openid("alice");
    refused(house.call("open_session", json!({ "text": openid })).await);
    let code = house.sim.code("alice");
    let got = house.call("open_session", json!({ "n": 1, "text": code })).await.unwrap();
    assert!(got["text"].as_str().unwrap().len() >= 43);
    // What one call got is not another's.
    refused(house.call("open_session", json!({ "text": openid })).await);
}

#[tokio::test]
async fn an_account_is_found_only_for_an_openid_of_the_call() {
    let house = House::of_rogue().await;
    refused(house.call("find_user", json!({ "text": house.sim.openid("alice") })).await);
    refused(house.call("find_user", json!({ "text": "" })).await);
}

#[tokio::test]
async fn the_authorization_header_is_never_found() {
    let house = House::of_rogue().await;
    let action = house.action("header");
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
async fn the_platform_is_called_only_by_plain_paths_that_give_out_no_credentials_and_without_a_token_of_the_plugins() {
    let house = House::of_rogue().await;
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
        refused(house.call("ask_platform", ask(method, path, fields)).await);
    }
    assert!(house.sim.all_calls().values().all(|calls| *calls == 0), "{:?}", house.sim.all_calls());
    let unknown = house.call("ask_platform", ask("POST", "/wxa/x", json!({}))).await.unwrap_err();
    assert_eq!((unknown.code(), unknown.data().unwrap()["errcode"].as_i64()), ("platform_error", Some(40066)));
}

#[tokio::test]
async fn a_file_that_the_platform_gave_goes_through_the_border_whole() {
    let house = House::of_rogue().await;
    let text = json!(["POST", "/wxa/getwxacodeunlimit", { "scene": "a" }]).to_string();
    let reply = house.action("ask_platform").run(call("ask_platform", json!({ "text": text }))).await.unwrap();
    let Reply::File { content_type, body } = reply else { panic!("{reply:?}") };
    assert_eq!(content_type, "image/jpeg");
    assert!(body.starts_with(b"\xff\xd8\xff") && body.ends_with(b"\xff\xd9"));
}

#[tokio::test]
async fn a_session_key_is_of_use_only_with_a_session() {
    let house = House::of_rogue().await;
    for n in 0..3 {
        refused(house.call("use_session_key", json!({ "n": n })).await);
    }
}

#[tokio::test]
async fn who_is_served_is_the_tenants_setting_where_the_action_says_so() {
    let libraries = [("openid", crate::made::built("menlou_openid")), ("rogue", crate::made::built("menlou_rogue"))];
    let rogue = House::new(&libraries.each_ref().map(|(name, bytes)| (*name, bytes.as_slice()))).await;
    for (settings, word) in [
        (json!({}), Some("login_required")),
        (json!({ "login": "session" }), Some("login_required")),
        (json!({ "login": "required" }), Some("login_required")),
        (json!({ "login": "none" }), None),
    ] {
        let action = rogue.configure("by_setting", &settings).unwrap();
        let got = run(&action, call("by_setting", json!({}))).await;
        assert_eq!(got.as_ref().err().map(|e| e.code()), word, "{settings}");
    }
    // With `none` a token that comes along counts: for its openid, and where it is no good.
    let opened = rogue.call("openid", json!({ "code": rogue.sim.code("ann") })).await.unwrap();
    let token = opened["session"]["token"].as_str().unwrap();
    let action = rogue.configure("by_setting", &json!({ "login": "none" })).unwrap();
    assert_eq!(run(&action, call("by_setting", json!({}))).await.unwrap()["n"], 0);
    assert_eq!(run(&action, call_with(token, "by_setting", json!({}))).await.unwrap()["n"], 1);
    let ended = run(&action, call_with("ended-long-ago", "by_setting", json!({}))).await;
    assert_eq!(ended.unwrap_err().code(), "session_expired");
    // Elsewhere a setting of that name says nothing.
    let session = rogue.configure("echo", &json!({ "login": "required" }));
    assert!(run(&session.unwrap(), call("echo", json!({}))).await.is_ok());
}

#[tokio::test]
async fn first_party_actions_work_through_the_border() {
    let libraries =
        [("openid", crate::made::built("menlou_openid")), ("account", crate::made::built("menlou_account"))];
    let house = House::new(&libraries.each_ref().map(|(name, bytes)| (*name, bytes.as_slice()))).await;
    let code = house.sim.code("alice");
    let got = house.call("openid", json!({ "code": code })).await.unwrap();
    assert_eq!(got["user"], json!(null));
    let token = got["session"]["token"].as_str().unwrap();
    let login = house.configure("login", &json!({ "methods": ["profile"] })).unwrap();
    let params = json!({ "method": "profile", "name": "Alice" });
    let bound = run(&login, call_with(token, "login", params.clone())).await.unwrap();
    assert_eq!(bound["user"]["name"], "Alice");
    assert_eq!(run(&login, call("login", params)).await.unwrap_err().code(), "login_required");
    let user = house.action("user").run(call_with(token, "user", json!({}))).await.map(data).unwrap();
    assert_eq!(user["user"], bound["user"]);
    let again = house.call("openid", json!({ "code": house.sim.code("alice") })).await.unwrap();
    assert_eq!(again["user"], bound["user"]);
    assert_eq!(house.call("openid", json!({ "code": "none" })).await.unwrap_err().code(), "invalid_code");
}
