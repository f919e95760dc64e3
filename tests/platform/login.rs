//! The exchange of WeChat login codes.

use crate::peer::{Peer, Step, ok};
use crate::{SESSION, Scene, TOKEN, session_key};
use menlou_error::codes;
use menlou_simulator::Failure;
use proptest::prelude::*;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test]
async fn a_login_code_is_exchanged_for_an_identity_without_an_access_token() {
    let scene = Scene::new().await;
    let identity = scene.wechat().exchange(&scene.sim.code("alice")).await.expect("an identity");
    assert_eq!(identity.openid, scene.sim.openid("alice"));
    assert_eq!(Some(session_key(&identity)), scene.sim.first_app().session_key(&identity.openid).as_deref());
    assert_eq!(scene.sim.calls(TOKEN), 0);
}

#[tokio::test]
async fn a_response_is_parsed_whatever_its_content_type() {
    let body = r#"{"openid":"o1","session_key":"k","unionid":"u1","new_field":[1]}"#;
    for kind in ["text/plain", "image/png", "application/json; charset=GBK", ""] {
        let response =
            format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let peer = Peer::start(vec![Step::Send(response.into_bytes())]).await;
        let scene = Scene::new().await;
        let identity = scene.wechat_at(&peer.base_url, "s").exchange("c").await.expect("an identity");
        assert_eq!((identity.openid.as_str(), identity.unionid.as_deref()), ("o1", Some("u1")));
    }
}

