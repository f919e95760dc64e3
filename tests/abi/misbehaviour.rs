//! Misbehaving plugins in C and in Rust: they keep operations and calls beyond their end, block threads, flood the log and
//! send invalid replies. Each fails its own call at most, and the log names the plugin.

use crate::{
    libraries::{built, compiled},
    log_capture,
    test_gateway::{TestGateway, assert_failed, call, in_time, is_pending, run},
};
use serde_json::{Value, json};
use std::{io::Read, net::TcpListener, pin::pin, time::Duration};

/// A gateway with both plugins.
async fn gateway() -> TestGateway {
    let (rude, rogue) = (compiled("rude.c", &[]), built("menlou_rogue"));
    TestGateway::new(&[("rude", &rude), ("rogue", &rogue)]).await
}

async fn rude(gateway: &TestGateway, how: &str, n: u64) -> Value {
    gateway.call("rude", json!({ "how": how, "n": n.to_string() })).await.unwrap()["n"].clone()
}

/// The log lines about an action that contain a text.
fn log_lines(action: &str, what: &str) -> Vec<String> {
    log_capture::lines(what).into_iter().filter(|l| l.contains(&format!("action=\"{action}\""))).collect()
}

/// Accepts a connection and returns whether the gateway closes it.
async fn is_closed(listener: &TcpListener) -> bool {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let closed = tokio::task::spawn_blocking(move || std::io::copy(&mut stream, &mut std::io::sink()));
    closed.await.unwrap().is_ok()
}

