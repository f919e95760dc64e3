//! A plugin in C that uses the header directly: correct use works, and incorrect use fails the plugin's own call at most.

use crate::{
    libraries::compiled,
    test_gateway::{TestGateway, assert_failed, call},
};
use menlou_call::Reply;
use serde_json::json;

async fn gateway() -> TestGateway {
    TestGateway::new(&[("raw", &compiled("raw.c", &[]))]).await
}

#[tokio::test]
async fn operations_complete_by_polling() {
    let gateway = gateway().await;
    let got = gateway.call("log_in", json!({ "code": gateway.sim.code("alice") })).await.unwrap();
    assert_eq!(got["expires_in"], 3600);
    assert!(got["token"].as_str().unwrap().len() >= 43);
    let error = gateway.call("log_in", json!({ "code": "none" })).await.unwrap_err();
    assert_eq!(error.code(), "invalid_code");
    assert!(error.cause().is_some() || error.data().is_some(), "the gateway's own error is passed on with its details");
}

#[tokio::test]
async fn an_invalid_reply_fails_the_call() {
    let gateway = gateway().await;
    for (how, why) in [
        ("garbage", "valid reply: its data is not a JSON object in UTF-8"),
        ("array", "valid reply: its data is not a JSON object in UTF-8"),
        ("invalid_utf8", "valid reply: its data is not a JSON object in UTF-8"),
        ("bad_error_code", "valid reply: its error code is not"),
        ("small_struct", "valid reply: its struct_size is too small"),
        ("null_reply", "without a reply"),
        ("none", "without a reply"),
        ("bad_type", "valid reply: a file needs a media type"),
        ("type_with_newline", "valid reply: a file needs a media type"),
        ("file_without_type", "valid reply: a file needs a media type"),
        ("file_and_error_code", "valid reply: a file has neither an error code nor data"),
        ("file_and_data", "valid reply: a file has neither an error code nor data"),
    ] {
        assert_failed(gateway.call("reply", json!({ "how": how })).await, why);
    }
    for how in ["start", "error"] {
        assert_failed(gateway.call("reply", json!({ "how": how })).await, "error -2");
    }
    assert_failed(gateway.call("reply", json!({ "how": "reply_and_error" })).await, "error -99");
}

#[tokio::test]
async fn a_reply_may_be_a_file() {
    let gateway = gateway().await;
    let reply = gateway.action("reply").run(call("reply", json!({ "how": "file" }))).await.unwrap();
    let Reply::File { content_type, body } = reply else { panic!("{reply:?}") };
    assert_eq!((&body[..], content_type.as_bytes()), (&b"a file"[..], &b"text/plain; charset=utf-8"[..]));
}

#[tokio::test]
async fn the_first_of_two_replies_counts() {
    let gateway = gateway().await;
    assert_eq!(gateway.call("reply", json!({ "how": "twice" })).await.unwrap(), json!({ "n": 1 }));
    assert_eq!(
        gateway.call("reply", json!({ "how": "nothing" })).await.unwrap(),
        json!({}),
        "no data is an empty object"
    );
}

#[tokio::test]
async fn a_plugin_may_reply_with_an_error_code_of_its_own() {
    let gateway = gateway().await;
    let error = gateway.call("reply", json!({ "how": "error_code" })).await.unwrap_err();
    assert_eq!((error.code(), error.status(), error.data()), ("not_today", 200, Some(&json!({ "left": 3 }))));
}

#[tokio::test]
async fn an_operation_is_invalid_in_another_call() {
    let gateway = gateway().await;
    let code = gateway.sim.code("alice");
    assert_eq!(gateway.call("misuse", json!({ "how": "leave", "code": code })).await.unwrap()["result"], 0);
    let taken = gateway.call("misuse", json!({ "how": "take" })).await.unwrap();
    assert_eq!(taken["result"], menlou_abi::MENLOU_ERR_INVALID);
}

#[tokio::test]
async fn null_arguments_and_short_structs_are_rejected() {
    let gateway = gateway().await;
    assert_eq!(gateway.call("misuse", json!({ "how": "nulls" })).await.unwrap()["result"], 1);
}
