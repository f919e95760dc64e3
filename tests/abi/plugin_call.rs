//! Calls of a Rust plugin: parameters, panics, cancellation, threads and log lines. A faulty call affects no other call.

use crate::{
    log_capture,
    test_gateway::{TestGateway, assert_failed, call, in_time, is_pending, run},
};
use menlou_platform::wechat::BASE_URL;
use serde_json::json;
use std::{pin::pin, time::Duration};

#[tokio::test]
async fn a_call_gets_its_parameters_and_returns_its_data() {
    let gateway = TestGateway::with_rogue().await;
    let got = gateway.call("echo", json!({ "n": "18446744073709551615", "text": "门楼\u{1f3ef}\n\"" })).await;
    // The text of a query parameter is converted to the number of the schema.
    assert_eq!(got.map_err(|e| e.code().to_owned()), Err("bad_parameter".into()), "larger than a JSON integer may be");
    let got = gateway.call("echo", json!({ "n": "42", "text": "门楼\u{1f3ef}\n\"" })).await.unwrap();
    assert_eq!(got, json!({ "n": 42, "text": "门楼\u{1f3ef}\n\"" }));
    let get = |method| menlou_call::Call { method, ..call("echo", json!({})) };
    assert!(run(&gateway.action("echo"), get(http::Method::GET)).await.is_ok());
    let wrong = run(&gateway.action("echo"), get(http::Method::DELETE)).await.unwrap_err();
    assert_eq!(wrong.code(), "wrong_http_method");
}

#[tokio::test]
async fn a_panic_fails_its_own_call() {
    let gateway = TestGateway::with_rogue().await;
    let never = gateway.action("never");
    let mut other_call = pin!(never.run(call("never", json!({ "n": 1 }))));
    assert!(is_pending(other_call.as_mut()).await);
    for (action, n) in [("panic_now", 0), ("panic_now", 1), ("panic_later", 0), ("panic_in_drop", 0)] {
        for _ in 0..3 {
            assert_failed(gateway.call(action, json!({ "n": n })).await, "panicked");
        }
    }
    assert!(is_pending(other_call.as_mut()).await, "the other call is still running");
    assert_eq!(gateway.call("live", json!({})).await.unwrap()["n"], 1);
    assert_eq!(gateway.call("echo", json!({ "n": 1 })).await.unwrap()["n"], 1);
    let lines = log_capture::lines("panic in plugin");
    assert!(lines.iter().any(|l| l.contains("panics.rs") && l.contains("a-request")), "{lines:?}");
    assert_eq!(log_capture::lines("12345678"), [""; 0], "the text of a panic may contain what a client sent");
}

#[tokio::test]
async fn cancelling_a_call_drops_the_plugins_future() {
    let gateway = TestGateway::with_rogue().await;
    let never = gateway.action("never");
    for n in [0, 1] {
        let mut calls: Vec<_> = (0..20).map(|_| Box::pin(never.run(call("never", json!({ "n": n }))))).collect();
        for call in &mut calls {
            assert!(is_pending(call.as_mut()).await);
        }
        assert_eq!(gateway.call("live", json!({})).await.unwrap()["n"], 20);
        calls.truncate(7);
        assert_eq!(gateway.call("live", json!({})).await.unwrap()["n"], 7);
        drop(calls);
        assert_eq!(gateway.call("live", json!({})).await.unwrap()["n"], 0);
    }
    let unpolled = never.run(call("never", json!({})));
    drop(unpolled);
    assert_eq!(gateway.call("live", json!({})).await.unwrap()["n"], 0);
}

#[tokio::test]
async fn a_panic_in_drop_of_a_cancelled_call_is_contained() {
    let gateway = TestGateway::with_rogue().await;
    let action = gateway.action("panic_in_drop");
    for _ in 0..3 {
        let cancelled =
            tokio::time::timeout(Duration::from_millis(20), action.run(call("panic_in_drop", json!({ "n": 1 }))));
        assert!(cancelled.await.is_err());
    }
    assert!(gateway.call("echo", json!({})).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_may_move_between_threads_and_be_cancelled_at_any_time() {
    let gateway = TestGateway::with_rogue().await;
    let many = gateway.action("many");
    let tasks: Vec<_> = (0..200_u64)
        .map(|i| {
            let many = many.clone();
            tokio::spawn(async move {
                let running = many.run(call("many", json!({ "n": 5 })));
                // Some calls are cancelled immediately, some half-way, and some complete.
                tokio::time::timeout(Duration::from_millis(i % 5 * 30), running)
                    .await
                    .map(|r| r.map(crate::test_gateway::data))
            })
        })
        .collect();
    for task in tasks {
        if let Ok(finished) = in_time(task).await.unwrap() {
            assert_eq!(finished.unwrap()["text"], "5");
        }
    }
    assert_eq!(gateway.call("many", json!({ "n": 5 })).await.unwrap()["text"], "5");
}

#[tokio::test]
async fn operations_on_a_thread_of_the_plugins_own_fail_the_call() {
    let gateway = TestGateway::with_rogue().await;
    for n in [0, 1] {
        assert_failed(gateway.call("elsewhere", json!({ "n": n })).await, "panicked");
    }
    assert!(gateway.call("echo", json!({})).await.is_ok());
}

#[tokio::test]
async fn operations_may_be_dropped_on_a_thread_of_the_plugins_own() {
    let gateway = TestGateway::with_rogue().await;
    for _ in 0..20 {
        let code = gateway.sim.code("alice");
        let got = gateway.call("dropped_elsewhere", json!({ "text": code })).await.unwrap();
        assert_eq!(got["n"], 2, "both were pending");
    }
    assert!(!gateway.sim.base_url().starts_with(BASE_URL));
    let code = gateway.sim.code("alice");
    assert!(gateway.call("open_session", json!({ "n": 1, "text": code })).await.is_ok(), "the stores still work");
}

#[tokio::test]
async fn a_log_line_of_a_plugin_is_one_line_with_plugin_tenant_and_request() {
    let gateway = TestGateway::with_rogue().await;
    let text = format!("forged-marker\nERROR all is lost\u{1b}[2J\r{}", "x".repeat(10_000));
    gateway.call("log", json!({ "text": text })).await.unwrap();
    let lines = log_capture::lines("forged-marker");
    let [line] = lines.as_slice() else { panic!("{lines:?}") };
    for part in ["plugin", "rogue", "acme", "a-request", "forged-marker ERROR all is lost"] {
        assert!(line.contains(part), "{part}");
    }
    assert!(!line.contains('\u{1b}') && line.len() < 10_000);
}
