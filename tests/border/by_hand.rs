//! A plugin in C, written against the header: what it may do works, what it may not hurts its own call at most.

use crate::{
    house::{House, call, failed},
    made::compiled,
};
use menlou_call::Reply;
use serde_json::json;

async fn house() -> House {
    House::new(&[("raw", &compiled("raw.c", &[]))]).await
}

#[tokio::test]
async fn it_asks_for_services_by_polling() {
    let house = house().await;
    let got = house.call("log_in", json!({ "code": house.sim.code("alice") })).await.unwrap();
    assert_eq!(got["expires_in"], 3600);
    assert!(got["token"].as_str().unwrap().len() >= 43);
    let error = house.call("log_in", json!({ "code": "none" })).await.unwrap_err();
    assert_eq!(error.code(), "invalid_code");
    assert!(error.cause().is_some() || error.data().is_some(), "the gateway's own error goes through whole");
}

#[tokio::test]
async fn what_is_no_answer_fails_the_call() {
    let house = house().await;
    for (how, why) in [
        ("garbage", "valid reply: its data is not a JSON object in UTF-8"),
        ("array", "valid reply: its data is not a JSON object in UTF-8"),
        ("invalid_utf8", "valid reply: its data is not a JSON object in UTF-8"),
        ("bad_word", "valid reply: its error code is not"),
        ("small_struct", "valid reply: its struct_size is too small"),
        ("null_reply", "without a reply"),
        ("none", "without a reply"),
        ("bad_type", "valid reply: a file needs a media type"),
        ("type_with_newline", "valid reply: a file needs a media type"),
        ("file_without_type", "valid reply: a file needs a media type"),
        ("file_and_word", "valid reply: a file has neither an error code nor data"),
        ("file_and_data", "valid reply: a file has neither an error code nor data"),
    ] {
        failed(house.call("answer", json!({ "how": how })).await, why);
    }
    for how in ["start", "error"] {
        failed(house.call("answer", json!({ "how": how })).await, "error -2");
    }
    failed(house.call("answer", json!({ "how": "answer_and_error" })).await, "error -99");
}

#[tokio::test]
async fn a_file_is_an_answer() {
    let house = house().await;
    let reply = house.action("answer").run(call("answer", json!({ "how": "file" }))).await.unwrap();
    let Reply::File { content_type, body } = reply else { panic!("{reply:?}") };
    assert_eq!((&body[..], content_type.as_bytes()), (&b"a file"[..], &b"text/plain; charset=utf-8"[..]));
}

#[tokio::test]
async fn of_two_answers_the_first_counts() {
    let house = house().await;
    assert_eq!(house.call("answer", json!({ "how": "twice" })).await.unwrap(), json!({ "n": 1 }));
    assert_eq!(house.call("answer", json!({ "how": "nothing" })).await.unwrap(), json!({}), "none given is empty");
}

#[tokio::test]
async fn a_word_of_its_own_is_an_answer() {
    let house = house().await;
    let error = house.call("answer", json!({ "how": "word" })).await.unwrap_err();
    assert_eq!((error.code(), error.status(), error.data()), ("not_today", 200, Some(&json!({ "left": 3 }))));
}

#[tokio::test]
async fn an_operation_is_of_no_use_to_another_call() {
    let house = house().await;
    let code = house.sim.code("alice");
    assert_eq!(house.call("misuse", json!({ "how": "leave", "code": code })).await.unwrap()["told"], 0);
    let taken = house.call("misuse", json!({ "how": "take" })).await.unwrap();
    assert_eq!(taken["told"], menlou_abi::MENLOU_ERR_INVALID);
}

#[tokio::test]
async fn nulls_and_short_structs_are_refused() {
    let house = house().await;
    assert_eq!(house.call("misuse", json!({ "how": "nulls" })).await.unwrap()["told"], 1);
}
