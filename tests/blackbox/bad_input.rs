//! Invalid input: every request receives a clear envelope, and the gateway keeps serving.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, neighbours_code};
use menlou_harness::{
    Envelope,
    http::{self, Request, encode},
};
use serde_json::json;
use std::io::Write;

/// Sends invalid input, then checks that the gateway serves, has not panicked and has logged little.
fn survives(send_invalid_input: impl FnOnce(&Scene)) {
    let mut scene = Scene::with(Stores::Embedded, |setup, _| {
        setup.setting("server.max_body", "\"64KiB\"").setting("server.body_timeout", "\"2s\"")
    });
    let before = scene.log().len();
    send_invalid_input(&scene);
    scene.person("ann").call("user", &[]).ok();
    let log = scene.log();
    let written = log.get(before..).unwrap_or_default();
    assert!(!written.to_lowercase().contains("panicked"), "{written}");
    assert!(written.len() < 100 * 1024, "{} bytes of log", written.len());
    assert!(scene.gateway.is_running());
}

#[test]
fn too_long_and_mistyped_values_are_rejected_by_parameter_name() {
    survives(|scene| {
        let session = scene.session("ann");
        let (long, longer) = ("x".repeat(300), "x".repeat(2049));
        let deep = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
        for (action, fields, parameter) in [
            ("openid", vec![("code", longer.as_str())], "code"),
            ("openid", vec![("openid", long.as_str())], "openid"),
            ("login", vec![("method", "magic")], "method"),
            ("login", vec![("method", &long)], "method"),
            ("login", vec![("method", "phone"), ("phone_code", &longer)], "phone_code"),
            ("login", vec![("method", "password"), ("account", &long), ("password", "x")], "account"),
            ("login", vec![("method", "password"), ("account", "x"), ("password", &long)], "password"),
            ("login", vec![("method", "profile"), ("name", &long)], "name"),
            ("login", vec![("method", "profile"), ("name", "x"), ("avatar_url", &longer)], "avatar_url"),
            ("logout", vec![("unbind", "perhaps")], "unbind"),
        ] {
            let response = session.with_language("en").call(action, &fields);
            response.assert_error(400, "bad_parameter");
            assert!(response.detail().contains(parameter), "{action} {parameter}: {}", response.detail());
            assert!(!response.response.text().contains("xxxxxxxx"), "the value is not repeated: {}", response.detail());
        }
        for (body, parameter) in [
            (json!({ "code": 7 }), "code"),
            (json!({ "code": ["a", "b"] }), "code"),
            (json!({ "code": { "a": 1 } }), "code"),
            (json!({ "code": true }), "code"),
        ] {
            let response = session.with_language("en").send(&Request::post(session.target("openid")).json(&body));
            response.assert_error(400, "bad_parameter");
            assert!(response.detail().contains(parameter), "{}", response.detail());
        }
        for body in [json!({ "code": null }), json!({ "code": "" }), json!({})] {
            session.send(&Request::post(session.target("openid")).json(&body)).assert_error(400, "missing_parameter");
        }
        let nested = Request::post(session.target("openid")).body("application/json", format!("{{\"code\":{deep}}}"));
        assert_eq!(session.send(&nested).status, 400);
    });
}

