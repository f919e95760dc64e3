//! The exchange of WeChat phone codes.

use crate::peer::{Peer, Step, ok};
use crate::{PHONE, Scene};
use menlou_error::codes;
use menlou_simulator::{Failure, PhoneNumber};
use serde_json::{Value, json};

#[tokio::test]
async fn a_phone_code_is_exchanged_for_a_number_in_e164() {
    let scene = Scene::new().await;
    let (wechat, app) = (scene.wechat(), scene.sim.first_app());
    for (number, e164) in [
        (PhoneNumber::new("13800138000"), "+8613800138000"),
        (PhoneNumber::new("13800138000").country("86"), "+8613800138000"),
        (PhoneNumber::new("61234567").country("852"), "+85261234567"),
        (PhoneNumber::new("2025550123").country(1), "+12025550123"),
        (PhoneNumber::new("3591234").country(1242), "+12423591234"),
        (PhoneNumber::new("3591234").country("1242"), "+12423591234"),
    ] {
        assert_eq!(wechat.phone_number(&app.phone_code(number), None).await.expect("a number"), e164);
    }
}

#[tokio::test]
async fn a_used_phone_code_and_a_login_code_are_invalid_and_sent_once() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    let code = scene.sim.phone_code("13800138000");
    wechat.phone_number(&code, None).await.expect("a number");
    for code in [code, scene.sim.code("alice")] {
        let error = wechat.phone_number(&code, None).await.expect_err("an error");
        assert!(error.is(&codes::INVALID_CODE), "{error}");
    }
    assert_eq!(scene.sim.calls(PHONE), 3);
}

#[tokio::test]
async fn a_phone_code_of_another_mini_program_is_an_invalid_code() {
    let scene = Scene::new().await;
    scene.sim.fail(PHONE, Failure::errcode(40013), 1);
    let error = scene.wechat().phone_number("c", None).await.expect_err("an error");
    assert!(error.is(&codes::INVALID_CODE), "{error}");
    assert_eq!(error.data().expect("data")["errcode"], 40013);
}

#[tokio::test]
async fn a_phone_code_of_another_user_is_rejected_and_stays_valid_for_its_user() {
    let scene = Scene::new().await;
    let (wechat, app) = (scene.wechat(), scene.sim.first_app());
    let code = app.phone_code_for("ann", PhoneNumber::new("13800138000"));
    let error = wechat.phone_number(&code, Some(&app.openid("mallory"))).await.expect_err("an error");
    assert!(error.is(&codes::INVALID_CODE), "{error}");
    assert!(error.meaning().en.contains("another user"), "{error}");
    assert_eq!(error.data().expect("data")["errcode"], 40003);
    assert_eq!(wechat.phone_number(&code, Some(&app.openid("ann"))).await.expect("a number"), "+8613800138000");
}

#[tokio::test]
async fn a_lost_response_is_not_requested_again() {
    let scene = Scene::new().await;
    scene.sim.fail(PHONE, Failure::drop_connection().after_effect(), 1);
    let error = scene.wechat().phone_number(&scene.sim.phone_code("13800138000"), None).await.expect_err("an error");
    assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
    assert_eq!(scene.sim.calls(PHONE), 1);
}

fn info(country: Value, number: Value) -> Value {
    json!({"errcode":0,"phone_info":{"countryCode":country,"purePhoneNumber":number}})
}

#[tokio::test]
async fn an_invalid_phone_number_is_rejected_and_absent_from_the_error() {
    for response in [
        json!({"errcode":0,"errmsg":"ok"}),
        json!({"phone_info":"13800138000"}),
        info(json!(86), json!("")),
        info(json!(86), json!(-13800138000_i64)),
        info(json!(86), json!(13800138000.5)),
        info(json!(86), json!("1380013800x")),
        info(json!(86), json!("13800138000138")),
        info(json!(86), json!("123")),
        info(json!(0), json!("13800138000")),
        info(json!(-86), json!("13800138000")),
        info(json!(12345), json!("1380013800")),
        info(json!(1242), json!("138001380001")),
        info(json!("CN"), json!("13800138000")),
        info(Value::Null, json!("13800138000")),
    ] {
        let token = ok(r#"{"access_token":"T","expires_in":7200}"#);
        let peer = Peer::start(vec![Step::Send(token), Step::Send(ok(response.to_string()))]).await;
        let scene = Scene::new().await;
        let error = scene.wechat_at(&peer.base_url, "s").phone_number("c", None).await.expect_err("an error");
        assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
        assert!(!format!("{error:?}").contains("138001380"), "{error:?}");
    }
}

#[tokio::test]
async fn country_code_and_number_are_normalised() {
    for (country, number) in [
        (json!("+86"), json!("138 0013-8000")),
        (json!("0086"), json!(" 13800138000 ")),
        (json!(86), json!(13800138000_u64)),
    ] {
        let token = ok(r#"{"access_token":"T","expires_in":"7200"}"#);
        let response = ok(info(country, number).to_string());
        let peer = Peer::start(vec![Step::Send(token), Step::Send(response)]).await;
        let scene = Scene::new().await;
        let number = scene.wechat_at(&peer.base_url, "s").phone_number("c", None).await.expect("a number");
        assert_eq!(number, "+8613800138000");
    }
}
