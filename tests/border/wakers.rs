//! Wakers: of executors inside a plugin, of its threads, of calls that are over.

use crate::house::House;
use serde_json::json;

#[tokio::test]
async fn an_executor_inside_a_plugin_waits_without_spinning() {
    let house = House::of_rogue().await;
    let got = house.call("many", json!({ "n": 1000 })).await.unwrap();
    assert_eq!(got["text"], "1000");
    // At 5 times of 20 ms each, timers come in a few bunches, and each poll may stop after so many futures (32, to be
    // fair to others); a spinning one takes many thousand polls.
    let polls = got["n"].as_u64().unwrap();
    assert!(polls < 1500, "polled {polls} times");
    let got = house.call("many", json!({ "n": 5 })).await.unwrap();
    assert_eq!(got["text"], "5");
    let polls = got["n"].as_u64().unwrap();
    assert!(polls <= 12, "five waits of different lengths, polled {polls} times");
}

#[tokio::test]
async fn a_thread_of_a_plugin_wakes_its_call() {
    let house = House::of_rogue().await;
    assert_eq!(house.call("thread_wakes", json!({ "n": 200 })).await.unwrap()["n"], 200);
}

#[tokio::test]
async fn a_waker_may_be_kept_and_woken_after_its_call() {
    let house = House::of_rogue().await;
    for _ in 0..20 {
        let (keep, call) = (house.action("keep_waker"), crate::house::call("keep_waker", json!({})));
        tokio::spawn(async move { keep.run(call).await }).await.unwrap().unwrap();
        assert_eq!(house.call("wake_kept", json!({})).await.unwrap()["n"], 1);
    }
}