#[test]
fn repeated_parameters_are_rejected() {
    survives(|scene| {
        let client = scene.client();
        let target = client.target("openid");
        for request in [
            Request::post(format!("{target}&code=1&code=2")),
            Request::post(format!("{target}&f=neighbour")),
            Request::post(format!("{target}&a=user")),
            Request::post(&target).body("application/x-www-form-urlencoded", "code=1&code=2"),
            Request::post(&target).body("application/json", r#"{"code":"1","code":"2"}"#),
        ] {
            let response = client.send(&request);
            assert_eq!(response.status, 400, "{request:?} {response:?}");
        }
    });
}

#[test]
fn invalid_encodings_are_rejected() {
    survives(|scene| {
        let client = scene.client();
        let target = client.target("openid");
        for request in [
            Request::post(format!("{target}&code=%FF%FE")),
            Request::post(format!("{target}&code=a%00b")),
            Request::post(format!("{target}&%FF=1&code=x")),
            Request::post(format!("/srv/{TENANT}/%FF?code=1")),
            Request::post(&target).body("application/x-www-form-urlencoded", "code=%C3%28"),
            Request::post(&target).body("application/x-www-form-urlencoded", b"code=\xff".to_vec()),
            Request::post(&target).body("application/json", b"{\"code\":\"\xff\"}".to_vec()),
            Request::post(&target).body("application/json", r#"{"code":"\ud800"}"#),
        ] {
            let response = client.send(&request);
            assert!([400, 404].contains(&response.status), "{request:?} {response:?}");
        }
        // An incomplete percent escape is taken literally, as in the URL standard, or rejected.
        for incomplete in ["%", "%2", "%zz"] {
            let response = client.send(&Request::post(format!("{target}&code={incomplete}")));
            assert!([200, 400].contains(&response.status), "{incomplete} {response:?}");
        }
    });
}

#[test]
fn bodies_that_do_not_match_their_content_type_are_rejected() {
    survives(|scene| {
        let client = scene.client();
        let target = client.target("openid");
        let deep = "[".repeat(30_000);
        let deep_object = "{\"a\":".repeat(5_000);
        for (content_type, body, status, code) in [
            ("application/json", "not json", 400, "bad_body"),
            ("application/json", "{\"code\":\"1\"", 400, "bad_body"),
            ("application/json", "{\"code\":\"1\"} trailing", 400, "bad_body"),
            ("application/json", "[]", 400, "bad_body"),
            ("application/json", "\"text\"", 400, "bad_body"),
            ("application/json", "null", 400, "bad_body"),
            ("application/json", "17", 400, "bad_body"),
            ("application/json", &deep, 400, "bad_body"),
            ("application/json", &deep_object, 400, "bad_body"),
            ("application/json; charset=gbk", "{}", 415, "unsupported_media_type"),
            ("text/xml", "<code/>", 415, "unsupported_media_type"),
            ("application/octet-stream", "code=1", 415, "unsupported_media_type"),
            ("nonsense", "code=1", 415, "unsupported_media_type"),
            ("", "code=1", 415, "unsupported_media_type"),
        ] {
            let response = client.send(&Request::post(&target).body(content_type, body));
            let got = (response.status, response.error.as_deref());
            assert_eq!(got, (status, Some(code)), "{content_type}: {:.40}: {}", body, response.msg);
        }
        let large = format!("{{\"code\":\"{}\"}}", "x".repeat(1024 * 1024));
        client.send(&Request::post(&target).body("application/json", large)).assert_error(413, "body_too_large");
    });
}

#[test]
fn malformed_tenant_and_action_names_are_rejected() {
    survives(|scene| {
        let client = scene.client();
        let long = "x".repeat(10_000);
        for name in [
            "../manulife",
            "..",
            ".",
            "/",
            "manulife/",
            "manulife.toml",
            "a/b",
            "manulife\0",
            "\0",
            "MANULIFE",
            " manulife",
            "manulife ",
            "__proto__",
            "'; drop table users; --",
            "%2e%2e",
            "门楼",
            "\r\nX-Injected: 1",
            "*",
            long.as_str(),
        ] {
            for (f, a) in [(name, "openid"), (TENANT, name)] {
                let response = client.send(&Request::post(format!("/srv/?{}", encode(&[("f", f), ("a", a)]))));
                assert!([400, 404, 414].contains(&response.status), "f={f:.20?} a={a:.20?}: {response:?}");
                assert!(response.response.header("x-injected").is_none());
                assert!(!response.msg.contains("xxxxxxxx"), "{}", response.msg);
            }
        }
        for target in
            ["/srv/../etc/passwd", "/srv/%2e%2e/openid", "/srv//openid", "/srv/manulife/", "/srv/manulife/..%2fuser"]
        {
            let response = client.send(&Request::post(target));
            assert!([400, 404].contains(&response.status), "{target}: {response:?}");
        }
        let many: String = (0..5000).map(|n| format!("&p{n}={n}")).collect();
        let response = client.send(&Request::post(format!("{}{}", client.target("openid"), &many[..8_000])));
        assert_eq!(response.status, 400, "{response:?}");
        let form = client.send(
            &Request::post(client.target("openid"))
                .body("application/x-www-form-urlencoded", many.trim_start_matches('&')),
        );
        assert_eq!(form.status, 400, "{form:?}");
    });
}

#[test]
fn forged_and_foreign_tokens_are_rejected() {
    survives(|scene| {
        let authorized =
            scene.gateway.client(NEIGHBOUR).call("openid", &[("code", &neighbours_code(&scene.sim, "ann"))]);
        let foreign = authorized.token().expect("a token");
        let long = "A".repeat(10_000);
        let target = scene.client().target("user");
        let mut codes = Vec::new();
        for authorization in [
            format!("Bearer {foreign}"),
            format!("bearer {foreign}"),
            "Bearer forged-token-of-somebody".to_owned(),
            format!("Bearer {}", "A".repeat(43)),
            format!("Bearer {long}"),
            "Bearer".to_owned(),
            "Bearer ".to_owned(),
            "Bearer a b".to_owned(),
            "Bearer \u{e9}\u{e9}".to_owned(),
            "Basic YW5uOnBhc3N3b3Jk".to_owned(),
            "nonsense".to_owned(),
            String::new(),
        ] {
            let response = scene.client().send(&Request::post(&target).header("Authorization", &authorization));
            codes.push(response.error.clone().unwrap_or_default());
            assert!([400, 401].contains(&response.status), "{authorization:.40}: {response:?}");
        }
        assert_eq!(codes.first().map(String::as_str), Some("session_expired"), "{codes:?}");
    });
}

#[test]
fn expired_session_answers_401() {
    let scene = Scene::with(Stores::Both, |mut setup, sim| {
        setup.tenants[0].1 =
            crate::scene::tenant(sim).replace("[actions.user]", "[session]\nttl = \"1m\"\n\n[actions.user]");
        setup
    });
    let authorized = scene.authorize("ann");
    assert_eq!(authorized.ok()["session"]["expires_in"], json!(60));
    let redis = scene.redis.as_ref().unwrap();
    let keys = redis.command(&["KEYS", "menlou:{manulife}:s:*"]);
    let key = keys.lines().find(|line| line.starts_with("menlou:")).expect("the session's key").trim().to_owned();
    redis.command(&["PEXPIRE", &key, "1"]);
    crate::scene::eventually("the session is gone", || {
        let response = scene.client().with(authorized.token().unwrap()).call("user", &[]);
        (response.status == 401 && response.error.as_deref() == Some("session_expired")).then_some(())
    });
}

#[test]
fn malformed_http_answers_an_envelope_and_closes_the_connection() {
    survives(|scene| {
        let post = "POST /srv/?f=manulife&a=openid HTTP/1.1\r\n";
        for (case, bytes) in [
            ("two lengths", format!("{post}Host: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")),
            ("an unsupported transfer encoding", format!("{post}Host: a\r\nTransfer-Encoding: gzip\r\n\r\n")),
            ("an invalid length", format!("{post}Host: a\r\nContent-Length: +1\r\n\r\na")),
            ("a space before the colon", format!("{post}Host : a\r\n\r\n")),
            ("not HTTP", "hello\r\n\r\n".to_owned()),
            ("TLS", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\r\n\r\n".to_owned()),
            ("an unsupported version", "POST / HTTP/3.0\r\nHost: a\r\n\r\n".to_owned()),
            ("too many headers", format!("{post}Host: a\r\n{}\r\n", "X-A: 1\r\n".repeat(500))),
            ("a head that is too large", format!("{post}Host: a\r\nX-A: {}\r\n\r\n", "x".repeat(100_000))),
            ("a target that is too long", format!("POST /srv/?f={} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(100_000))),
        ] {
            let mut stream = http::connect(scene.addr()).unwrap();
            // Bytes after the malformed request are never read as a request.
            let _ = stream.write_all(format!("{bytes}POST /srv/ HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes());
            let response = http::read(&mut stream).unwrap_or_else(|e| panic!("{case}: {e}"));
            assert!([400, 431, 414].contains(&response.status), "{case}: {response:?}");
            Envelope::parse(response);
            assert!(http::read(&mut stream).is_err(), "{case}: the connection is closed");
        }
    });
}

#[test]
fn rejected_requests_add_no_metrics_or_keys_and_little_log() {
    let scene = Scene::new(Stores::Redis);
    let metrics = || {
        let output = scene.admin("/metrics").unwrap().text();
        output.lines().filter(|line| !line.starts_with('#')).count()
    };
    let keys = || scene.redis.as_ref().unwrap().command(&["DBSIZE"]).lines().next().unwrap_or_default().to_owned();
    let send_rejected = |numbers: std::ops::Range<usize>| {
        for at in numbers {
            let name = format!("name-{at}");
            scene.gateway.client(&name).call("openid", &[("code", "forged-code")]).assert_error(404, "unknown_tenant");
            scene.client().call(&name, &[("code", "forged-code")]).assert_error(404, "unknown_action");
            scene.client().with(&format!("forged-token-{at}")).call("user", &[]).assert_error(401, "session_expired");
            scene.client().call("openid", &[("code", &"x".repeat(3000))]).assert_error(400, "bad_parameter");
        }
    };
    send_rejected(0..1);
    let before = (metrics(), keys(), scene.log().len());
    send_rejected(1..100);
    assert_eq!((metrics(), keys()), (before.0, before.1), "no label for a name in a request, no key for a rejection");
    let written = scene.log().len() - before.2;
    assert!(written < 400 * 300, "more than about a line each: {written} bytes");
}