#[tokio::test]
async fn an_operation_that_is_never_dropped_ends_with_its_call() {
    let gateway = gateway().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    for (action, params, waits) in [
        ("rude", json!({ "how": "leak", "url": url }), json!({ "how": "leak", "url": url, "wait": "1" })),
        ("leak", json!({ "text": url }), json!({ "text": url, "n": 1 })),
    ] {
        // The plugin replies while the operation runs.
        assert_eq!(gateway.call(action, params).await.unwrap()["n"], 1);
        // The connection may not be established yet. If it is, the gateway closes it.
        listener.set_nonblocking(true).unwrap();
        if let Ok((mut stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert!(stream.read_to_end(&mut Vec::new()).is_ok(), "{action}: the connection is open after the call");
        }
        listener.set_nonblocking(false).unwrap();
        // The call is cancelled while the operation runs.
        let action = gateway.action(action);
        {
            let mut running = pin!(action.run(call(&action.descriptor().name, waits)));
            for _ in 0..20 {
                assert!(is_pending(running.as_mut()).await);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        assert!(is_closed(&listener).await, "{}: the connection is open after the call", action.descriptor().name);
    }
    for (plugin, action) in [("rude", "rude"), ("rogue", "leak")] {
        let logged = log_lines(action, "without op_drop");
        let [line] = logged.as_slice() else { panic!("logged once, although it happened twice: {logged:?}") };
        for part in ["WARN", &format!("plugin=\"{plugin}\""), "tenant=\"acme\"", "a-request", "operations=1"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

#[tokio::test]
async fn handles_of_a_call_are_invalid_after_its_end() {
    let gateway = gateway().await;
    for _ in 0..20 {
        assert_eq!(rude(&gateway, "keep", 0).await, 0);
        assert_eq!(rude(&gateway, "use_kept", 0).await, 6, "each use is rejected");
    }
    let lines = log_capture::lines("logged for a call that has ended");
    assert!(lines.len() == 20 && lines.iter().all(|l| !l.contains("a-request")), "{lines:?}");
}

#[tokio::test]
async fn operations_may_be_dropped_twice_and_are_bounded_in_number() {
    let gateway = gateway().await;
    assert_eq!(rude(&gateway, "churn", 30_000).await, 30_000);
    assert_eq!(rude(&gateway, "hoard", 30_000).await, 10_000, "the limit");
    assert_eq!(rude(&gateway, "churn", 100).await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_blocks_a_worker_thread_is_logged_once() {
    let gateway = gateway().await;
    for (action, params) in [("rude", json!({ "how": "block", "n": "300" })), ("block", json!({ "n": 300 }))] {
        for _ in 0..2 {
            assert_eq!(gateway.call(action, params.clone()).await.unwrap()["n"], 300);
        }
        let logged = log_lines(action, "blocked a worker thread");
        let [line] = logged.as_slice() else { panic!("logged once, although it happened twice: {logged:?}") };
        let ms = line.split(" ms=").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
        assert!(ms.is_some_and(|ms| (280..5_000).contains(&ms)), "{line}");
        for part in ["WARN", "plugin=\"r", "tenant=\"acme\"", "a-request", "times=1"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

#[tokio::test]
async fn an_invalid_reply_fails_its_call_with_the_reason() {
    let gateway = gateway().await;
    let most = 16 << 20;
    assert_eq!(rude(&gateway, "large", most).await, Value::Null, "the maximum size");
    for (how, n, why) in [
        ("large", most + 1, "without a valid reply: it is larger than 16 MiB"),
        ("garbage", 0, "without a valid reply: its data is not a JSON object"),
        ("invalid_utf8", 0, "without a valid reply: its data is not a JSON object"),
        ("nothing", 0, "without a reply"),
        ("fail", 0, "returned error -2"),
    ] {
        assert_failed(gateway.call("rude", json!({ "how": how, "n": n.to_string() })).await, why);
    }
    for (action, params, why) in [
        ("large", json!({ "n": most + 1 }), "it is larger than 16 MiB"),
        ("no_object", json!({ "text": "a text" }), "its data is not a JSON object"),
        ("bad_error_code", json!({ "text": "Not A Code" }), "its error code is not 1 to 64"),
        ("file", json!({ "text": "image/png\r\nX-Evil: 1" }), "a file needs a media type"),
    ] {
        assert_failed(gateway.call(action, params).await, why);
    }
    assert!(gateway.call("echo", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_second_reply_is_logged_and_the_first_counts() {
    let gateway = gateway().await;
    for _ in 0..2 {
        assert_eq!(rude(&gateway, "twice", 0).await, 1);
        assert_eq!(rude(&gateway, "twice_returned", 0).await, 1, "also if the plugin returns the result of the second");
    }
    let logged = log_lines("rude", "replied to a call twice");
    assert_eq!(logged.len(), 1, "{logged:?}");
}

#[tokio::test]
async fn a_pending_call_of_a_c_plugin_is_dropped_when_it_is_cancelled() {
    let gateway = gateway().await;
    let action = gateway.action("rude");
    let mut calls: Vec<_> = (0..20).map(|_| Box::pin(run(&action, call("rude", json!({ "how": "never" }))))).collect();
    for call in &mut calls {
        assert!(is_pending(call.as_mut()).await);
    }
    assert_eq!(rude(&gateway, "live", 0).await, 20);
    drop(calls);
    assert_eq!(in_time(rude(&gateway, "live", 0)).await, 0);
}

#[tokio::test]
async fn lines_beyond_the_limits_are_dropped() {
    let gateway = gateway().await;
    let (action, flood) = (gateway.action("rude"), json!({ "how": "flood", "n": "5000" }));
    run(&action, call("rude", flood)).await.unwrap();
    gateway.call("flood", json!({ "n": 5000 })).await.unwrap();
    for plugin in ["rude", "rogue"] {
        // No line follows, but the number of dropped lines is reported.
        in_time(async {
            while !log_capture::lines("logs too many lines").iter().any(|line| line.contains(plugin)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let written = log_capture::lines(&format!("a flood of the {plugin} plugin")).len();
        // On a busy machine the flood may have taken more than a second.
        assert!((200..=2_000).contains(&written), "{plugin}: {written} lines");
        let logged = log_capture::lines("logs too many lines");
        assert!(logged.iter().any(|l| l.contains(plugin) && l.contains("dropped=")), "{logged:?}");
    }
    rude(&gateway, "long", 5000).await;
    let long = log_capture::lines("a long line of the rude plugin");
    assert!(long.len() == 1 && (8_000..9_000).contains(&long[0].len()), "{} lines", long.len());
}
