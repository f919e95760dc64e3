//! The control side under `/_sim/`, and the start page.

use menlou_simulator::{DEMO_APPID, DEMO_SECRET};
use serde_json::json;

use super::{bench, errcode, text};

#[tokio::test]
async fn a_code_made_over_http_is_exchanged_for_its_person() {
    let bench = bench();
    let query = [("appid", DEMO_APPID), ("person", "alice")];
    let made = bench.get("/_sim/code", &query).await;
    assert_eq!(made["expires_in"], 300);
    let answer = bench.exchange(&text(&made["code"])).await;
    assert_eq!(answer["openid"], made["openid"]);
    assert_eq!(answer["openid"], bench.sim.openid("alice"));
}

#[tokio::test]
async fn a_code_can_be_made_for_a_given_openid() {
    let bench = bench();
    let query = [("openid", "oAHBN10P-hn-vF1cTY4tQeStQFmU")];
    let made = bench.get("/_sim/code", &query).await;
    let answer = bench.exchange(&text(&made["code"])).await;
    assert_eq!(answer["openid"], "oAHBN10P-hn-vF1cTY4tQeStQFmU");
}

#[tokio::test]
async fn a_phone_code_made_over_http_is_redeemed_for_its_number() {
    let bench = bench();
    let body = json!({"phone": "13800138000", "country": "86"});
    let made = bench.post("/_sim/phone_code", &body).await;
    let path = bench.with_token("/wxa/business/getuserphonenumber").await;
    let answer = bench.post(&path, &json!({"code": made["code"]})).await;
    assert_eq!(answer["phone_info"]["purePhoneNumber"], "13800138000");
    assert_eq!(answer["phone_info"]["countryCode"], "86");
}

#[tokio::test]
async fn failures_are_ordered_and_cleared_over_http() {
    let bench = bench();
    let path = "/sns/jscode2session";
    let order = json!({"path": path, "kind": "errcode", "errcode": 40226, "times": 1});
    bench.post("/_sim/fail", &order).await;
    assert_eq!(errcode(&bench.exchange("x").await), 40226);
    bench.post("/_sim/fail", &json!({"kind": "status"})).await;
    assert_eq!(bench.try_exchange("x").await.unwrap().status(), 500);
    bench.post("/_sim/clear", &json!({})).await;
    assert_eq!(errcode(&bench.exchange("x").await), 40029);
}

#[tokio::test]
async fn calls_are_counted_by_endpoint_and_control_calls_are_not() {
    let bench = bench();
    bench.exchange("x").await;
    bench.exchange("x").await;
    bench.get("/cgi-bin/nothing", &[]).await;
    let counted = bench.get("/_sim/calls", &[]).await;
    let expected = json!({"/sns/jscode2session": 2, "unknown": 1});
    assert_eq!(counted, json!({"calls": expected, "total": 3}));
    assert_eq!(bench.sim.calls("/sns/jscode2session"), 2);
    bench.post("/_sim/reset_calls", &json!({})).await;
    assert!(bench.sim.all_calls().is_empty());
}

#[tokio::test]
async fn a_secret_is_reset_over_http() {
    let bench = bench();
    let app = json!({"appid": DEMO_APPID, "secret": "another"});
    bench.post("/_sim/app", &app).await;
    assert_eq!(errcode(&bench.exchange("x").await), 40125);
    let app = json!({"appid": DEMO_APPID, "secret": DEMO_SECRET});
    bench.post("/_sim/app", &app).await;
    assert_eq!(errcode(&bench.exchange("x").await), 40029);
}

#[tokio::test]
async fn tokens_and_codes_expire_over_http() {
    let bench = bench();
    let token = text(&bench.stable_token(false).await["access_token"]);
    bench.post("/_sim/expire_token", &json!({})).await;
    assert_eq!(bench.errcode_with(&token).await, 42001);
    let (first, second) = (bench.sim.code("alice"), bench.sim.code("alice"));
    bench.post("/_sim/expire_code", &json!({"code": first})).await;
    assert_eq!(errcode(&bench.exchange(&first).await), 40029);
    bench.post("/_sim/advance", &json!({"seconds": 301})).await;
    assert_eq!(errcode(&bench.exchange(&second).await), 40029);
}

#[tokio::test]
async fn the_valid_session_key_is_shown_over_http() {
    let bench = bench();
    let answer = bench.exchange(&bench.sim.code("alice")).await;
    let shown = bench.get("/_sim/session_key", &[("person", "alice")]).await;
    assert_eq!(shown, answer);
}

#[tokio::test]
async fn a_person_agrees_to_messages_over_http() {
    let bench = bench();
    bench.sim.code("alice");
    let agreed = json!({"person": "alice", "template_id": "T1"});
    bench.post("/_sim/agree", &agreed).await;
    let path = bench.with_token("/cgi-bin/message/subscribe/send").await;
    let message = json!({
        "touser": bench.sim.openid("alice"),
        "template_id": "T1",
        "data": {"thing1": {"value": "hello"}},
    });
    assert_eq!(errcode(&bench.post(&path, &message).await), 0);
}

#[tokio::test]
async fn a_control_call_that_makes_no_sense_is_refused_with_a_reason() {
    let bench = bench();
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
        let answer = bench.try_post(&format!("/_sim/{path}"), &body).await.unwrap();
        assert_eq!(answer.status(), 400);
        let answer: serde_json::Value = answer.json().await.unwrap();
        assert_eq!(answer, json!({"error": reason}));
    }
}

#[tokio::test]
async fn a_get_changes_nothing_of_how_the_platform_behaves() {
    let bench = bench();
    let answer = bench.try_get("/_sim/fail", &[("kind", "hang")]).await.unwrap();
    assert_eq!(answer.status(), 405);
    assert_eq!(errcode(&bench.exchange("x").await), 40029);
}

#[tokio::test]
async fn an_unknown_path_is_answered_as_the_platform_does() {
    let bench = bench();
    let answer = bench.get("/cgi-bin/nothing", &[]).await;
    assert_eq!(errcode(&answer), 40066);
}

#[tokio::test]
async fn the_start_page_is_chinese_first_and_its_lines_name_this_simulator() {
    let bench = bench();
    let page = bench.try_get("/", &[]).await.unwrap().text().await.unwrap();
    let chinese = page.find("生成登录 code").unwrap();
    let english = page.find("Make a login code").unwrap();
    assert!(chinese < english);
    let base = bench.sim.base_url();
    let line = format!("curl '{base}/_sim/code?appid={DEMO_APPID}&amp;person=alice'");
    assert!(page.contains(&line));
    assert!(!page.contains("{{") && !page.contains(DEMO_SECRET));
}

#[tokio::test]
async fn a_body_beyond_its_bound_is_refused() {
    let bench = bench();
    let large = json!({"code": "x".repeat(1024 * 1024)});
    let answer = bench.try_post("/wxa/msg_sec_check", &large).await.unwrap();
    assert_eq!(answer.status(), 413);
}
