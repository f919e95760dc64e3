//! The contract with clients for every action: URLs, parameters, envelope, languages, statuses.

use crate::scene::{Scene, Stores, TENANT, TEST_OPENID, eventually};
use menlou_harness::{
    Envelope,
    http::{self, Request, encode},
};
use menlou_simulator::Failure;
use serde_json::{Value, json};
use std::io::Write;

/// The request of the original API document, unchanged.
const DOCUMENTED: &str = "/srv/?f=manulife&a=openid&code=&openid=oAHBN10P-hn-vF1cTY4tQeStQFmU";

fn scene() -> Scene {
    Scene::new(Stores::Embedded)
}

fn with_test_openids() -> Scene {
    Scene::with(Stores::Embedded, |setup, _| setup.setting("testing.allow_test_openids", "true"))
}

#[test]
fn request_of_the_original_api_document_works_unchanged() {
    let scene = with_test_openids();
    let unbound = scene.client().send(&Request::post(DOCUMENTED));
    assert_eq!(unbound.ok()["user"], Value::Null);

    let profile = [("method", "profile"), ("name", "安"), ("avatar_url", "https://example.com/a.png")];
    scene.client().with(unbound.token().unwrap()).call("login", &profile).ok();

    let bound = scene.client().send(&Request::post(DOCUMENTED));
    let user = bound.ok()["user"].clone();
    assert_eq!(user, json!({ "id": user["id"], "name": "安", "avatar_url": "https://example.com/a.png" }));
    assert!(user["id"].is_i64());
    let session = bound.data["session"].as_object().unwrap();
    assert_eq!(session.keys().collect::<Vec<_>>(), ["expires_in", "token"]);
    assert_eq!(session["expires_in"], json!(7 * 24 * 3600));
    assert!(bound.token().unwrap().len() >= 43, "256 random bits");
}

#[test]
fn test_openid_is_rejected_unless_gateway_and_tenant_allow_it() {
    let scene = scene();
    scene.client().send(&Request::post(DOCUMENTED)).assert_error(200, "test_openid_refused");
    assert!(scene.log().contains("test openid"), "a warning is logged");

    let scene = with_test_openids();
    scene.client().call("openid", &[("openid", "oSomebodyElse")]).assert_error(200, "test_openid_refused");
    assert!(scene.log().contains("test openid"), "a warning is logged");
    let code = scene.sim.code("ann");
    let both = scene.client().call("openid", &[("openid", TEST_OPENID), ("code", &code)]);
    both.ok();
    assert_eq!(scene.sim.calls("/sns/jscode2session"), 0, "the openid takes precedence over the code");
}

#[test]
fn empty_openid_counts_as_absent() {
    let scene = scene();
    let code = scene.sim.code("ann");
    let target = format!("/srv/?f={TENANT}&a=openid&openid=&code={code}");
    scene.secrets().add(&code);
    scene.client().send(&Request::post(target)).ok();
    scene
        .client()
        .send(&Request::post(format!("/srv/?f={TENANT}&a=openid&openid=&code=")))
        .assert_error(400, "missing_parameter");
}

#[test]
fn every_form_of_the_url_reaches_the_action() {
    let scene = scene();
    let code = || {
        let code = scene.sim.code("ann");
        scene.secrets().add(&code);
        code
    };
    for target in [
        format!("/srv/?f={TENANT}&a=openid&code={}", code()),
        format!("/srv?f={TENANT}&a=openid&code={}", code()),
        format!("/srv?code={}&a=openid&f={TENANT}", code()),
        format!("/srv/{TENANT}/openid?code={}", code()),
    ] {
        scene.client().send(&Request::post(&target)).ok();
    }
}

