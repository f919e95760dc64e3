//! The two texts of an error: `msg` for people that use the mini-program, `data.detail` for developers.

use crate::scene::{Scene, Stores};
use menlou_harness::http::Request;

/// Words that only developers know.
const JARGON: [&str; 12] =
    ["参数", "phone_code", "code", "租户", "动作", "会话", "令牌", "Content-Type", "JSON", "openid", "网关", "请求体"];

#[test]
fn msg_is_for_people_and_detail_for_developers() {
    let scene = Scene::new(Stores::Embedded);
    let (client, session) = (scene.client(), scene.session("ann"));
    let post = |path: &str| client.send(&Request::post(path));
    for (response, error, detail) in [
        (session.call("login", &[("method", "phone")]), "missing_parameter", "phone_code"),
        (session.call("login", &[("method", "magic")]), "bad_parameter", "method"),
        (session.call("login", &[("method", "phone"), ("phone_code", "made-up")]), "invalid_code", "code"),
        (session.call("login", &[("method", "delegate")]), "method_not_allowed_here", "登录方式"),
        (client.call("openid", &[("code", "made-up")]), "invalid_code", "code"),
        (client.call("user", &[]), "login_required", "令牌"),
        (client.with("ended").call("user", &[]), "session_expired", "会话"),
        (post("/srv/nobody/openid"), "unknown_tenant", "租户"),
        (post("/srv/manulife/nothing"), "unknown_action", "动作"),
        (
            client.send(&Request::post(client.target("openid")).body("text/plain", "x")),
            "unsupported_media_type",
            "Content-Type",
        ),
        (client.send(&Request::post(client.target("openid")).body("application/json", "x")), "bad_body", "JSON"),
        (client.send(&Request::new("GET", client.target("openid"))), "wrong_http_method", "POST"),
    ] {
        assert_eq!(response.error.as_deref(), Some(error), "{response:?}");
        assert!(response.detail().contains(detail), "{error}: {}", response.detail());
        for word in JARGON {
            assert!(!response.msg.contains(word), "{error}: {}", response.msg);
        }
    }
    assert_eq!(client.with("ended").call("user", &[]).msg, "登录已过期，请重新登录");
}

#[test]
fn a_refusal_of_the_platform_keeps_its_errcode_beside_the_detail() {
    let scene = Scene::new(Stores::Embedded);
    let failed = scene.client().with_language("en").call("openid", &[("code", "made-up")]);
    failed.assert_error(200, "invalid_code");
    assert_eq!(failed.data["errcode"], 40029);
    assert!(failed.data["rid"].is_string() && !failed.detail().is_empty(), "{failed:?}");
}
