//! The upstream request, as the in-memory gateway receives it.

use super::plugin;
use hmac::{Hmac, KeyInit, Mac};
use menlou_plugin::{
    User,
    testing::{Host, SentRequest},
};
use serde_json::{Value, json};
use sha2::Sha256;

const KEY: &str = "0123456789abcdef0123456789abcdef";

fn host(more: Value) -> Host {
    let mut settings = json!({ "upstream": "http://shop.test/api/", "key": KEY, "auth": "required" });
    settings.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let ann = User { id: 7, name: "Ann".into(), avatar_url: String::new() };
    let answers = |host: Host, method| host.http_response(method, "http://shop.test", 201, "made");
    let host = Host::new().settings(settings).bound("openid-1", ann).caller("openid-1");
    ["GET", "POST", "DELETE"].into_iter().fold(host, answers)
}

fn sent(host: &Host) -> SentRequest {
    let reply = host.call(plugin(), "proxy", json!({}));
    assert_eq!(reply.file, Some(("upstream/201".into(), b"made".to_vec())), "{reply:?}");
    host.http_requests().remove(0)
}

fn header<'a>(sent: &'a SentRequest, name: &str) -> Option<&'a str> {
    let mut values = sent.headers.iter().filter(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let first = values.next();
    assert!(values.next().is_none(), "{name} occurs twice");
    first
}

