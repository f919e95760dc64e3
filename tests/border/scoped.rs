//! A call reaches what is its own, and nothing else.

use crate::house::{House, call, call_with, data, refused, run};
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
    assert_eq!(run(&login, call("login", params)).await.unwrap_err().word(), "login_required");
    let user = house.action("user").run(call_with(token, "user", json!({}))).await.map(data).unwrap();
    assert_eq!(user["user"], bound["user"]);
    let again = house.call("openid", json!({ "code": house.sim.code("alice") })).await.unwrap();
    assert_eq!(again["user"], bound["user"]);
    assert_eq!(house.call("openid", json!({ "code": "none" })).await.unwrap_err().word(), "invalid_code");
}
