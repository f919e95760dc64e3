//! Failures on demand.

use std::time::{Duration, Instant};

use menlou_simulator::{EVERY_PATH, Failure};

use super::{bench, errcode, text};

const PATH: &str = "/sns/jscode2session";

#[tokio::test]
async fn an_errcode_comes_as_often_as_ordered_and_leaves_the_code_unused() {
    let bench = bench();
    bench.sim.fail(PATH, Failure::errcode(-1), 2);
    let code = bench.sim.code("alice");
    for _ in 0..2 {
        let answer = bench.exchange(&code).await;
        assert_eq!(errcode(&answer), -1);
        assert!(text(&answer["errmsg"]).starts_with("system error, rid: "));
    }
    assert!(bench.exchange(&code).await.get("errcode").is_none());
}

#[tokio::test]
async fn a_failure_after_its_effect_uses_the_code_up() {
    let bench = bench();
    bench.sim.fail(PATH, Failure::errcode(-1).after_effect(), 1);
    let code = bench.sim.code("alice");
    assert_eq!(errcode(&bench.exchange(&code).await), -1);
    assert_eq!(errcode(&bench.exchange(&code).await), 40163);
}

#[tokio::test]
async fn an_unknown_errcode_can_be_ordered_with_a_text_of_its_own() {
    let bench = bench();
    bench.sim.fail(PATH, Failure::errcode_with_text(77777, "new one"), 1);
    let answer = bench.exchange("x").await;
    assert_eq!(errcode(&answer), 77777);
    assert!(text(&answer["errmsg"]).starts_with("new one, rid: "));
}

#[tokio::test]
async fn a_delayed_answer_is_the_true_one() {
    let bench = bench();
    let delay = Duration::from_millis(200);
    bench.sim.fail(PATH, Failure::delay(delay), 1);
    let start = Instant::now();
    let answer = bench.exchange(&bench.sim.code("alice")).await;
    assert_eq!(answer["openid"], bench.sim.openid("alice"));
    assert!(start.elapsed() >= delay);
}

#[tokio::test]
async fn a_hanging_call_holds_no_other_call_up() {
    let bench = bench();
    bench.sim.fail(PATH, Failure::hang(), 1);
    let hanging = tokio::spawn(bench.client.get(format!("{}{PATH}", bench.sim.base_url())).send());
    while bench.sim.calls(PATH) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(errcode(&bench.exchange("x").await), 40029);
    assert!(!hanging.is_finished());
}

#[tokio::test]
async fn a_hanging_call_gets_no_answer() {
    let bench = bench();
    bench.sim.fail(PATH, Failure::hang(), 1);
    let waiting = tokio::time::timeout(Duration::from_millis(300), bench.try_exchange("x"));
    assert!(waiting.await.is_err());
}

#[tokio::test]
async fn dropping_the_simulator_ends_a_hanging_call() {
    let bench = bench();
    bench.sim.fail(PATH, Failure::hang(), 1);
    let url = format!("{}{PATH}", bench.sim.base_url());
    let call = tokio::spawn(bench.client.get(url).send());
    while bench.sim.calls(PATH) == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(bench.sim);
    let answer = tokio::time::timeout(Duration::from_secs(10), call).await;
    assert!(answer.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn a_dropped_connection_is_an_error_without_an_answer() {
    let bench = bench();
    bench.sim.fail(PATH, Failure::drop_connection(), 1);
    assert!(bench.try_exchange("x").await.is_err());
}

#[tokio::test]
async fn a_status_comes_with_a_page_in_html() {
    let bench = bench();
    bench.sim.fail(PATH, Failure::status(500), 1);
    let answer = bench.try_exchange("x").await.unwrap();
    assert_eq!(answer.status(), 500);
    assert!(answer.text().await.unwrap().contains("<html>"));
}

#[tokio::test]
async fn a_truncated_answer_has_its_head_and_half_of_its_body() {
    let bench = bench();
    bench.sim.fail(PATH, Failure::truncate(), 1);
    let mut answer = bench.try_exchange(&bench.sim.code("alice")).await.unwrap();
    assert_eq!(answer.status(), 200);
    let announced = answer.content_length().unwrap();
    let half = answer.chunk().await.unwrap().unwrap();
    assert_eq!(half.len() as u64, announced / 2);
    assert!(answer.chunk().await.is_err());
}

#[tokio::test]
async fn a_failure_of_every_path_lasts_until_it_is_cleared() {
    let bench = bench();
    bench.sim.fail_until_cleared(EVERY_PATH, Failure::errcode(45011));
    for _ in 0..3 {
        assert_eq!(errcode(&bench.exchange("x").await), 45011);
        assert_eq!(errcode(&bench.stable_token(false).await), 45011);
    }
    bench.sim.clear_failures();
    assert!(bench.stable_token(false).await.get("errcode").is_none());
}

#[tokio::test]
async fn failures_of_one_path_are_used_up_in_their_order_and_leave_other_paths_alone() {
    let bench = bench();
    bench.sim.fail(PATH, Failure::errcode(-1), 1);
    bench.sim.fail(PATH, Failure::errcode(45011), 1);
    assert!(bench.stable_token(false).await.get("errcode").is_none());
    assert_eq!(errcode(&bench.exchange("x").await), -1);
    assert_eq!(errcode(&bench.exchange("x").await), 45011);
    assert_eq!(errcode(&bench.exchange("x").await), 40029);
}