#[test]
fn identity_is_signed_as_the_readme_says() {
    let host = host(json!({})).method("DELETE").url("/orders/17", "why=no");
    let sent = sent(&host);
    assert_eq!(sent.url, "http://shop.test/api/orders/17?why=no");
    let names = ["x-menlou-timestamp", "x-menlou-tenant", "x-menlou-action", "x-request-id", "x-menlou-openid"];
    let mut lines = vec!["v1", "DELETE", "/api/orders/17?why=no"];
    lines.extend(names.iter().map(|name| header(&sent, name).unwrap()));
    lines.push(header(&sent, "x-menlou-user-id").unwrap());
    assert_eq!(lines[3..], ["1700000000", "test", "proxy", "test-request", "openid-1", "7"]);
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(lines.join("\n").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(header(&sent, "x-menlou-signature"), Some(&*format!("v1={hex}")));
}

#[test]
fn invalid_url_characters_are_encoded_before_signing() {
    let host = host(json!({})).url("/it's/{id}/人", "q=it's&r=<\"人\">");
    let sent = sent(&host);
    let target = "/it's/%7Bid%7D/%E4%BA%BA?q=it%27s&r=%3C%22%E4%BA%BA%22%3E";
    assert_eq!(sent.url, format!("http://shop.test/api{target}"));
}

#[test]
fn identity_headers_of_the_client_are_replaced() {
    let host = host(json!({ "pass_headers": ["x-app-version"] }))
        .header("x-menlou-openid", "someone-else")
        .header("x-menlou-user-id", "1")
        .header("x-forwarded-for", "1.1.1.1")
        .header("x-app-version", "3")
        .header("x-other", "no")
        .header("content-type", "image/png")
        .body([0, 159, 255]);
    let sent = sent(&host);
    assert_eq!(header(&sent, "x-menlou-openid"), Some("openid-1"));
    assert_eq!(header(&sent, "x-menlou-user-id"), Some("7"));
    assert_eq!(header(&sent, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&sent, "x-app-version"), Some("3"));
    assert_eq!(header(&sent, "x-other"), None);
    assert_eq!(header(&sent, "content-type"), Some("image/png"));
    assert_eq!(sent.body, [0, 159, 255]);
}

#[test]
fn prefix_is_kept_if_strip_prefix_is_false() {
    let host = host(json!({ "strip_prefix": false })).url("/a%2Fb/", "");
    assert_eq!(sent(&host).url, "http://shop.test/api/srv/test/proxy/a%2Fb/");
}

#[test]
fn request_of_the_action_itself_is_sent_to_the_base_path() {
    let host = host(json!({ "auth": "optional" })).url("", "id=1&id=2");
    assert_eq!(sent(&host).url, "http://shop.test/api?id=1&id=2");
}

#[test]
fn optional_auth_sends_the_identity_if_it_is_known_and_can_be_signed() {
    let known = host(json!({ "auth": "optional" }));
    assert_eq!(header(&sent(&known), "x-menlou-openid"), Some("openid-1"));
    let without_key = sent(&host(json!({ "auth": "optional", "key": null })));
    for (name, value) in [("openid", Some("")), ("user-id", Some("")), ("signature", None)] {
        assert_eq!(header(&without_key, &format!("x-menlou-{name}")), value, "{name}");
    }
}

#[test]
fn unauthorized_calls_are_not_forwarded() {
    let host = host(json!({})).caller("a-stranger");
    assert_eq!(host.call(plugin(), "proxy", json!({})).error.as_deref(), Some("login_required"));
    assert!(host.http_requests().is_empty());
}

#[test]
fn invalid_settings_are_reported_at_their_pointer() {
    let pointers = |settings: Value| -> Vec<String> {
        Host::new().settings(settings).config_errors(plugin(), "proxy").into_iter().map(|(at, ..)| at).collect()
    };
    let upstream = "http://shop.test";
    assert_eq!(pointers(json!({ "upstream": upstream })), [""]);
    assert_eq!(pointers(json!({ "upstream": upstream, "auth": "optional" })), [""; 0]);
    assert_eq!(pointers(json!({ "upstream": upstream, "key": "short" })), ["/key"]);
    assert_eq!(pointers(json!({ "upstream": ["http://a/x", "http://b/y"], "key": KEY })), ["/upstream"]);
    assert_eq!(pointers(json!({ "upstream": "shop.test", "key": KEY })), ["/upstream"]);
    let headers = json!(["x-ok", "X-Upper", "authorization", "x-menlou-openid", "x_app_version"]);
    let errors = pointers(json!({ "upstream": upstream, "key": KEY, "pass_headers": headers }));
    assert_eq!(errors, ["/pass_headers/1", "/pass_headers/2", "/pass_headers/3"]);
    for name in ["x_menlou_openid", "x-menlou_user-id", "x_request_id", "transfer_encoding", "content_length", "proxy"]
    {
        let errors = pointers(json!({ "upstream": upstream, "key": KEY, "pass_headers": [name] }));
        assert_eq!(errors, ["/pass_headers/0"], "{name}");
    }
    let errors = pointers(json!({ "upstream": upstream, "key": KEY, "timeout": "0s", "health_interval": "1s" }));
    assert_eq!(errors, ["/timeout", "/health_interval"]);
}

#[test]
fn digest_of_the_body_is_sent_and_signed() {
    let host = host(json!({ "sign_body": true })).body("hello").header("content-digest", "sha-256=:forged:");
    let sent = sent(&host);
    let digest = "sha-256=:LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=:";
    assert_eq!((header(&sent, "content-digest"), &*sent.body), (Some(digest), b"hello".as_slice()));
    let names = ["x-menlou-timestamp", "x-menlou-tenant", "x-menlou-action", "x-request-id", "x-menlou-openid"];
    let mut lines = vec!["v1", &*sent.method, "/api"];
    lines.extend(names.iter().map(|name| header(&sent, name).unwrap()));
    lines.extend([header(&sent, "x-menlou-user-id").unwrap(), digest]);
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY.as_bytes()).unwrap();
    mac.update(lines.join("\n").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(header(&sent, "x-menlou-signature"), Some(&*format!("v1={hex}")));
}

#[test]
fn signed_bodies_require_a_key_and_are_bounded() {
    let pointers = |settings: Value| -> Vec<String> {
        Host::new().settings(settings).config_errors(plugin(), "proxy").into_iter().map(|(at, ..)| at).collect()
    };
    let upstream = "http://shop.test";
    assert_eq!(pointers(json!({ "upstream": upstream, "auth": "optional", "sign_body": true })), ["/sign_body"]);
    let large = json!({ "upstream": upstream, "key": KEY, "sign_body": true, "max_body": 16_777_217 });
    assert_eq!(pointers(large), ["/max_body"]);
    let long = host(json!({ "sign_body": true })).body(vec![b'x'; (1 << 20) + 1]);
    assert_eq!(long.call(plugin(), "proxy", json!({})).error.as_deref(), Some("body_too_large"));
}
