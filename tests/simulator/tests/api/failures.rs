//! Injected failures.

use std::time::{Duration, Instant};

use menlou_simulator::{EVERY_PATH, Failure};

use super::{Scene, errcode, text, wait_until};

const PATH: &str = "/sns/jscode2session";

#[tokio::test]
async fn an_errcode_occurs_the_given_number_of_times_and_leaves_the_code_unused() {
    let scene = Scene::new();
    scene.sim.fail(PATH, Failure::errcode(-1), 2);
    let code = scene.sim.code("alice");
    for _ in 0..2 {
        let response = scene.exchange(&code).await;
        assert_eq!(errcode(&response), -1);
        assert!(text(&response["errmsg"]).starts_with("system error, rid: "));
    }
    assert!(scene.exchange(&code).await.get("errcode").is_none());
}

#[tokio::test]
async fn a_failure_after_effect_uses_the_code() {
    let scene = Scene::new();
    scene.sim.fail(PATH, Failure::errcode(-1).after_effect(), 1);
    let code = scene.sim.code("alice");
    assert_eq!(errcode(&scene.exchange(&code).await), -1);
    assert_eq!(errcode(&scene.exchange(&code).await), 40163);
}

#[tokio::test]
async fn an_unknown_errcode_can_be_injected_with_its_own_text() {
    let scene = Scene::new();
    scene.sim.fail(PATH, Failure::errcode_with_text(77777, "new one"), 1);
    let response = scene.exchange("x").await;
    assert_eq!(errcode(&response), 77777);
    assert!(text(&response["errmsg"]).starts_with("new one, rid: "));
}

#[tokio::test]
async fn a_delayed_response_is_the_regular_one() {
    let scene = Scene::new();
    let delay = Duration::from_millis(200);
    scene.sim.fail(PATH, Failure::delay(delay), 1);
    let start = Instant::now();
    let response = scene.exchange(&scene.sim.code("alice")).await;
    assert_eq!(response["openid"], scene.sim.openid("alice"));
    assert!(start.elapsed() >= delay);
}

#[tokio::test]
async fn a_hanging_call_blocks_no_other_call() {
    let scene = Scene::new();
    scene.sim.fail(PATH, Failure::hang(), 1);
    let hanging = tokio::spawn(scene.client.get(format!("{}{PATH}", scene.sim.base_url())).send());
    wait_until(|| scene.sim.calls(PATH) > 0).await;
    assert_eq!(errcode(&scene.exchange("x").await), 40029);
    assert!(!hanging.is_finished());
}

#[tokio::test]
async fn a_hanging_call_gets_no_response() {
    let scene = Scene::new();
    scene.sim.fail(PATH, Failure::hang(), 1);
    let waiting = tokio::time::timeout(Duration::from_millis(300), scene.try_exchange("x"));
    assert!(waiting.await.is_err());
}

#[tokio::test]
async fn dropping_the_simulator_ends_a_hanging_call() {
    let scene = Scene::new();
    scene.sim.fail(PATH, Failure::hang(), 1);
    let url = format!("{}{PATH}", scene.sim.base_url());
    let call = tokio::spawn(scene.client.get(url).send());
    wait_until(|| scene.sim.calls(PATH) > 0).await;
    drop(scene.sim);
    let response = tokio::time::timeout(Duration::from_secs(10), call).await;
    assert!(response.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn a_dropped_connection_is_an_error_without_a_response() {
    let scene = Scene::new();
    scene.sim.fail(PATH, Failure::drop_connection(), 1);
    assert!(scene.try_exchange("x").await.is_err());
}

#[tokio::test]
async fn an_injected_status_has_an_html_page() {
    let scene = Scene::new();
    scene.sim.fail(PATH, Failure::status(500), 1);
    let response = scene.try_exchange("x").await.unwrap();
    assert_eq!(response.status(), 500);
    assert!(response.text().await.unwrap().contains("<html>"));
}

#[tokio::test]
async fn a_truncated_response_has_its_head_and_half_of_its_body() {
    let scene = Scene::new();
    scene.sim.fail(PATH, Failure::truncate(), 1);
    let mut response = scene.try_exchange(&scene.sim.code("alice")).await.unwrap();
    assert_eq!(response.status(), 200);
    let announced = response.content_length().unwrap();
    let half = response.chunk().await.unwrap().unwrap();
    assert_eq!(half.len() as u64, announced / 2);
    assert!(response.chunk().await.is_err());
}

#[tokio::test]
async fn a_failure_of_every_path_lasts_until_it_is_cleared() {
    let scene = Scene::new();
    scene.sim.fail_until_cleared(EVERY_PATH, Failure::errcode(45011));
    for _ in 0..3 {
        assert_eq!(errcode(&scene.exchange("x").await), 45011);
        assert_eq!(errcode(&scene.stable_token(false).await), 45011);
    }
    scene.sim.clear_failures();
    assert!(scene.stable_token(false).await.get("errcode").is_none());
}

#[tokio::test]
async fn failures_of_one_path_occur_in_order_and_do_not_affect_other_paths() {
    let scene = Scene::new();
    scene.sim.fail(PATH, Failure::errcode(-1), 1);
    scene.sim.fail(PATH, Failure::errcode(45011), 1);
    assert!(scene.stable_token(false).await.get("errcode").is_none());
    assert_eq!(errcode(&scene.exchange("x").await), -1);
    assert_eq!(errcode(&scene.exchange("x").await), 45011);
    assert_eq!(errcode(&scene.exchange("x").await), 40029);
}
