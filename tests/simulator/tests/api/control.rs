//! The control API under `/_sim/` and the start page.

use menlou_simulator::{DEMO_APPID, DEMO_SECRET};
use serde_json::json;

use super::{Scene, errcode, text};

#[tokio::test]
async fn a_login_code_created_over_http_is_exchanged_for_its_user() {
    let scene = Scene::new();
    let query = [("appid", DEMO_APPID), ("person", "alice")];
    let created = scene.get("/_sim/code", &query).await;
    assert_eq!(created["expires_in"], 300);
    let response = scene.exchange(&text(&created["code"])).await;
    assert_eq!(response["openid"], created["openid"]);
    assert_eq!(response["openid"], scene.sim.openid("alice"));
}

#[tokio::test]
async fn a_login_code_can_be_created_for_a_given_openid() {
    let scene = Scene::new();
    let query = [("openid", "oAHBN10P-hn-vF1cTY4tQeStQFmU")];
    let created = scene.get("/_sim/code", &query).await;
    let response = scene.exchange(&text(&created["code"])).await;
    assert_eq!(response["openid"], "oAHBN10P-hn-vF1cTY4tQeStQFmU");
}

#[tokio::test]
async fn a_phone_code_created_over_http_is_exchanged_for_its_number() {
    let scene = Scene::new();
    let body = json!({"phone": "13800138000", "country": "86"});
    let created = scene.post("/_sim/phone_code", &body).await;
    let path = scene.with_token("/wxa/business/getuserphonenumber").await;
    let response = scene.post(&path, &json!({"code": created["code"]})).await;
    assert_eq!(response["phone_info"]["purePhoneNumber"], "13800138000");
    assert_eq!(response["phone_info"]["countryCode"], "86");
}

#[tokio::test]
async fn failures_are_injected_and_cleared_over_http() {
    let scene = Scene::new();
    let path = "/sns/jscode2session";
    let failure = json!({"path": path, "kind": "errcode", "errcode": 40226, "times": 1});
    scene.post("/_sim/fail", &failure).await;
    assert_eq!(errcode(&scene.exchange("x").await), 40226);
    scene.post("/_sim/fail", &json!({"kind": "status"})).await;
    assert_eq!(scene.try_exchange("x").await.unwrap().status(), 500);
    scene.post("/_sim/clear", &json!({})).await;
    assert_eq!(errcode(&scene.exchange("x").await), 40029);
}

#[tokio::test]
async fn platform_calls_are_counted_by_endpoint_and_control_calls_are_not() {
    let scene = Scene::new();
    scene.exchange("x").await;
    scene.exchange("x").await;
    scene.get("/cgi-bin/nothing", &[]).await;
    let counted = scene.get("/_sim/calls", &[]).await;
    let expected = json!({"/sns/jscode2session": 2, "unknown": 1});
    assert_eq!(counted, json!({"calls": expected, "total": 3}));
    assert_eq!(scene.sim.calls("/sns/jscode2session"), 2);
    scene.post("/_sim/reset_calls", &json!({})).await;
    assert!(scene.sim.all_calls().is_empty());
}

#[tokio::test]
async fn a_secret_is_reset_over_http() {
    let scene = Scene::new();
    let app = json!({"appid": DEMO_APPID, "secret": "another"});
    scene.post("/_sim/app", &app).await;
    assert_eq!(errcode(&scene.exchange("x").await), 40125);
    let app = json!({"appid": DEMO_APPID, "secret": DEMO_SECRET});
    scene.post("/_sim/app", &app).await;
    assert_eq!(errcode(&scene.exchange("x").await), 40029);
}