#[test]
fn connection_serves_one_request_after_another() {
    let scene = scene();
    let code = || scene.sim.code("ann");
    let head = format!("POST /srv/{TENANT}/openid HTTP/1.1\r\nHost: a\r\n");
    let json = |code: String| format!("{{\"code\":\"{code}\"}}");
    let (first, second) = (json(code()), json(code()));
    let length = format!("{head}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{first}", first.len());
    let (begin, end) = second.split_at(5);
    let chunks = format!("{:x}\r\n{begin}\r\n{:x}\r\n{end}\r\n0\r\n\r\n", begin.len(), end.len());
    let chunked = format!("{head}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
    let waiting = format!("{head}Content-Length: 0\r\nExpect: 100-continue\r\n\r\n");
    let unknown_action = format!("{}\r\n", head.replace("openid", "nothing"));
    let mut stream = http::connect(scene.addr()).unwrap();
    for (request, status) in [(length, 200), (chunked, 200), (waiting, 400), (unknown_action, 404)] {
        stream.write_all(request.as_bytes()).unwrap();
        assert_eq!(Envelope::parse(http::read(&mut stream).unwrap()).status, status, "{request}");
    }
}

#[test]
fn parameters_come_from_query_form_and_json() {
    let scene = scene();
    let target = scene.client().target("openid");
    let code = || scene.sim.code("ann");
    for request in [
        Request::post(format!("{target}&{}", encode(&[("code", &code())]))),
        Request::post(&target).form(&[("code", &code())]),
        Request::post(&target).json(&json!({ "code": code() })),
        Request::post(&target).body("application/json; charset=utf-8", json!({ "code": code() }).to_string()),
        Request::post(&target).body("application/x-www-form-urlencoded; charset=UTF-8", encode(&[("code", &code())])),
        Request::post(format!("/srv/{TENANT}/openid")).json(&json!({ "code": code() })),
    ] {
        scene.client().send(&request).ok();
    }
}

#[test]
fn body_parameters_override_query_parameters() {
    let scene = scene();
    let target = format!("{}&code=not-a-code", scene.client().target("openid"));
    scene.client().send(&Request::post(&target).form(&[("code", &scene.sim.code("ann"))])).ok();
    scene.client().send(&Request::post(&target).json(&json!({ "code": scene.sim.code("ann") }))).ok();
    // An empty value in the body overrides as well: the parameter is missing.
    scene.client().send(&Request::post(&target).form(&[("code", "")])).assert_error(400, "missing_parameter");
    // Tenant and action come from the URL only.
    let ignored = json!({ "f": "nowhere", "a": "nothing", "code": scene.sim.code("ann") });
    scene.client().send(&Request::post(scene.client().target("openid")).json(&ignored)).ok();
    scene
        .client()
        .send(&Request::post("/srv/").form(&[("f", TENANT), ("a", "user")]))
        .assert_error(400, "missing_parameter");
}

#[test]
fn unicode_text_is_returned_as_it_was_sent() {
    let scene = scene();
    let client = scene.session("ann");
    let name = "安妮 👩‍👩‍👧 \"quoted\" \\ </script>";
    let target = client.target("login");
    let user = client.send(&Request::post(&target).json(&json!({ "method": "profile", "name": name })));
    assert_eq!(user.ok()["user"]["name"], json!(name));
    let user = client.call("user", &[("name", name)]);
    assert_eq!(user.ok()["user"]["name"], json!(name));
}

#[test]
fn rejected_requests_have_documented_status_and_error_code() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("server.max_body", "\"1KiB\""));
    let client = scene.client();
    let target = client.target("openid");
    let large = "x".repeat(4096);
    for (request, status, code) in [
        (Request::post("/srv/?a=openid"), 400, "missing_parameter"),
        (Request::post("/srv/?f=manulife"), 400, "missing_parameter"),
        (Request::post("/srv/?f=&a=openid"), 400, "missing_parameter"),
        (Request::post(&target), 400, "missing_parameter"),
        (Request::post(client.target("user")), 401, "login_required"),
        (Request::post(client.target("user")).bearer("made-up"), 401, "session_expired"),
        (Request::post("/srv/?f=nobody&a=openid&code=1"), 404, "unknown_tenant"),
        (Request::post("/srv/nobody/openid?code=1"), 404, "unknown_tenant"),
        (Request::post(client.target("nothing")), 404, "unknown_action"),
        (Request::post("/"), 404, "not_found"),
        (Request::post("/srv/manulife"), 404, "not_found"),
        (Request::post("/srv/manulife/openid/more"), 404, "not_found"),
        (Request::new("GET", "/favicon.ico"), 404, "not_found"),
        (Request::new("GET", &target), 405, "wrong_http_method"),
        (Request::new("PUT", &target).form(&[("code", "1")]), 405, "wrong_http_method"),
        (Request::new("DELETE", "/srv/manulife/openid"), 405, "wrong_http_method"),
        (Request::post(&target).form(&[("code", &large)]), 413, "body_too_large"),
        (Request::post(&target).body("text/plain", "code=1"), 415, "unsupported_media_type"),
        (Request::post(&target).body("multipart/form-data; boundary=x", "--x--"), 415, "unsupported_media_type"),
    ] {
        let response = client.send(&request);
        assert_eq!((response.status, response.error.as_deref()), (status, Some(code)), "{request:?}: {}", response.msg);
    }
    let rejected = client.send(&Request::new("GET", &target));
    assert!(rejected.response.header("allow").is_some_and(|allow| allow.contains("POST")), "405 has an Allow header");
}

