//! Runs the actions without a shared library, for Miri:
//! `MIRIFLAGS="-Zmiri-disable-isolation -Zmiri-ignore-leaks" cargo +nightly miri test -p menlou-rogue`
//! (host tables are never freed, so leaks are ignored).

use crate::plugin;
use menlou_plugin::testing::Host;
use serde_json::{Value, json};

fn call(action: &str, params: Value) -> menlou_plugin::testing::Reply {
    Host::new().code("a-code", "o-ann").call(plugin(), action, params)
}

#[test]
fn a_panic_fails_its_call() {
    for (action, n) in [
        ("panic_now", 0),
        ("panic_now", 1),
        ("panic_later", 0),
        ("panic_in_drop", 0),
        ("elsewhere", 0),
        ("elsewhere", 1),
    ] {
        assert_eq!(call(action, json!({ "n": n })).error.as_deref(), Some("plugin_failed"), "{action}");
    }
}

#[test]
fn wakers_work_on_any_thread() {
    assert_eq!(call("many", json!({ "n": 40 })).data["text"], "40");
    assert_eq!(call("thread_wakes", json!({ "n": 3 })).data["n"], 3);
    assert_eq!(call("keep_waker", json!({})).error, None);
    assert_eq!(call("wake_kept", json!({})).data["n"], 1);
}

#[test]
fn operations_may_be_dropped_on_another_thread() {
    assert_eq!(call("dropped_elsewhere", json!({ "text": "a-code" })).data["n"], 2);
}

#[test]
fn a_call_can_be_cancelled_at_each_await() {
    let host = Host::new().code("a-code", "o-ann");
    for (action, params, least) in [
        ("many", json!({ "n": 10 }), 1),
        ("panic_in_drop", json!({}), 1),
        ("open_session", json!({ "n": 1, "text": "a-code" }), 2),
    ] {
        assert!(host.cancel_at_each_await(plugin(), action, params) >= least, "{action}");
    }
}

#[test]
fn settings_are_read_and_validated() {
    let faults = |settings| Host::new().settings(settings).config_errors(plugin(), "set");
    assert_eq!(faults(json!({ "even": [2] })), []);
    assert_eq!(faults(json!({ "even": [1] }))[0].0, "/even/0");
    assert_eq!(Host::new().settings(json!({ "even": [2, 4] })).call(plugin(), "set", json!({})).data["n"], 6);
}
