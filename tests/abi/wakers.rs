//! Wakers: used by an executor inside a plugin, on a plugin's threads, and after the end of a call.

use crate::test_gateway::TestGateway;
use serde_json::json;

#[tokio::test]
async fn an_executor_inside_a_plugin_does_not_spin() {
    let gateway = TestGateway::with_rogue().await;
    let got = gateway.call("many", json!({ "n": 1000 })).await.unwrap();
    assert_eq!(got["text"], "1000");
    // The timers expire in a few groups, 20 ms apart, and FuturesUnordered yields after 32 futures per poll. A spinning
    // executor needs many thousand polls.
    let polls = got["n"].as_u64().unwrap();
    assert!(polls < 1500, "polled {polls} times");
    let got = gateway.call("many", json!({ "n": 5 })).await.unwrap();
    assert_eq!(got["text"], "5");
    let polls = got["n"].as_u64().unwrap();
    assert!(polls <= 12, "five waits of different lengths, polled {polls} times");
}

#[tokio::test]
async fn a_thread_of_a_plugin_can_wake_its_call() {
    let gateway = TestGateway::with_rogue().await;
    assert_eq!(gateway.call("thread_wakes", json!({ "n": 200 })).await.unwrap()["n"], 200);
}

#[tokio::test]
async fn a_waker_can_be_woken_after_the_end_of_its_call() {
    let gateway = TestGateway::with_rogue().await;
    for _ in 0..20 {
        let (keep, call) = (gateway.action("keep_waker"), crate::test_gateway::call("keep_waker", json!({})));
        tokio::spawn(async move { keep.run(call).await }).await.unwrap().unwrap();
        assert_eq!(gateway.call("wake_kept", json!({})).await.unwrap()["n"], 1);
    }
}
