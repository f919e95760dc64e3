//! The action in the in-memory gateway: requests to the platform and responses.

use crate::plugin;
use menlou_plugin::testing::{Host, PlatformRequest, Reply};
use serde_json::{Value, json};
use std::time::Duration;

fn host(settings: Value) -> Host {
    Host::new().caller("o-ann").settings(settings)
}

fn call(host: &Host, params: Value) -> Reply {
    host.call(plugin(), "wechat", params)
}

fn post_request(path: &str, fields: Value) -> Vec<PlatformRequest> {
    vec![PlatformRequest { method: "POST".into(), path: path.into(), fields }]
}

#[test]
fn text_check_uses_the_callers_openid_and_ignores_unknown_parameters() {
    let host = host(json!({ "call": "msg_sec_check" })).platform_response(
        "/wxa/msg_sec_check",
        "application/json",
        r#"{"result":{"suggest":"pass","label":100}}"#,
    );
    let reply = call(
        &host,
        json!({ "content": "hello", "scene": "2", "openid": "o-bob", "version": 1, "access_token": "t", "path": "/x", "call": "qrcode" }),
    );
    assert_eq!((reply.error, &reply.data["result"]["suggest"]), (None, &json!("pass")));
    let fields = json!({ "content": "hello", "scene": 2, "version": 2, "openid": "o-ann" });
    assert_eq!(host.platform_requests(), post_request("/wxa/msg_sec_check", fields));
}

#[test]
fn message_is_sent_to_the_caller_with_the_fixed_fields() {
    let host = host(json!({ "call": "subscribe_send", "fixed": { "template_id": "ours" } })).platform_response(
        "/cgi-bin/message/subscribe/send",
        "application/json",
        "{}",
    );
    let data = json!({ "thing1": { "value": "x" } });
    let reply = call(&host, json!({ "template_id": "theirs", "touser": "o-bob", "data": data.to_string() }));
    assert_eq!((reply.error, reply.data), (None, json!({})));
    let fields = json!({ "template_id": "ours", "touser": "o-ann", "data": data });
    assert_eq!(host.platform_requests(), post_request("/cgi-bin/message/subscribe/send", fields));
}

#[test]
fn a_code_is_answered_as_a_picture() {
    let host = Host::new().settings(json!({ "call": "qrcode", "auth": "optional" })).platform_response(
        "/wxa/getwxacodeunlimit",
        "image/jpeg",
        b"\xff\xd8",
    );
    let reply = call(&host, json!({ "scene": "id=7", "width": "280", "is_hyaline": "true" }));
    assert_eq!((reply.error, reply.file), (None, Some(("image/jpeg".into(), b"\xff\xd8".to_vec()))));
    let fields = json!({ "scene": "id=7", "width": 280, "is_hyaline": true });
    assert_eq!(host.platform_requests(), post_request("/wxa/getwxacodeunlimit", fields));
}

#[test]
fn invalid_and_missing_parameters_are_named_and_not_sent() {
    for (named, params, code, name) in [
        ("msg_sec_check", json!({ "scene": 1 }), "missing_parameter", "content"),
        ("msg_sec_check", json!({ "content": "x" }), "missing_parameter", "scene"),
        ("msg_sec_check", json!({ "content": "x", "scene": 5 }), "bad_parameter", "scene"),
        ("msg_sec_check", json!({ "content": "字".repeat(2501), "scene": 1 }), "bad_parameter", "content"),
        ("msg_sec_check", json!({ "content": ["x"], "scene": 1 }), "bad_parameter", "content"),
        ("subscribe_send", json!({ "template_id": "t", "data": "[]" }), "bad_parameter", "data"),
        ("subscribe_send", json!({ "template_id": "t", "data": {}, "lang": "xx" }), "bad_parameter", "lang"),
        ("qrcode", json!({ "scene": "a b" }), "bad_parameter", "scene"),
        ("qrcode", json!({ "scene": "a", "width": 100 }), "bad_parameter", "width"),
        ("qrcode", json!({ "scene": "a", "is_hyaline": "yes" }), "bad_parameter", "is_hyaline"),
        ("phone_number", json!({}), "missing_parameter", "phone_code"),
        ("decrypt", json!({ "encrypted_data": "x" }), "missing_parameter", "iv"),
    ] {
        let host = host(json!({ "call": named }));
        let reply = call(&host, params);
        assert_eq!(reply.error.as_deref(), Some(code), "{named} {name}");
        let (zh, en) = reply.msg.expect("a message");
        assert!(zh.contains(name) && en.contains(name), "{zh} {en}");
        assert!(host.platform_requests().is_empty());
    }
}

