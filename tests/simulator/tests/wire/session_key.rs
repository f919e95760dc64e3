//! `/wxa/checksession` and `/wxa/resetusersessionkey`.

use aws_lc_rs::hmac;
use serde_json::Value;

use super::{Bench, bench, errcode, text};

fn signature(session_key: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, session_key.as_bytes());
    let tag = hmac::sign(&key, b"");
    tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn call(bench: &Bench, path: &str, openid: &str, session_key: &str) -> Value {
    let token = text(&bench.stable_token(false).await["access_token"]);
    let signature = signature(session_key);
    let query = [
        ("access_token", token.as_str()),
        ("openid", openid),
        ("signature", &signature),
        ("sig_method", "hmac_sha256"),
    ];
    bench.get(path, &query).await
}

async fn logged_in(bench: &Bench) -> (String, String) {
    let answer = bench.exchange(&bench.sim.code("alice")).await;
    (text(&answer["openid"]), text(&answer["session_key"]))
}

#[tokio::test]
async fn the_valid_session_key_passes_the_check_and_an_older_one_does_not() {
    let bench = bench();
    let (openid, older) = logged_in(&bench).await;
    let (_, valid) = logged_in(&bench).await;
    let path = "/wxa/checksession";
    assert_eq!(errcode(&call(&bench, path, &openid, &valid).await), 0);
    assert_eq!(errcode(&call(&bench, path, &openid, &older).await), 87009);
}

#[tokio::test]
async fn a_reset_answers_a_new_session_key_and_the_one_before_is_no_longer_valid() {
    let bench = bench();
    let (openid, before) = logged_in(&bench).await;
    let answer = call(&bench, "/wxa/resetusersessionkey", &openid, &before).await;
    assert_eq!(answer["openid"], openid.as_str());
    let new = text(&answer["session_key"]);
    let path = "/wxa/checksession";
    assert_eq!(errcode(&call(&bench, path, &openid, &before).await), 87009);
    assert_eq!(errcode(&call(&bench, path, &openid, &new).await), 0);
}

#[tokio::test]
async fn a_person_unknown_or_never_logged_in_has_no_session_key_to_check() {
    let bench = bench();
    let path = "/wxa/checksession";
    assert_eq!(errcode(&call(&bench, path, "oUnknown", "k").await), 40003);
    bench.sim.code("bob");
    let openid = bench.sim.openid("bob");
    assert_eq!(errcode(&call(&bench, path, &openid, "k").await), 87007);
}

#[tokio::test]
async fn another_sig_method_is_refused() {
    let bench = bench();
    let path = bench.with_token("/wxa/checksession").await;
    let answer = bench.get(&path, &[]).await;
    assert_eq!(errcode(&answer), 87008);
}
