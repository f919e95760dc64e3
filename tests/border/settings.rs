//! Settings: made ready once, faults told at their place, released once.

use crate::{
    house::{House, call, is_pending, run},
    made::compiled,
};
use serde_json::json;
use std::pin::pin;

#[tokio::test]
async fn faults_come_back_with_their_pointers_all_at_once() {
    let house = House::of_rogue().await;
    let faults = |settings| house.configure("set", &settings).err().unwrap();
    let told = faults(json!({ "even": [2, 3, 4, 5] }));
    let wanted = [("/even/1", "3 不是偶数", "3 is odd"), ("/even/3", "5 不是偶数", "5 is odd")];
    assert_eq!(told, wanted.map(|(at, zh, en)| (at.to_owned(), zh.to_owned(), en.to_owned())));
    let told = faults(json!({ "even": ["two"] }));
    assert_eq!((told.len(), told[0].0.as_str()), (1, "/even/0"));
    let told = faults(json!({ "panic": true }));
    assert_eq!((told.len(), told[0].0.as_str()), (1, ""));
    assert!(told[0].2.contains("rejects"), "{told:?}");
}

#[tokio::test]
async fn settings_are_released_once_after_the_last_call_in_flight() {
    let house = House::of_rogue().await;
    let count = async || house.call("released", json!({})).await.unwrap()["n"].as_u64().unwrap();
    let before = count().await; // the schema's defaults, made when it was loaded
    let released = async || count().await - before;
    let set = house.configure("set", &json!({ "even": [2, 4] })).unwrap();
    assert_eq!(run(&set, call("set", json!({}))).await.unwrap()["n"], 6);
    {
        let running = set.clone();
        let mut first = pin!(async move { running.run(call("set", json!({ "n": 50 }))).await });
        let running = set.clone();
        let mut second = pin!(async move { running.run(call("set", json!({ "n": 3_600_000 }))).await });
        assert!(is_pending(first.as_mut()).await);
        assert!(is_pending(second.as_mut()).await);
        drop(set);
        assert_eq!(released().await, 0, "two calls are in flight");
        let finished = first.await.map(crate::house::data).unwrap();
        assert_eq!((&finished["n"], &finished["text"]), (&json!(6), &json!(before.to_string())));
        assert_eq!(released().await, 0, "one call is in flight");
    }
    assert_eq!(released().await, 1, "the last call was given up");
    drop(house.configure("set", &json!({})).unwrap());
    assert_eq!(released().await, 2, "without any call");
}

#[tokio::test]
async fn an_action_without_configure_has_no_settings_to_release() {
    let house = House::new(&[("odd", &compiled("odd.c", &[]))]).await;
    let action = house.configure("odd", &json!({})).unwrap();
    assert_eq!(run(&action, call("odd", json!({}))).await.unwrap(), json!({ "n": 1 }), "its state is NULL");
}