#[test]
fn request_by_path_accepts_listed_fields_and_no_access_token() {
    let answered =
        |settings| host(settings).platform_response("/wxa/getuserriskrank", "application/json", r#"{"risk_rank":0}"#);
    let params = json!({ "scene": 1, "openid": "o-bob", "path": "/sns/x", "call": "GET /x", "method": "GET" });

    let open = answered(json!({ "call": "POST /wxa/getuserriskrank" }));
    assert_eq!(call(&open, params.clone()).data, json!({ "risk_rank": 0 }));
    assert_eq!(open.platform_requests(), post_request("/wxa/getuserriskrank", params.clone()));
    let reply = call(&open, json!({ "access_token": "stolen" }));
    assert_eq!(reply.error.as_deref(), Some("bad_parameter"));
    assert_eq!(open.platform_requests().len(), 1);

    let settings = json!({
        "call": "GET /wxa/getuserriskrank", "fields": ["scene"], "fixed": { "appid": "wx" }, "openid_field": "openid",
    });
    let narrow = answered(settings);
    assert_eq!(call(&narrow, params).error, None);
    let [sent] = &narrow.platform_requests()[..] else { panic!("one call") };
    assert_eq!((sent.method.as_str(), &sent.fields), ("GET", &json!({ "scene": 1, "appid": "wx", "openid": "o-ann" })));
}

#[test]
fn errors_of_the_platform_are_passed_on() {
    let data = json!({ "errcode": 45009, "rid": "1-2-3" });
    let host =
        host(json!({ "call": "qrcode" })).platform_error("/wxa/getwxacodeunlimit", "platform_quota", data.clone());
    let reply = call(&host, json!({ "scene": "a" }));
    assert_eq!((reply.error.as_deref(), reply.data, reply.file), (Some("platform_quota"), data, None));
}

#[test]
fn encrypted_data_is_decrypted_within_its_maximum_age() {
    let plain = json!({ "phoneNumber": "13800138000", "watermark": { "appid": "wx", "timestamp": 1 } });
    let aged = |settings, minutes: u64| {
        let host = host(settings).encrypted("data", "iv", plain.clone(), Duration::from_secs(minutes * 60));
        call(&host, json!({ "encrypted_data": "data", "iv": "iv" }))
    };
    assert_eq!(aged(json!({ "call": "decrypt" }), 4).data, plain);
    assert_eq!(aged(json!({ "call": "decrypt" }), 6).error.as_deref(), Some("decrypt_failed"));
    assert_eq!(aged(json!({ "call": "decrypt", "max_age": "1h" }), 6).data, plain);
}

#[test]
fn session_key_is_checked_and_reset() {
    let check = host(json!({ "call": "check_session" }));
    assert_eq!(call(&check, json!({})).data, json!({ "valid": true }));
    let check = check.expired_session_key();
    assert_eq!(call(&check, json!({})).error.as_deref(), Some("session_expired"));
    let reset = host(json!({ "call": "reset_session_key" }));
    assert_eq!((call(&reset, json!({})).data, reset.session_key_resets()), (json!({ "reset": true }), 1));
}

#[test]
fn phone_code_is_exchanged_for_a_number() {
    let host = host(json!({ "call": "phone_number" })).phone_code("code", "+8613800138000");
    assert_eq!(call(&host, json!({ "phone_code": "code" })).data, json!({ "phone": "+8613800138000" }));
    assert_eq!(call(&host, json!({ "phone_code": "other" })).error.as_deref(), Some("invalid_code"));
}

#[test]
fn setting_auth_decides_which_callers_are_allowed() {
    let without_session = |auth: &str| {
        let host = Host::new().settings(json!({ "call": "qrcode", "auth": auth })).platform_response(
            "/wxa/getwxacodeunlimit",
            "image/jpeg",
            b"x",
        );
        call(&host, json!({ "scene": "a" })).error
    };
    assert_eq!(without_session("optional"), None);
    assert_eq!(without_session("session").as_deref(), Some("login_required"));
    let host = host(json!({ "call": "qrcode", "auth": "required" }));
    assert_eq!(call(&host, json!({ "scene": "a" })).error.as_deref(), Some("login_required"));
}

#[test]
fn call_can_be_cancelled_at_each_await() {
    let host = host(json!({ "call": "qrcode" })).platform_response("/wxa/getwxacodeunlimit", "image/jpeg", b"x");
    assert_eq!(host.cancel_at_each_await(plugin(), "wechat", json!({ "scene": "a" })), 1);
}

#[test]
fn invalid_settings_are_reported_at_their_pointer() {
    for (settings, pointers) in [
        (json!({ "call": "qrcode" }), &[][..]),
        (json!({ "call": "msgSecCheck" }), &["/call"]),
        (json!({ "call": "PUT /wxa/x" }), &["/call"]),
        (json!({ "call": "POST wxa/x" }), &["/call"]),
        (json!({ "call": "POST //evil.example/x" }), &["/call"]),
        (json!({ "call": "POST /wxa/x?access_token=t" }), &["/call"]),
        (json!({ "call": "POST https://evil.example/" }), &["/call"]),
        (json!({ "call": "GET /cgi-bin/token" }), &["/call"]),
        (json!({ "call": "GET /sns/jscode2session" }), &["/call"]),
        (json!({ "call": "GET /wxa/ResetUserSessionKey" }), &["/call"]),
        (json!({ "call": "POST /wxa/x", "fixed": { "access_token": "t" } }), &["/fixed/access_token"]),
        (json!({ "call": "POST /wxa/x", "openid_field": "openid", "auth": "optional" }), &["/auth"]),
        (json!({ "call": "msg_sec_check", "auth": "optional" }), &["/auth"]),
        (json!({ "call": "qrcode", "auth": "sometimes" }), &["/auth"]),
        (json!({ "call": "qrcode", "fields": ["scene"], "openid_field": "x" }), &["/fields", "/openid_field"]),
        (json!({ "call": "qrcode", "fixed": { "width": 1, "height": 1 } }), &["/fixed/height", "/fixed/width"]),
        (json!({ "call": "qrcode", "max_age": "5m" }), &["/max_age"]),
        (json!({ "call": "decrypt", "max_age": "8d" }), &["/max_age"]),
        (json!({ "call": "decrypt", "max_age": "0s" }), &["/max_age"]),
        (json!({ "call": "qrcode", "typo": 1 }), &["/typo"]),
    ] {
        let mut errors: Vec<String> = Host::new()
            .settings(settings.clone())
            .config_errors(plugin(), "wechat")
            .into_iter()
            .map(|(at, ..)| at)
            .collect();
        errors.sort();
        assert_eq!(errors, pointers, "{settings}");
    }
}

#[test]
fn readme_lists_each_named_request_with_its_fields() {
    let readme = include_str!("../README.md");
    for named in crate::calls::NAMED {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{}` |", named.name))).expect(named.name);
        let parameters = row.split('|').nth(2).expect("a column of parameters");
        let mut listed: Vec<&str> = parameters.split('`').skip(1).step_by(2).collect();
        let mut fields: Vec<&str> = named.fields.iter().map(|f| f.name).collect();
        listed.sort_unstable();
        fields.sort_unstable();
        assert_eq!(listed, fields, "{}", named.name);
        for field in named.fields {
            let bold = parameters.contains(&format!("**`{}`**", field.name));
            assert_eq!(bold, field.required, "{} of {}: required fields are bold", field.name, named.name);
        }
    }
    let reserved =
        ["/cgi-bin/token", "/cgi-bin/stable_token", "/sns/x", "/wxa/checksession", "/wxa/resetusersessionkey"];
    for path in reserved {
        assert!(crate::calls::is_reserved(path) && readme.contains(path.trim_end_matches('x')), "{path}");
    }
}