#[test]
fn excess_requests_answer_503_and_slow_ones_504() {
    let scene = Scene::with(Stores::Embedded, |setup, _| {
        setup.setting("server.max_concurrent_requests", "1").setting("server.call_timeout", "\"2s\"")
    });
    scene.sim.fail("/sns/jscode2session", Failure::hang(), 1);
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| scene.authorize("ann"));
        eventually("the exchange has begun", || (scene.sim.calls("/sns/jscode2session") == 1).then_some(()));
        let rejected = scene.client().call("openid", &[("code", "made-up-code")]);
        rejected.assert_error(503, "overloaded");
        assert!(rejected.response.header("retry-after").is_some());
        slow.join().expect("no panic").assert_error(504, "call_timeout");
    });
    scene.authorize("ann").ok();
}

#[test]
fn action_failure_answers_200_with_an_error_code() {
    let scene = scene();
    scene.client().call("openid", &[("code", "made-up-code")]).assert_error(200, "invalid_code");
    let failed = scene.client().call("openid", &[("code", "made-up-code-2")]);
    assert!(failed.data.is_object());
}

#[test]
fn message_language_follows_accept_language() {
    let scene = scene();
    let detail = |language: &str| scene.client().with_language(language).call("openid", &[]).detail().to_owned();
    let (zh, en) = ("缺少参数 code", "The parameter code is missing.");
    assert_eq!(scene.client().call("openid", &[]).detail(), zh);
    for (language, expected) in [
        ("zh-CN,zh;q=0.9,en;q=0.8", zh),
        ("zh", zh),
        ("*", zh),
        ("fr", zh),
        ("", zh),
        ("nonsense;;q=x", zh),
        ("en", en),
        ("en-US,en;q=0.9,zh;q=0.8", en),
        ("zh;q=0.5, en;q=0.9", en),
    ] {
        assert_eq!(detail(language), expected, "Accept-Language: {language}");
    }
    for language in ["zh", "en"] {
        let client = scene.session("ann").with_language(language);
        let login = client.call("login", &[("method", "profile"), ("name", "Ann")]);
        login.ok();
        assert_eq!(login.msg.is_ascii(), language == "en", "{}", login.msg);
    }
}

#[test]
fn every_response_carries_the_clients_request_id_or_a_new_one() {
    let scene = scene();
    let id = |envelope: &Envelope| envelope.response.header("x-request-id").unwrap().to_owned();
    let target = scene.client().target("openid");
    let generated: std::collections::BTreeSet<_> =
        (0..5).map(|_| id(&scene.client().send(&Request::post(&target)))).collect();
    assert_eq!(generated.len(), 5);
    let from_client = scene.client().send(&Request::post(&target).header("X-Request-Id", "from-my.proxy_1"));
    assert_eq!(id(&from_client), "from-my.proxy_1");
    assert!(scene.log().contains("from-my.proxy_1"), "the log has it as well");
    for bad in ["has space", "x".repeat(65).as_str(), "né", "<script>"] {
        let response = scene.client().send(&Request::post(&target).header("X-Request-Id", bad));
        assert_ne!(id(&response), bad);
    }
}

#[test]
fn traffic_port_does_not_serve_admin_paths() {
    let scene = scene();
    for path in ["/healthz", "/readyz", "/metrics", "/admin"] {
        scene.client().send(&Request::new("GET", path)).assert_error(404, "not_found");
    }
    assert_eq!(scene.admin("/healthz").unwrap().status, 200);
    assert_eq!(scene.readiness().0, 200);
    let metrics = scene.admin("/metrics").unwrap();
    assert_eq!(metrics.status, 200);
    assert!(metrics.text().lines().any(|line| line.starts_with("# TYPE ")), "{}", metrics.text());
}
