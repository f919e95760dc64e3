//! Settings are prepared once, their faults are reported with JSON pointers, and they are released once.

use crate::{
    libraries::compiled,
    test_gateway::{TestGateway, call, is_pending, run},
};
use serde_json::json;
use std::pin::pin;

#[tokio::test]
async fn all_faults_are_reported_with_their_pointers() {
    let gateway = TestGateway::with_rogue().await;
    let faults = |settings| gateway.configure("set", &settings).err().unwrap();
    let reported = faults(json!({ "even": [2, 3, 4, 5] }));
    let wanted = [("/even/1", "3 不是偶数", "3 is odd"), ("/even/3", "5 不是偶数", "5 is odd")];
    assert_eq!(reported, wanted.map(|(at, zh, en)| (at.to_owned(), zh.to_owned(), en.to_owned())));
    let reported = faults(json!({ "even": ["two"] }));
    assert_eq!((reported.len(), reported[0].0.as_str()), (1, "/even/0"));
    let reported = faults(json!({ "panic": true }));
    assert_eq!((reported.len(), reported[0].0.as_str()), (1, ""));
    assert!(reported[0].2.contains("rejects"), "{reported:?}");
}

#[tokio::test]
async fn settings_are_released_once_after_the_last_running_call() {
    let gateway = TestGateway::with_rogue().await;
    let count = async || gateway.call("released", json!({})).await.unwrap()["n"].as_u64().unwrap();
    let before = count().await; // the SDK reads the schema's defaults from settings that it creates while loading
    let released = async || count().await - before;
    let set = gateway.configure("set", &json!({ "even": [2, 4] })).unwrap();
    assert_eq!(run(&set, call("set", json!({}))).await.unwrap()["n"], 6);
    {
        let running = set.clone();
        let mut first = pin!(async move { running.run(call("set", json!({ "n": 50 }))).await });
        let running = set.clone();
        let mut second = pin!(async move { running.run(call("set", json!({ "n": 3_600_000 }))).await });
        assert!(is_pending(first.as_mut()).await);
        assert!(is_pending(second.as_mut()).await);
        drop(set);
        assert_eq!(released().await, 0, "two calls are running");
        let finished = first.await.map(crate::test_gateway::data).unwrap();
        assert_eq!((&finished["n"], &finished["text"]), (&json!(6), &json!(before.to_string())));
        assert_eq!(released().await, 0, "one call is running");
    }
    assert_eq!(released().await, 1, "the last call was cancelled");
    drop(gateway.configure("set", &json!({})).unwrap());
    assert_eq!(released().await, 2, "without any call");
}

#[tokio::test]
async fn an_action_without_configure_has_no_settings_to_release() {
    let gateway = TestGateway::new(&[("odd", &compiled("odd.c", &[]))]).await;
    let action = gateway.configure("odd", &json!({})).unwrap();
    assert_eq!(run(&action, call("odd", json!({}))).await.unwrap(), json!({ "n": 1 }), "its state is NULL");
}
