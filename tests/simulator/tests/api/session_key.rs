//! `/wxa/checksession` and `/wxa/resetusersessionkey`.

use aws_lc_rs::hmac;
use serde_json::Value;

use super::{Scene, errcode, text};

fn signature(session_key: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session_key.as_bytes());
    let tag = hmac::sign(&key, b"");
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn call(scene: &Scene, path: &str, openid: &str, session_key: &str) -> Value {
    let token = text(&scene.stable_token(false).await["access_token"]);
    let signature = signature(session_key);
    let query = [
        ("access_token", token.as_str()),
        ("openid", openid),
        ("signature", &signature),
        ("sig_method", "hmac_sha256"),
    ];
    scene.get(path, &query).await
}

async fn log_in(scene: &Scene) -> (String, String) {
    let response = scene.exchange(&scene.sim.code("alice")).await;
    (text(&response["openid"]), text(&response["session_key"]))
}

#[tokio::test]
async fn the_valid_session_key_passes_the_check_and_an_older_one_does_not() {
    let scene = Scene::new();
    let (openid, older) = log_in(&scene).await;
    let (_, valid) = log_in(&scene).await;
    let path = "/wxa/checksession";
    assert_eq!(errcode(&call(&scene, path, &openid, &valid).await), 0);
    assert_eq!(errcode(&call(&scene, path, &openid, &older).await), 87009);
}

#[tokio::test]
async fn a_reset_returns_a_new_session_key_and_invalidates_the_previous_one() {
    let scene = Scene::new();
    let (openid, previous) = log_in(&scene).await;
    let response = call(&scene, "/wxa/resetusersessionkey", &openid, &previous).await;
    assert_eq!(response["openid"], openid.as_str());
    let new = text(&response["session_key"]);
    let path = "/wxa/checksession";
    assert_eq!(errcode(&call(&scene, path, &openid, &previous).await), 87009);
    assert_eq!(errcode(&call(&scene, path, &openid, &new).await), 0);
}

#[tokio::test]
async fn an_unknown_user_and_a_user_without_login_have_no_session_key() {
    let scene = Scene::new();
    let path = "/wxa/checksession";
    assert_eq!(errcode(&call(&scene, path, "oUnknown", "k").await), 40003);
    scene.sim.code("bob");
    let openid = scene.sim.openid("bob");
    assert_eq!(errcode(&call(&scene, path, &openid, "k").await), 87007);
}

#[tokio::test]
async fn another_sig_method_is_rejected() {
    let scene = Scene::new();
    let path = scene.with_token("/wxa/checksession").await;
    let response = scene.get(&path, &[]).await;
    assert_eq!(errcode(&response), 87008);
}
