//! `/wxa/msg_sec_check`, `/cgi-bin/message/subscribe/send` and `/wxa/getwxacodeunlimit`.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Scene, errcode};

async fn check(scene: &Scene, content: &str) -> Value {
    let path = scene.with_token("/wxa/msg_sec_check").await;
    let openid = scene.sim.openid("alice");
    let body = json!({"content": content, "version": 2, "scene": 1, "openid": openid});
    scene.post(&path, &body).await
}

async fn send(scene: &Scene, data: Value) -> i64 {
    let path = scene.with_token("/cgi-bin/message/subscribe/send").await;
    let touser = scene.sim.openid("alice");
    let body = json!({"touser": touser, "template_id": "T1", "data": data});
    errcode(&scene.post(&path, &body).await)
}

#[tokio::test]
async fn a_text_passes_unless_it_contains_a_marker_for_risky_or_review() {
    let scene = Scene::new();
    scene.exchange(&scene.sim.code("alice")).await;
    for (content, suggest) in [("你好", "pass"), ("a sim-risky text", "risky"), ("a sim-review text", "review")] {
        let response = check(&scene, content).await;
        assert_eq!(response["result"]["suggest"], suggest);
        assert_eq!(response["errcode"], 0);
    }
}

#[tokio::test]
async fn a_text_is_checked_only_for_users_who_logged_in_within_two_hours() {
    let scene = Scene::new();
    assert_eq!(errcode(&check(&scene, "hello").await), 40003);
    scene.exchange(&scene.sim.code("alice")).await;
    scene.sim.advance(Duration::from_secs(2 * 3600 + 1));
    assert_eq!(errcode(&check(&scene, "hello").await), 61010);
}

#[tokio::test]
async fn a_text_has_at_most_2500_characters() {
    let scene = Scene::new();
    scene.exchange(&scene.sim.code("alice")).await;
    assert_eq!(errcode(&check(&scene, &"字".repeat(2500)).await), 0);
    assert_eq!(errcode(&check(&scene, &"字".repeat(2501)).await), 45002);
}

#[tokio::test]
async fn each_subscription_of_a_user_allows_one_message() {
    let scene = Scene::new();
    scene.sim.code("alice");
    let data = json!({"thing1": {"value": "hello"}});
    assert_eq!(send(&scene, data.clone()).await, 43101);
    let openid = scene.sim.openid("alice");
    assert!(scene.sim.first_app().agree_to_messages(&openid, "T1", 1));
    assert_eq!(send(&scene, data.clone()).await, 0);
    assert_eq!(send(&scene, data).await, 43101);
}

#[tokio::test]
async fn a_message_whose_data_has_no_values_is_rejected() {
    let scene = Scene::new();
    scene.sim.code("alice");
    assert_eq!(send(&scene, json!({"thing1": "hello"})).await, 47003);
}

#[tokio::test]
async fn a_mini_program_code_is_a_raw_jpeg() {
    let scene = Scene::new();
    let path = scene.with_token("/wxa/getwxacodeunlimit").await;
    let response = scene.try_post(&path, &json!({"scene": "a=1"})).await.unwrap();
    assert_eq!(response.headers()["content-type"], "image/jpeg");
    let image = response.bytes().await.unwrap();
    assert!(image.starts_with(b"\xff\xd8\xff") && image.ends_with(b"\xff\xd9"));
}

#[tokio::test]
async fn a_mini_program_code_with_bad_parameters_is_an_error_in_json() {
    let scene = Scene::new();
    let path = scene.with_token("/wxa/getwxacodeunlimit").await;
    for (body, expected) in [
        (json!({}), 40169),
        (json!({"scene": "中文"}), 40169),
        (json!({"scene": "x".repeat(33)}), 40169),
        (json!({"scene": "a", "page": "/pages/index"}), 41030),
        (json!({"scene": "a", "env_version": "beta"}), 40097),
        (json!({"scene": "a", "width": 100}), 40097),
    ] {
        assert_eq!(errcode(&scene.post(&path, &body).await), expected, "{body}");
    }
}
