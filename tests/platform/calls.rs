//! WeChat API calls with an access token: requests, responses and retries.

use crate::peer::Peer;
use crate::{Scene, TOKEN};
use http::Method;
use menlou_error::{Error, codes};
use menlou_platform::{PlatformQuery, PlatformReply};
use menlou_simulator::Failure;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};

const CHECK: &str = "/wxa/msg_sec_check";

fn query(method: Method, fields: Value) -> PlatformQuery {
    PlatformQuery { method, path: CHECK.to_owned(), fields: fields.as_object().expect("an object").clone() }
}

fn check(scene: &Scene) -> PlatformQuery {
    query(Method::POST, json!({ "content": "x", "version": 2, "scene": 1, "openid": scene.sim.openid("alice") }))
}

fn fields(result: Result<PlatformReply, Error>) -> Value {
    match result.expect("a response") {
        PlatformReply::Fields(fields) => Value::Object(fields),
        PlatformReply::File { .. } => panic!("a file instead of fields"),
    }
}

/// A peer that responds to every request with these fields and those of an access token.
async fn start_peer(mut fields: Value) -> Peer {
    fields["access_token"] = "token & more".into();
    fields["expires_in"] = 7200.into();
    Peer::json(&fields.to_string()).await
}

#[tokio::test]
async fn fields_are_sent_as_the_query_of_a_get_and_as_the_body_of_a_post() {
    let scene = Scene::new().await;
    for (method, line, body) in [
        (Method::GET, "GET /wxa/msg_sec_check?access_token=token+%26+more&a=1&b=x%26y%3D HTTP/1.1", ""),
        (Method::POST, "POST /wxa/msg_sec_check?access_token=token+%26+more HTTP/1.1", r#"{"a":1,"b":"x&y="}"#),
    ] {
        let peer = start_peer(json!({ "errcode": 0, "errmsg": "ok" })).await;
        let wechat = scene.wechat_at(&peer.base_url, &format!("secret-of-{method}"));
        let got = fields(wechat.call(query(method, json!({ "a": 1, "b": "x&y=" }))).await);
        assert_eq!(got.get("errcode").or(got.get("errmsg")), None, "errcode 0 and its errmsg are removed");
        let requests = peer.requests();
        let [_, request] = &requests[..] else { panic!("{requests:?}") };
        assert_eq!(request.lines().next(), Some(line));
        assert!(request.ends_with(&format!("\r\n\r\n{body}")), "{request}");
    }
}

#[tokio::test]
async fn a_rejected_token_is_renewed_once_and_other_errors_are_final() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    wechat.exchange(&scene.sim.code("alice")).await.expect("an identity");
    fields(wechat.call(check(&scene)).await);
    scene.sim.first_app().revoke_tokens();
    fields(wechat.call(check(&scene)).await);
    assert_eq!((scene.sim.calls(CHECK), scene.sim.calls(TOKEN)), (3, 2));
    for (errcode, code) in [(45009, &codes::PLATFORM_QUOTA), (48001, &codes::TENANT_MISCONFIGURED)] {
        scene.sim.reset_calls();
        scene.sim.fail(CHECK, Failure::errcode(errcode), 1);
        let error = wechat.call(check(&scene)).await.err().expect("an error");
        assert!(error.is(code), "{error}");
        assert_eq!((scene.sim.calls(CHECK), scene.sim.calls(TOKEN)), (1, 0));
    }
}

#[tokio::test]
async fn a_lost_response_is_not_requested_again_and_no_error_contains_the_token() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    wechat.exchange(&scene.sim.code("alice")).await.expect("an identity");
    scene.sim.fail(CHECK, Failure::drop_connection().after_effect(), 1);
    let error = wechat.call(check(&scene)).await.err().expect("an error");
    assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
    assert_eq!(scene.sim.calls(CHECK), 1);
    assert!(!format!("{error:?}").contains("access_token"), "{error:?}");
}

#[tokio::test]
async fn a_new_session_key_for_no_or_another_openid_or_too_long_is_rejected() {
    let scene = Scene::new().await;
    let key = SecretString::from("tiihtNczf5v6AKRyjwEUhQ==");
    for (n, response) in [
        json!({ "errcode": 0, "errmsg": "ok" }),
        json!({ "openid": "o-other", "session_key": "new" }),
        json!({ "openid": "o-ann", "session_key": "x".repeat(500) }),
    ]
    .into_iter()
    .enumerate()
    {
        let peer = start_peer(response).await;
        let wechat = scene.wechat_at(&peer.base_url, &format!("secret-{n}"));
        let error = wechat.reset_session_key("o-ann", &key).await.expect_err("an error");
        assert!(error.is(&codes::PLATFORM_UNREACHABLE), "{error}");
    }
}

#[tokio::test]
async fn a_session_key_is_checked_and_reset_by_its_signature_and_never_sent() {
    let scene = Scene::new().await;
    let wechat = scene.wechat();
    let identity = wechat.exchange(&scene.sim.code("alice")).await.expect("an identity");
    let key = identity.session_key.expect("a session_key");
    wechat.check_session_key(&identity.openid, &key).await.expect("valid");
    let renewed = wechat.reset_session_key(&identity.openid, &key).await.expect("a session_key");
    assert_ne!(renewed.expose_secret(), key.expose_secret());
    wechat.check_session_key(&identity.openid, &renewed).await.expect("valid");
    let error = wechat.check_session_key(&identity.openid, &key).await.expect_err("the old session_key");
    assert!(error.is(&codes::SESSION_EXPIRED), "{error}");

    let peer = start_peer(json!({ "errcode": 0 })).await;
    let wechat = scene.wechat_at(&peer.base_url, "another-secret");
    wechat.check_session_key("o-ann", &SecretString::from("o0q0otL8aEzpcZL/FT9WsQ==")).await.expect("ok");
    let sent = peer.requests().join("\n");
    assert!(
        !sent.contains("o0q0otL8") && sent.contains("46e043c5525c2d817c44be603d30837a808a1d930d038f6fdc3e62a201fed128")
    );
}
