//! Calls that go wrong inside a plugin: each hurts itself at most.

use crate::{
    house::{House, call, failed, in_time, is_pending, run},
    logged,
};
use menlou_platform::wechat::BASE_URL;
use serde_json::json;
use std::{pin::pin, time::Duration};

#[tokio::test]
async fn a_call_goes_in_and_its_answer_comes_out() {
    let house = House::of_rogue().await;
    let got = house.call("echo", json!({ "n": "18446744073709551615", "text": "门楼\u{1f3ef}\n\"" })).await;
    // A text of a query becomes the number that the action wants.
    assert_eq!(got.map_err(|e| e.code().to_owned()), Err("bad_parameter".into()), "beyond what a JSON integer holds");
    let got = house.call("echo", json!({ "n": "42", "text": "门楼\u{1f3ef}\n\"" })).await.unwrap();
    assert_eq!(got, json!({ "n": 42, "text": "门楼\u{1f3ef}\n\"" }));
    let get = |method| menlou_call::Call { method, ..call("echo", json!({})) };
    assert!(run(&house.action("echo"), get(http::Method::GET)).await.is_ok());
    let wrong = run(&house.action("echo"), get(http::Method::DELETE)).await.unwrap_err();
    assert_eq!(wrong.code(), "wrong_http_method");
}

#[tokio::test]
async fn a_panic_fails_its_own_call() {
    let house = House::of_rogue().await;
    let never = house.action("never");
    let mut beside = pin!(never.run(call("never", json!({ "n": 1 }))));
    assert!(is_pending(beside.as_mut()).await);
    for (action, n) in [("panic_now", 0), ("panic_now", 1), ("panic_later", 0), ("panic_in_drop", 0)] {
        for _ in 0..3 {
            failed(house.call(action, json!({ "n": n })).await, "panicked");
        }
    }
    assert!(is_pending(beside.as_mut()).await, "the call beside them goes on");
    assert_eq!(house.call("live", json!({})).await.unwrap()["n"], 1);
    assert_eq!(house.call("echo", json!({ "n": 1 })).await.unwrap()["n"], 1);
    let lines = logged::lines("panic in plugin");
    assert!(lines.iter().any(|l| l.contains("panics.rs") && l.contains("a-request")), "{lines:?}");
    assert_eq!(logged::lines("12345678"), [""; 0], "a panic's text may hold what a caller sent");
}

#[tokio::test]
async fn a_call_that_is_given_up_drops_the_plugins_future() {
    let house = House::of_rogue().await;
    let never = house.action("never");
    for n in [0, 1] {
        let mut calls: Vec<_> = (0..20).map(|_| Box::pin(never.run(call("never", json!({ "n": n }))))).collect();
        for call in &mut calls {
            assert!(is_pending(call.as_mut()).await);
        }
        assert_eq!(house.call("live", json!({})).await.unwrap()["n"], 20);
        calls.truncate(7);
        assert_eq!(house.call("live", json!({})).await.unwrap()["n"], 7);
        drop(calls);
        assert_eq!(house.call("live", json!({})).await.unwrap()["n"], 0);
    }
    let unpolled = never.run(call("never", json!({})));
    drop(unpolled);
    assert_eq!(house.call("live", json!({})).await.unwrap()["n"], 0);
}

#[tokio::test]
async fn a_drop_that_panics_when_a_call_is_given_up_is_contained() {
    let house = House::of_rogue().await;
    let action = house.action("panic_in_drop");
    for _ in 0..3 {
        let given_up =
            tokio::time::timeout(Duration::from_millis(20), action.run(call("panic_in_drop", json!({ "n": 1 }))));
        assert!(given_up.await.is_err());
    }
    assert!(house.call("echo", json!({})).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_move_between_threads_and_are_aborted_anywhere() {
    let house = House::of_rogue().await;
    let many = house.action("many");
    let tasks: Vec<_> = (0..200_u64)
        .map(|i| {
            let many = many.clone();
            tokio::spawn(async move {
                let running = many.run(call("many", json!({ "n": 5 })));
                // Some at once, some half-way, some never.
                tokio::time::timeout(Duration::from_millis(i % 5 * 30), running)
                    .await
                    .map(|r| r.map(crate::house::data))
            })
        })
        .collect();
    for task in tasks {
        if let Ok(finished) = in_time(task).await.unwrap() {
            assert_eq!(finished.unwrap()["text"], "5");
        }
    }
    assert_eq!(house.call("many", json!({ "n": 5 })).await.unwrap()["text"], "5");
}

#[tokio::test]
async fn services_on_a_thread_of_the_plugins_own_cost_that_call() {
    let house = House::of_rogue().await;
    for n in [0, 1] {
        failed(house.call("elsewhere", json!({ "n": n })).await, "panicked");
    }
    assert!(house.call("echo", json!({})).await.is_ok());
}

#[tokio::test]
async fn operations_may_be_dropped_on_a_thread_of_the_plugins_own() {
    let house = House::of_rogue().await;
    for _ in 0..20 {
        let code = house.sim.code("alice");
        let got = house.call("dropped_elsewhere", json!({ "text": code })).await.unwrap();
        assert_eq!(got["n"], 2, "both were under way");
    }
    assert!(!house.sim.base_url().starts_with(BASE_URL));
    let code = house.sim.code("alice");
    assert!(house.call("open_session", json!({ "n": 1, "text": code })).await.is_ok(), "the stores serve on");
}

#[tokio::test]
async fn what_a_plugin_logs_is_one_line_that_says_who() {
    let house = House::of_rogue().await;
    let text = format!("forged-marker\nERROR all is lost\u{1b}[2J\r{}", "x".repeat(10_000));
    house.call("log", json!({ "text": text })).await.unwrap();
    let lines = logged::lines("forged-marker");
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    for part in ["plugin", "rogue", "acme", "a-request", "forged-marker ERROR all is lost"] {
        assert!(line.contains(part), "{part}");
    }
    assert!(!line.contains('\u{1b}') && line.len() < 10_000);
}
