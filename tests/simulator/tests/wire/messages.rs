//! `/wxa/msg_sec_check`, `/cgi-bin/message/subscribe/send` and `/wxa/getwxacodeunlimit`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Bench, bench, errcode};

async fn check(bench: &Bench, content: &str) -> Value {
    let path = bench.with_token("/wxa/msg_sec_check").await;
    let openid = bench.sim.openid("alice");
    let body = json!({"content": content, "version": 2, "scene": 1, "openid": openid});
    bench.post(&path, &body).await
}

async fn send(bench: &Bench, data: Value) -> i64 {
    let path = bench.with_token("/cgi-bin/message/subscribe/send").await;
    let touser = bench.sim.openid("alice");
    let body = json!({"touser": touser, "template_id": "T1", "data": data});
    errcode(&bench.post(&path, &body).await)
}

#[tokio::test]
async fn a_text_passes_unless_it_says_that_it_is_risky_or_to_be_reviewed() {
    let bench = bench();
    bench.exchange(&bench.sim.code("alice")).await;
    for (content, suggest) in [("你好", "pass"), ("a sim-risky text", "risky"), ("a sim-review text", "review")] {
        let answer = check(&bench, content).await;
        assert_eq!(answer["result"]["suggest"], suggest);
        assert_eq!(answer["errcode"], 0);
    }
}

#[tokio::test]
async fn a_text_is_checked_only_for_people_seen_within_two_hours() {
    let bench = bench();
    assert_eq!(errcode(&check(&bench, "hello").await), 40003);
    bench.exchange(&bench.sim.code("alice")).await;
    bench.sim.advance(Duration::from_secs(2 * 3600 + 1));
    assert_eq!(errcode(&check(&bench, "hello").await), 61010);
}

#[tokio::test]
async fn a_text_has_at_most_2500_characters() {
    let bench = bench();
    bench.exchange(&bench.sim.code("alice")).await;
    assert_eq!(errcode(&check(&bench, &"字".repeat(2500)).await), 0);
    assert_eq!(errcode(&check(&bench, &"字".repeat(2501)).await), 45002);
}

#[tokio::test]
async fn each_agreement_of_a_person_is_good_for_one_message() {
    let bench = bench();
    bench.sim.code("alice");
    let data = json!({"thing1": {"value": "hello"}});
    assert_eq!(send(&bench, data.clone()).await, 43101);
    let openid = bench.sim.openid("alice");
    assert!(bench.sim.first_app().agree_to_messages(&openid, "T1", 1));
    assert_eq!(send(&bench, data.clone()).await, 0);
    assert_eq!(send(&bench, data).await, 43101);
}

#[tokio::test]
async fn a_message_whose_data_has_no_values_is_refused() {
    let bench = bench();
    bench.sim.code("alice");
    assert_eq!(send(&bench, json!({"thing1": "hello"})).await, 47003);
}

#[tokio::test]
async fn a_mini_program_code_is_a_raw_jpeg() {
    let bench = bench();
    let path = bench.with_token("/wxa/getwxacodeunlimit").await;
    let answer = bench.try_post(&path, &json!({"scene": "a=1"})).await.unwrap();
    assert_eq!(answer.headers()["content-type"], "image/jpeg");
    let image = answer.bytes().await.unwrap();
    assert!(image.starts_with(b"\xff\xd8\xff") && image.ends_with(b"\xff\xd9"));
}

#[tokio::test]
async fn a_mini_program_code_with_bad_parameters_is_an_error_in_json() {
    let bench = bench();
    let path = bench.with_token("/wxa/getwxacodeunlimit").await;
    for (body, expected) in [
        (json!({}), 40169),
        (json!({"scene": "中文"}), 40169),
        (json!({"scene": "x".repeat(33)}), 40169),
        (json!({"scene": "a", "page": "/pages/index"}), 41030),
        (json!({"scene": "a", "env_version": "beta"}), 40097),
        (json!({"scene": "a", "width": 100}), 40097),
    ] {
        assert_eq!(errcode(&bench.post(&path, &body).await), expected, "{body}");
    }
}