#[tokio::test]
async fn a_code_with_special_characters_is_sent_url_encoded() {
    let peer = Peer::json(r#"{"openid":"o"}"#).await;
    let scene = Scene::new().await;
    scene.wechat_at(&format!("{}/", peer.base_url), "a&b").exchange("1&js_code=2 +%/中").await.expect("an identity");
    let line = peer.requests()[0].lines().next().expect("a line").to_owned();
    assert_eq!(
        line,
        "GET /sns/jscode2session?appid=wx4f4bc4dec97d474b&secret=a%26b&js_code=1%26js_code%3D2+%2B%25%2F%E4%B8%AD&grant_type=authorization_code HTTP/1.1"
    );
}

#[tokio::test]
async fn each_errcode_has_an_error_code_and_keeps_errcode_and_rid() {
    let scene = Scene::new().await;
    for (errcode, code) in [
        (-1, &codes::PLATFORM_BUSY),
        (40029, &codes::INVALID_CODE),
        (42003, &codes::INVALID_CODE),
        (40163, &codes::CODE_USED),
        (40226, &codes::USER_BLOCKED),
        (45009, &codes::PLATFORM_QUOTA),
        (45011, &codes::PLATFORM_BUSY),
        (40013, &codes::TENANT_MISCONFIGURED),
        (40125, &codes::TENANT_MISCONFIGURED),
        (40164, &codes::TENANT_MISCONFIGURED),
        (48001, &codes::TENANT_MISCONFIGURED),
        (89503, &codes::TENANT_MISCONFIGURED),
        (41008, &codes::INTERNAL_ERROR),
        (98765, &codes::PLATFORM_ERROR),
    ] {
        scene.sim.fail(SESSION, Failure::errcode(errcode), 1);
        let error = scene.wechat().exchange(&scene.sim.code("alice")).await.expect_err("an error");
        assert!(error.is(code), "{errcode}: {error}");
        let data = error.data().expect("data");
        assert_eq!(data["errcode"], errcode);
        assert!(data["rid"].as_str().is_some_and(|rid| rid.len() == 26), "{data}");
        assert!(error.cause().is_some_and(|cause| cause.contains(&errcode.to_string())));
    }
}

#[tokio::test]
async fn a_wrong_secret_is_an_error_that_names_the_appsecret() {
    let scene = Scene::new().await;
    let code = scene.sim.code("alice");
    let error = scene.wechat_at(scene.sim.base_url(), "not the secret").exchange(&code).await.expect_err("an error");
    assert!(error.is(&codes::TENANT_MISCONFIGURED));
    assert!(error.meaning().en.contains("AppSecret") && error.meaning().zh.contains("AppSecret"), "{error}");
}

#[tokio::test]
async fn an_errcode_given_as_a_string_is_read_as_a_number() {
    let scene = Scene::new().await;
    let peer = Peer::json(r#"{"errcode":"40163","errmsg":"code been used, hints: [ req_id: NcbPAA0688s166 ]"}"#).await;
    let error = scene.wechat_at(&peer.base_url, "s").exchange("c").await.expect_err("an error");
    assert!(error.is(&codes::CODE_USED));
    assert_eq!(error.data(), Some(&json!({ "errcode": 40163, "rid": "NcbPAA0688s166" })));
}

#[tokio::test]
async fn a_failing_platform_is_unreachable_or_busy_after_one_request() {
    let scene = Scene::new().await;
    for (failure, code) in [
        (Failure::drop_connection(), &codes::PLATFORM_UNREACHABLE),
        (Failure::truncate(), &codes::PLATFORM_UNREACHABLE),
        (Failure::status(500), &codes::PLATFORM_BUSY),
        (Failure::status(503), &codes::PLATFORM_BUSY),
        (Failure::status(404), &codes::PLATFORM_UNREACHABLE),
    ] {
        scene.sim.reset_calls();
        scene.sim.fail(SESSION, failure, 1);
        let error = scene.wechat().exchange(&scene.sim.code("alice")).await.expect_err("an error");
        assert!(error.is(code), "{error}");
        assert_eq!(scene.sim.calls(SESSION), 1);
    }
    let page = Peer::json("<html>Welcome to this network</html>").await;
    let error = scene.wechat_at(&page.base_url, "s").exchange("c").await.expect_err("an error");
    assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
    let error = scene.wechat_at("http://127.0.0.1:1", "s").exchange("c").await.expect_err("an error");
    assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
}

#[tokio::test]
async fn a_hanging_platform_is_unreachable_within_15_s() {
    let scene = Scene::new().await;
    scene.sim.fail(SESSION, Failure::hang(), 1);
    let started = Instant::now();
    let error = scene.wechat().exchange(&scene.sim.code("alice")).await.expect_err("an error");
    assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
    assert!(started.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_missing_too_long_or_unprintable_openid_is_rejected() {
    let scene = Scene::new().await;
    let long = "o".repeat(129);
    for body in [json!({}), json!({"openid":""}), json!({"openid":5}), json!({"openid":long}), json!({"openid":"a\nb"})]
    {
        let peer = Peer::json(&body.to_string()).await;
        let error = scene.wechat_at(&peer.base_url, "s").exchange("c").await.expect_err("an error");
        assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_response_of_the_platform_causes_a_panic(raw: Vec<u8>, body: Vec<u8>, text in r#"\{"(errcode|openid|errmsg)":(-?[0-9]{1,30}|"[^\\"]{0,9}"|null|\[\]),"errmsg":"[^\\"]{0,40}"\}"#) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let scene = Scene::new().await;
            for bytes in [raw, ok(body), ok(text)] {
                let peer = Peer::start(vec![Step::SendAndClose(bytes)]).await;
                let wechat = scene.wechat_at(&peer.base_url, "s");
                let _ = wechat.exchange("c").await;
                let _ = wechat.phone_number("c", None).await;
            }
        });
    }
}

#[tokio::test]
async fn a_compressed_response_is_read() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, br#"{"openid":"o-ann","session_key":"k"}"#).expect("a vector");
    let body = encoder.finish().expect("a vector");
    let head = format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", body.len());
    let peer = Peer::start(vec![Step::Send([head.into_bytes(), body].concat())]).await;
    let scene = Scene::new().await;
    let person = scene.wechat_at(&peer.base_url, "s").exchange("c").await.expect("a person");
    assert_eq!(person.openid, "o-ann");
}