#[tokio::test]
async fn tokens_and_codes_expire_over_http() {
    let scene = Scene::new();
    let token = text(&scene.stable_token(false).await["access_token"]);
    scene.post("/_sim/expire_token", &json!({})).await;
    assert_eq!(scene.errcode_with(&token).await, 42001);
    let (first, second) = (scene.sim.code("alice"), scene.sim.code("alice"));
    scene.post("/_sim/expire_code", &json!({"code": first})).await;
    assert_eq!(errcode(&scene.exchange(&first).await), 40029);
    scene.post("/_sim/advance", &json!({"seconds": 301})).await;
    assert_eq!(errcode(&scene.exchange(&second).await), 40029);
}

#[tokio::test]
async fn the_valid_session_key_is_available_over_http() {
    let scene = Scene::new();
    let response = scene.exchange(&scene.sim.code("alice")).await;
    let session = scene.get("/_sim/session_key", &[("person", "alice")]).await;
    assert_eq!(session, response);
}

#[tokio::test]
async fn a_user_subscribes_to_messages_over_http() {
    let scene = Scene::new();
    scene.sim.code("alice");
    let agreed = json!({"person": "alice", "template_id": "T1"});
    scene.post("/_sim/agree", &agreed).await;
    let path = scene.with_token("/cgi-bin/message/subscribe/send").await;
    let message = json!({
        "touser": scene.sim.openid("alice"),
        "template_id": "T1",
        "data": {"thing1": {"value": "hello"}},
    });
    assert_eq!(errcode(&scene.post(&path, &message).await), 0);
}

#[tokio::test]
async fn an_invalid_control_call_is_rejected_with_a_reason() {
    let scene = Scene::new();
    for (path, body, reason) in [
        ("code", json!({}), "person (any name) or openid is missing"),
        ("code", json!({"person": "a", "appid": "wxno"}), "appid is not registered"),
        ("code", json!({"person": "a", "persn": "b"}), "unknown parameters: persn"),
        ("code", json!([]), "the body is not a JSON object"),
        ("phone_code", json!({"phone": "<b>"}), "phone is not a number of 1 to 15 digits"),
        ("fail", json!({"path": "/x", "kind": "hang"}), "path is neither an endpoint nor *"),
        ("fail", json!({"kind": "status", "status": 101}), "status is not a number from 400 to 599"),
        ("advance", json!({"seconds": -1}), "seconds is not a number in its range"),
        ("app", json!({"appid": "<b>", "secret": "s"}), "an appid has 1 to 64 ASCII letters and digits"),
    ] {
        let response = scene.try_post(&format!("/_sim/{path}"), &body).await.unwrap();
        assert_eq!(response.status(), 400);
        let response: serde_json::Value = response.json().await.unwrap();
        assert_eq!(response, json!({"error": reason}));
    }
}

#[tokio::test]
async fn a_get_cannot_change_the_behaviour_of_the_platform() {
    let scene = Scene::new();
    let response = scene.try_get("/_sim/fail", &[("kind", "hang")]).await.unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(errcode(&scene.exchange("x").await), 40029);
}

#[tokio::test]
async fn an_unknown_path_responds_with_40066() {
    let scene = Scene::new();
    let response = scene.get("/cgi-bin/nothing", &[]).await;
    assert_eq!(errcode(&response), 40066);
}

#[tokio::test]
async fn the_start_page_is_chinese_first_and_its_commands_contain_the_address() {
    let scene = Scene::new();
    let page = scene.try_get("/", &[]).await.unwrap().text().await.unwrap();
    let chinese = page.find("生成登录 code").unwrap();
    let english = page.find("Create a login code").unwrap();
    assert!(chinese < english);
    let base = scene.sim.base_url();
    let line = format!("curl '{base}/_sim/code?appid={DEMO_APPID}&amp;person=alice'");
    assert!(page.contains(&line));
    assert!(!page.contains("{{") && !page.contains(DEMO_SECRET));
}

#[tokio::test]
async fn a_body_over_the_size_limit_is_rejected() {
    let scene = Scene::new();
    let large = json!({"code": "x".repeat(1024 * 1024)});
    let response = scene.try_post("/wxa/msg_sec_check", &large).await.unwrap();
    assert_eq!(response.status(), 413);
}
