//! WeChat's calls with an access token: what is sent, what is read, what is tried again.

use crate::peer::Peer;
use crate::{Scene, TOKEN};
use http::Method;
use menlou_error::{Error, codes};
use menlou_platform::{PlatformQuery, PlatformReply};
use menlou_simulator::Failure;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

const CHECK: &str = "/wxa/msg_sec_check";

fn asked(method: Method, fields: Value) -> PlatformQuery {
    PlatformQuery { method, path: CHECK.to_owned(), fields: fields.as_object().expect("an object").clone() }
}

fn check(scene: &Scene) -> PlatformQuery {
    asked(Method::POST, json!({ "content": "x", "version": 2, "scene": 1, "openid": scene.sim.openid("alice") }))
}

fn fields(answered: Result<PlatformReply, Error>) -> Value {
    match answered.expect("an answer") {
        PlatformReply::Fields(fields) => Value::Object(fields),
        PlatformReply::File { .. } => panic!("a file"),
    }
}

/// A peer that answers everything with these fields, beside those of a token.
async fn peer(mut fields: Value) -> Peer {
    fields["access_token"] = "token & more".into();
    fields["expires_in"] = 7200.into();
    Peer::json(&fields.to_string()).await
}

#[tokio::test]
async fn the_fields_of_a_get_are_its_query_and_those_of_a_post_its_body() {
    let scene = Scene::new().await;
    for (method, line, body) in [
        (Method::GET, "GET /wxa/msg_sec_check?access_token=token+%26+more&a=1&b=x%26y%3D HTTP/1.1", ""),
        (Method::POST, "POST /wxa/msg_sec_check?access_token=token+%26+more HTTP/1.1", r#"{"a":1,"b":"x&y="}"#),
    ] {
        let peer = peer(json!({ "errcode": 0, "errmsg": "ok" })).await;
        let wechat = scene.wechat_at(&peer.base_url, &format!("secret-of-{method}"));
        let got = fields(wechat.call(asked(method, json!({ "a": 1, "b": "x&y=" }))).await);
        assert_eq!(got.get("errcode").or(got.get("errmsg")), None, "what only says that it went well is left out");
        let requests = peer.requests();
        let [_, request] = &requests[..] else { panic!("{requests:?}") };
        assert_eq!(request.lines().next(), Some(line));
        assert!(request.ends_with(&format!("\r\n\r\n{body}")), "{request}");
    }
}

#[tokio::test]
async fn a_refused_token_is_renewed_once_and_other_refusals_are_final() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    scene.sim.code("alice");
    wechat.exchange(&scene.sim.code("alice")).await.expect("a person");
    fields(wechat.call(check(&scene)).await);
    scene.sim.first_app().revoke_tokens();
    fields(wechat.call(check(&scene)).await);
    assert_eq!((scene.sim.calls(CHECK), scene.sim.calls(TOKEN)), (3, 2));
    for (errcode, word) in [(45009, &codes::PLATFORM_QUOTA), (48001, &codes::TENANT_MISCONFIGURED)] {
        scene.sim.reset_calls();
        scene.sim.fail(CHECK, Failure::errcode(errcode), 1);
        let error = wechat.call(check(&scene)).await.err().expect("a refusal");
        assert!(error.is(word), "{error}");
        assert_eq!((scene.sim.calls(CHECK), scene.sim.calls(TOKEN)), (1, 0));
    }
}

#[tokio::test]
async fn a_lost_answer_is_not_asked_for_again_and_the_token_stands_in_no_error() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    wechat.exchange(&scene.sim.code("alice")).await.expect("a person");
    scene.sim.fail(CHECK, Failure::drop_connection().after_effect(), 1);
    let error = wechat.call(check(&scene)).await.err().expect("a failure");
    assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
    assert_eq!(scene.sim.calls(CHECK), 1);
    assert!(!format!("{error:?}").contains("access_token"), "{error:?}");
}

#[tokio::test]
async fn a_new_session_key_of_nobody_or_of_somebody_else_is_not_believed() {
    let scene = Scene::new().await;
    let key = SecretString::from("tiihtNczf5v6AKRyjwEUhQ==");
    for (n, answer) in [
        json!({ "errcode": 0, "errmsg": "ok" }),
        json!({ "openid": "o-other", "session_key": "new" }),
        json!({ "openid": "o-ann", "session_key": "x".repeat(500) }),
    ]
    .into_iter()
    .enumerate()
    {
        let peer = peer(answer).await;
        let wechat = scene.wechat_at(&peer.base_url, &format!("secret-{n}"));
        let error = wechat.reset_session_key("o-ann", &key).await.expect_err("a failure");
        assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
    }
}

#[tokio::test]
async fn a_session_key_is_renewed_with_its_signature_and_never_sent() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    let person = wechat.exchange(&scene.sim.code("alice")).await.expect("a person");
    let key = person.session_key.expect("a key");
    wechat.check_session_key(&person.openid, &key).await.expect("valid");
    let renewed = wechat.reset_session_key(&person.openid, &key).await.expect("a key");
    assert_ne!(renewed.expose_secret(), key.expose_secret());
    wechat.check_session_key(&person.openid, &renewed).await.expect("valid");
    let error = wechat.check_session_key(&person.openid, &key).await.expect_err("the old one");
    assert!(error.is(&codes::SESSION_EXPIRED), "{error}");

    let peer = peer(json!({ "errcode": 0 })).await;
    let wechat = scene.wechat_at(&peer.base_url, "another-secret");
    wechat.check_session_key("o-ann", &SecretString::from("o0q0otL8aEzpcZL/FT9WsQ==")).await.expect("ok");
    let sent = peer.requests().join("\n");
    assert!(
        !sent.contains("o0q0otL8") && sent.contains("46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128")
    );
}
