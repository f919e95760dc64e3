//! Plugins that behave badly, in C and in Rust: operations and calls kept beyond their end, threads held, floods, answers
//! that are none. Each costs its own call at most, and the log says whose it was.

use crate::{
    house::{House, call, failed, in_time, is_pending, run},
    logged,
    made::{built, compiled},
};
use serde_json::{Value, json};
use std::{io::Read, net::TcpListener, pin::pin, time::Duration};

/// A house with both.
async fn house() -> House {
    let (rude, rogue) = (compiled("rude.c", &[]), built("menlou_rogue"));
    House::new(&[("rude", &rude), ("rogue", &rogue)]).await
}

async fn rude(house: &House, how: &str, n: u64) -> Value {
    house.call("rude", json!({ "how": how, "n": n.to_string() })).await.unwrap()["n"].clone()
}

/// What the log says of an action's lapses.
fn lapses(action: &str, what: &str) -> Vec<String> {
    logged::lines(what).into_iter().filter(|l| l.contains(&format!("action=\"{action}\""))).collect()
}

/// Whether the one who connected goes away.
async fn goes_away(listener: &TcpListener) -> bool {
    let (mut stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let gone = tokio::task::spawn_blocking(move || std::io::copy(&mut stream, &mut std::io::sink()));
    gone.await.unwrap().is_ok()
}

#[tokio::test]
async fn an_operation_that_is_never_given_back_ends_with_its_call() {
    let house = house().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    for (action, params, waits) in [
        ("rude", json!({ "how": "leak", "url": url }), json!({ "how": "leak", "url": url, "wait": "1" })),
        ("leak", json!({ "text": url }), json!({ "text": url, "n": 1 })),
    ] {
        // It answers while the operation is under way.
        assert_eq!(house.call(action, params).await.unwrap()["n"], 1);
        // The connection may not even have been begun: either way nobody holds it.
        listener.set_nonblocking(true).unwrap();
        if let Ok((mut stream, _)) = listener.accept() {
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            assert!(stream.read_to_end(&mut Vec::new()).is_ok(), "{action}: it is held after the call");
        }
        listener.set_nonblocking(false).unwrap();
        // It is given up by its deadline while the operation is under way.
        let action = house.action(action);
        {
            let mut running = pin!(action.run(call(&action.descriptor().name, waits)));
            for _ in 0..20 {
                assert!(is_pending(running.as_mut()).await);
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        assert!(goes_away(&listener).await, "{}: it is held after the call", action.descriptor().name);
    }
    for (plugin, action) in [("rude", "rude"), ("rogue", "leak")] {
        let told = lapses(action, "without op_drop");
        let [line] = told.as_slice() else { panic!("told once, though it happened twice: {told:?}") };
        for part in ["WARN", &format!("plugin=\"{plugin}\""), "tenant=\"acme\"", "a-request", "operations=1"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

#[tokio::test]
async fn what_a_plugin_keeps_of_a_call_is_of_no_use_once_that_has_ended() {
    let house = house().await;
    for _ in 0..20 {
        assert_eq!(rude(&house, "keep", 0).await, 0);
        assert_eq!(rude(&house, "use_kept", 0).await, 6, "each use is refused");
    }
    let lines = logged::lines("said of a call that has ended");
    assert!(lines.len() == 20 && lines.iter().all(|l| !l.contains("a-request")), "{lines:?}");
}

#[tokio::test]
async fn operations_given_back_twice_or_without_end_do_no_harm() {
    let house = house().await;
    assert_eq!(rude(&house, "churn", 30_000).await, 30_000);
    assert_eq!(rude(&house, "hoard", 30_000).await, 10_000, "so many at most");
    assert_eq!(rude(&house, "churn", 100).await, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plugin_that_keeps_its_thread_is_told_of_once() {
    let house = house().await;
    for (action, params) in [("rude", json!({ "how": "block", "n": "300" })), ("block", json!({ "n": 300 }))] {
        for _ in 0..2 {
            assert_eq!(house.call(action, params.clone()).await.unwrap()["n"], 300);
        }
        let told = lapses(action, "blocked a worker thread");
        let [line] = told.as_slice() else { panic!("told once, though it happened twice: {told:?}") };
        let kept = line.split(" ms=").nth(1).and_then(|rest| rest.split(' ').next()?.parse::<u64>().ok());
        assert!(kept.is_some_and(|ms| (280..5_000).contains(&ms)), "{line}");
        for part in ["WARN", "plugin=\"r", "tenant=\"acme\"", "a-request", "times=1"] {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_none_fails_its_call_with_the_reason() {
    let house = house().await;
    let most = 16 << 20;
    assert_eq!(rude(&house, "large", most).await, Value::Null, "the largest that can be");
    for (how, n, why) in [
        ("large", most + 1, "without a valid reply: it is larger than 16 MiB"),
        ("garbage", 0, "without a valid reply: its data is not a JSON object"),
        ("invalid_utf8", 0, "without a valid reply: its data is not a JSON object"),
        ("nothing", 0, "without a reply"),
        ("fail", 0, "returned error -2"),
    ] {
        failed(house.call("rude", json!({ "how": how, "n": n.to_string() })).await, why);
    }
    for (action, params, why) in [
        ("large", json!({ "n": most + 1 }), "it is larger than 16 MiB"),
        ("no_object", json!({ "text": "a text" }), "its data is not a JSON object"),
        ("bad_word", json!({ "text": "Not A ErrorCode" }), "its error code is not 1 to 64"),
        ("file", json!({ "text": "image/png\r\nX-Evil: 1" }), "a file needs a media type"),
    ] {
        failed(house.call(action, params).await, why);
    }
    assert!(house.call("echo", json!({})).await.is_ok());
}

#[tokio::test]
async fn a_second_answer_is_told_of_and_the_first_counts() {
    let house = house().await;
    for _ in 0..2 {
        assert_eq!(rude(&house, "twice", 0).await, 1);
    }
    let told = lapses("rude", "replied to a call twice");
    assert_eq!(told.len(), 1, "{told:?}");
}

#[tokio::test]
async fn a_call_of_c_that_never_ends_is_dropped_when_it_is_given_up() {
    let house = house().await;
    let action = house.action("rude");
    let mut calls: Vec<_> = (0..20).map(|_| Box::pin(run(&action, call("rude", json!({ "how": "never" }))))).collect();
    for call in &mut calls {
        assert!(is_pending(call.as_mut()).await);
    }
    assert_eq!(rude(&house, "live", 0).await, 20);
    drop(calls);
    assert_eq!(in_time(rude(&house, "live", 0)).await, 0);
}

#[tokio::test]
async fn lines_that_nobody_keeps_and_lines_beyond_the_limit_are_not_written() {
    let house = house().await;
    let (action, flood) = (house.action("rude"), json!({ "how": "flood", "n": "5000" }));
    run(&action, call("rude", flood)).await.unwrap();
    house.call("flood", json!({ "n": 5000 })).await.unwrap();
    // Nothing comes after them, but the number of what was left out.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    for plugin in ["rude", "rogue"] {
        let written = logged::lines(&format!("a flood of the {plugin} plugin")).len();
        // On a busy machine they may have taken more than a second.
        assert!((200..=2_000).contains(&written), "{plugin}: {written} lines");
        let told = logged::lines("logs too many lines");
        assert!(told.iter().any(|l| l.contains(plugin) && l.contains("dropped=")), "{told:?}");
    }
    rude(&house, "long", 5000).await;
    let long = logged::lines("a long line of the rude plugin");
    assert!(long.len() == 1 && (8_000..9_000).contains(&long[0].len()), "{} lines", long.len());
}
