//! The wechat action: responses, errors, and what clients cannot change.

use crate::{
    hanging_up::disconnect_during,
    scene::{Scene, Stores, TENANT, TEST_OPENID, eventually, tenant},
};
use aws_lc_rs::cipher::{AES_128, DecryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use base64::{Engine, engine::general_purpose::STANDARD};
use menlou_harness::{Client, Envelope, Setup, http::Request};
use menlou_simulator::{DEMO_APPID, Failure};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const CHECK: &str = "/wxa/msg_sec_check";
const TOKEN: &str = "/cgi-bin/stable_token";

/// The tenant's actions with their settings.
const ACTIONS: &[(&str, &str)] = &[
    ("phone", "call = \"phone_number\""),
    ("check-text", "call = \"msg_sec_check\""),
    ("notify", "call = \"subscribe_send\"\nfixed = { template_id = \"our-template\" }"),
    ("code-picture", "call = \"qrcode\""),
    ("anyones-picture", "call = \"qrcode\"\nauth = \"optional\""),
    ("users-picture", "call = \"qrcode\"\nauth = \"required\""),
    ("open-data", "call = \"decrypt\""),
    ("check-key", "call = \"check_session\""),
    ("reset-key", "call = \"reset_session_key\""),
    ("by-path", "call = \"POST /wxa/msg_sec_check\"\nopenid_field = \"openid\"\nfixed = { version = 2 }"),
    ("unknown-path", "call = \"GET /wxa/no-such-thing\""),
];

fn scene(stores: Stores) -> Scene {
    scene_with(stores, |setup| setup)
}

fn scene_with(stores: Stores, change: impl FnOnce(Setup) -> Setup) -> Scene {
    Scene::with(stores, |mut setup, sim| {
        let actions: String =
            ACTIONS.iter().map(|(name, set)| format!("\n[actions.{name}]\nplugin = \"wechat\"\n{set}\n")).collect();
        setup.tenants[0].1 = tenant(sim) + &actions;
        change(setup)
    })
}

fn check(client: &Client, content: &str) -> Envelope {
    client.call("check-text", &[("content", content), ("scene", "2")])
}

/// The current session key of a user; the logs are checked for it afterwards.
fn session_key(scene: &Scene, person: &str) -> String {
    let key = scene.sim.first_app().session_key(&scene.sim.openid(person)).expect("a key");
    scene.secrets().add(&key);
    key
}

/// `encrypted_data` and `iv` as of `wx.getUserInfo`, encrypted this many seconds ago.
fn encrypted(session_key: &str, appid: &str, seconds: u64) -> [(&'static str, String); 2] {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let plain = json!({ "nickName": "安", "watermark": { "appid": appid, "timestamp": now - seconds } });
    let mut data = plain.to_string().into_bytes();
    let key = UnboundCipherKey::new(&AES_128, &STANDARD.decode(session_key).unwrap()).unwrap();
    let context = PaddedBlockEncryptingKey::cbc_pkcs7(key).unwrap().encrypt(&mut data).unwrap();
    let DecryptionContext::Iv128(iv) = context else { panic!("an iv") };
    [("encrypted_data", STANDARD.encode(data)), ("iv", STANDARD.encode(iv.as_ref()))]
}

fn open(client: &Client, sent: &[(&str, String)]) -> Envelope {
    client.call("open-data", &sent.iter().map(|(name, value)| (*name, value.as_str())).collect::<Vec<_>>())
}

#[test]
fn text_check_uses_the_openid_of_the_caller() {
    let scene = scene(Stores::Embedded);
    let ann = scene.session("ann");
    let passed = check(&ann, "hello");
    assert_eq!(passed.ok()["result"], json!({ "suggest": "pass", "label": 100 }));
    assert!(passed.data["trace_id"].is_string() && passed.data.get("errcode").is_none(), "{}", passed.data);
    assert_eq!(check(&ann, "a sim-risky text").ok()["result"]["suggest"], "risky");
    assert_eq!(scene.sim.calls(TOKEN), 1, "the access token is cached");

    check(&scene.client(), "hello").assert_error(401, "login_required");
    ann.call("check-text", &[("scene", "2")]).assert_error(400, "missing_parameter");
    let invalid = ann.with_language("en").call("check-text", &[("content", "x"), ("scene", "9")]);
    assert_eq!(
        invalid.assert_error(400, "bad_parameter").detail(),
        "The parameter scene must be an integer from 1 to 4."
    );
    assert_eq!(scene.sim.calls(CHECK), 2, "invalid parameters are not sent");
}

#[test]
fn clients_cannot_choose_request_path_token_or_openid() {
    let scene = scene(Stores::Embedded);
    let ann = scene.session("ann");
    let params = [
        ("content", "hello"),
        ("scene", "1"),
        ("access_token", "a-token-of-the-clients"),
        ("path", "/wxa/getwxacodeunlimit"),
        ("call", "qrcode"),
        ("method", "GET"),
        ("plugin", "openid"),
        ("openid", "somebody-else"),
        ("version", "1"),
    ];
    assert_eq!(ann.call("check-text", &params).ok()["result"]["suggest"], "pass");
    let in_query = Request::post(ann.target("check-text") + "&access_token=x&path=/wxa/getwxacodeunlimit&call=qrcode");
    assert_eq!(ann.send(&in_query.json(&json!({ "content": "x", "scene": 1 }))).ok()["result"]["suggest"], "pass");

    let json = |fields: Value| ann.send(&Request::post(ann.target("by-path")).json(&fields));
    let fields = json!({ "content": "x", "scene": 1, "openid": "somebody-else", "version": 1, "path": "/sns/x" });
    assert_eq!(json(fields).ok()["result"]["suggest"], "pass");
    assert_eq!(scene.sim.calls(CHECK), 3);
    json(json!({ "content": "x", "scene": 1, "access_token": "x" })).assert_error(400, "bad_parameter");
    assert_eq!((scene.sim.calls(CHECK), scene.sim.calls("/wxa/getwxacodeunlimit")), (3, 0));
}

#[test]
fn message_is_sent_to_the_caller_only() {
    let scene = scene(Stores::Embedded);
    let ann = scene.session("ann");
    let message = [("data", r#"{"thing1":{"value":"ready"}}"#), ("page", "pages/order"), ("touser", "somebody-else")];
    let failed = ann.call("notify", &message);
    assert_eq!(failed.assert_error(502, "platform_error").data["errcode"], 43101);
    assert!(scene.sim.first_app().agree_to_messages(&scene.sim.openid("ann"), "our-template", 1));
    assert_eq!(*ann.call("notify", &message).ok(), json!({}));
}

#[test]
fn qrcode_is_a_picture_and_its_errors_are_envelopes() {
    let scene = scene(Stores::Embedded);
    let ann = scene.session("ann");
    let ask = |action: &str, scene_text: &str, token: Option<&str>| {
        let mut request = Request::post(scene.client().target(action)).form(&[("scene", scene_text), ("width", "430")]);
        if let Some(token) = token {
            request = request.bearer(token);
        }
        request.header("X-Request-Id", "picture-1").send(scene.addr()).unwrap()
    };
    let picture = ask("anyones-picture", "id=7", None);
    assert_eq!((picture.status, picture.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(picture.header("x-request-id"), Some("picture-1"));
    assert_eq!(
        (picture.header("x-content-type-options"), picture.header("cache-control")),
        (Some("nosniff"), Some("no-store"))
    );
    assert!(picture.body.starts_with(b"\xff\xd8\xff") && picture.body.ends_with(b"\xff\xd9"), "a complete JPEG");
    assert_eq!(picture.header("content-length"), Some(picture.body.len().to_string().as_str()));

    Envelope::parse(ask("code-picture", "id=7", None)).assert_error(401, "login_required");
    Envelope::parse(ask("anyones-picture", "not a scene", None)).assert_error(400, "bad_parameter");
    ann.call("users-picture", &[("scene", "id=7")]).assert_error(401, "login_required");
    let failed = ann.call("code-picture", &[("scene", "id=7"), ("page", "/pages/index")]);
    assert_eq!(failed.assert_error(502, "platform_error").data["errcode"], 41030);
    scene.sim.fail("/wxa/getwxacodeunlimit", Failure::truncate(), 1);
    ann.call("code-picture", &[("scene", "id=7")]).assert_error(502, "platform_unreachable");
}

#[test]
fn rejected_access_token_is_refreshed_and_the_request_retried_once() {
    let scene = scene(Stores::Embedded);
    let ann = scene.session("ann");
    check(&ann, "one").ok();
    scene.sim.first_app().expire_tokens();
    check(&ann, "two").ok();
    scene.sim.first_app().revoke_tokens();
    check(&ann, "three").ok();
    assert_eq!((scene.sim.calls(CHECK), scene.sim.calls(TOKEN)), (5, 3));

    scene.sim.fail(CHECK, Failure::errcode(40014), 2);
    let failed = check(&ann, "four");
    assert_eq!(failed.assert_error(502, "platform_error").data["errcode"], 40014);
    assert_eq!(scene.sim.calls(CHECK), 7, "one retry only");
}

#[test]
fn platform_errors_have_an_error_code_errcode_and_rid() {
    let scene = scene(Stores::Embedded);
    let ann = scene.session("ann");
    for (errcode, status, code) in [
        (45009, 503, "platform_quota"),
        (48001, 503, "tenant_misconfigured"),
        (-1, 503, "platform_busy"),
        (61010, 502, "platform_error"),
        (47001, 502, "platform_error"),
        (99999, 502, "platform_error"),
    ] {
        scene.sim.reset_calls();
        scene.sim.fail(CHECK, Failure::errcode(errcode), 1);
        let failed = check(&ann, "hello");
        assert_eq!(failed.assert_error(status, code).data["errcode"], errcode);
        assert!(failed.data["rid"].as_str().is_some_and(|rid| rid.len() > 8), "{}", failed.data);
        assert_eq!(failed.response.header("retry-after").is_some(), matches!(errcode, 45009 | -1), "{errcode}");
        assert_eq!(scene.sim.calls(CHECK), 1, "no retry");
    }
    let unknown = ann.call("unknown-path", &[("x", "1")]);
    assert_eq!(unknown.assert_error(502, "platform_error").data["errcode"], 40066);
    scene.sim.fail(CHECK, Failure::drop_connection(), 1);
    check(&ann, "hello").assert_error(502, "platform_unreachable");
}

#[test]
fn phone_code_is_exchanged_without_a_login() {
    let scene = scene(Stores::Embedded);
    scene.secrets().add("13800138000");
    let ann = scene.session("ann");
    let code = scene.sim.phone_code("13800138000");
    for _ in ["first", "sent again"] {
        assert_eq!(*ann.call("phone", &[("phone_code", &code)]).ok(), json!({ "phone": "+8613800138000" }));
    }
    scene.session("bob").call("phone", &[("phone_code", &code)]).assert_error(200, "invalid_code");
    ann.call("user", &[]).assert_error(401, "login_required");
}

#[test]
fn encrypted_data_needs_the_session_key_the_appid_and_a_recent_timestamp() {
    let scene = scene(Stores::Embedded);
    let ann = scene.session("ann");
    let key = session_key(&scene, "ann");
    let fresh = encrypted(&key, DEMO_APPID, 10);
    let opened = open(&ann, &fresh);
    assert_eq!(opened.ok()["nickName"], "安");
    assert_eq!(opened.data["watermark"]["appid"], DEMO_APPID);

    open(&ann, &encrypted(&key, DEMO_APPID, 400)).assert_error(200, "decrypt_failed");
    open(&ann, &encrypted(&key, "wx00000000000000ff", 10)).assert_error(200, "decrypt_failed");
    open(&scene.session("bob"), &fresh).assert_error(200, "decrypt_failed");
    open(&ann, &[("encrypted_data", "AAAA".into()), ("iv", "AAAA".into())]).assert_error(200, "decrypt_failed");
    open(&ann, &fresh[..1]).assert_error(400, "missing_parameter");
    open(&scene.client(), &fresh).assert_error(401, "login_required");
}

pub fn session_key_is_checked_and_reset_in_its_session(stores: Stores) {
    let scene = scene(stores);
    let ann = scene.session("ann");
    let first = session_key(&scene, "ann");
    assert_eq!(*ann.call("check-key", &[]).ok(), json!({ "valid": true }));
    assert_eq!(*ann.call("reset-key", &[]).ok(), json!({ "reset": true }));
    let second = session_key(&scene, "ann");
    assert_ne!(first, second);
    ann.call("check-key", &[]).ok();
    open(&ann, &encrypted(&second, DEMO_APPID, 0)).ok();
    open(&ann, &encrypted(&first, DEMO_APPID, 0)).assert_error(200, "decrypt_failed");

    // A login on another device issues a new key, so the key of this session is invalid.
    let elsewhere = scene.session("ann");
    session_key(&scene, "ann");
    for action in ["check-key", "reset-key"] {
        assert_eq!(ann.call(action, &[]).assert_error(401, "session_expired").data["errcode"], 87009);
    }
    elsewhere.call("check-key", &[]).ok();
}

#[test]
fn new_session_key_is_stored_after_the_client_disconnects() {
    const RESET: &str = "/wxa/resetusersessionkey";
    let scene = scene(Stores::Embedded);
    let opened = scene.authorize("ann");
    let ann = scene.client().with(opened.token().unwrap());
    let first = session_key(&scene, "ann");
    scene.sim.fail(RESET, Failure::delay(Duration::from_millis(500)), 1);
    let request = Request::post(ann.target("reset-key")).form(&[]).bearer(opened.token().unwrap());
    disconnect_during(&scene, &request.bytes(), || scene.sim.calls(RESET) == 1);
    eventually("the platform has a new key", || (session_key(&scene, "ann") != first).then_some(()));
    eventually("the session has the new key", || ann.call("check-key", &[]).error.is_none().then_some(()));
    assert_eq!(scene.sim.calls(RESET), 1);
}

#[test]
fn session_of_a_test_openid_has_no_session_key() {
    let scene = scene_with(Stores::Embedded, |setup| setup.setting("testing.allow_test_openids", "true"));
    let opened = scene.client().call("openid", &[("openid", TEST_OPENID)]);
    opened.ok();
    let client = scene.client().with(opened.token().unwrap());
    for action in ["check-key", "reset-key"] {
        client.call(action, &[]).assert_error(401, "session_expired");
    }
    open(&client, &encrypted("tiihtNczf5v6AKRyjwEUhQ==", DEMO_APPID, 0)).assert_error(401, "session_expired");
}

#[test]
fn invalid_settings_are_reported_with_file_and_line() {
    let scene = Scene::new(Stores::Embedded);
    for (settings, expected) in [
        ("call = \"msgSecCheck\"", "This must be one of phone_number"),
        ("call = \"GET /cgi-bin/token\"", "credentials"),
        ("call = \"POST https://evil.example/\"", "This must be one of phone_number"),
        ("call = \"decrypt\"\nauth = \"optional\"", "needs the caller's session"),
        ("call = \"qrcode\"\ntypo = 1", "typo"),
    ] {
        let file = tenant(&scene.sim) + &format!("\n[actions.x]\nplugin = \"wechat\"\n{settings}\n");
        scene.write_tenant(TENANT, &file);
        let output = scene.command(&["validate"]);
        let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && text.contains(expected), "{settings}: {text}");
        let line = file.lines().count() - usize::from(!settings.contains("auth") && !settings.contains("typo")) + 1;
        assert!((line - 1..=line).any(|l| text.contains(&format!("manulife.toml:{l}:"))), "{settings}: {text}");
    }
}
