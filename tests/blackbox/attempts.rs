//! Limits of password attempts per account and per address. They fail closed.

use crate::scene::{Scene, Stores, TENANT};
use menlou_harness::{Client, Envelope};

fn login(client: &Client, account: &str, password: &str) -> Envelope {
    client.call("login", &[("method", "password"), ("account", account), ("password", password)])
}

#[test]
fn attempts_per_account_are_limited_across_clients() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("passwords.attempts_per_account", "3"));
    scene.add_user(TENANT, "ann", "Ann", "annes-password");
    scene.add_user(TENANT, "bob", "Bob", "bobs-password");
    for at in 0..3 {
        login(&scene.session(&format!("guesser {at}")), "ann", "a-wrong-guess").assert_error(200, "bad_credentials");
    }
    let rejected = login(&scene.session("ann"), "ann", "annes-password");
    rejected.assert_error(429, "too_many_attempts");
    let wait: u64 = rejected.response.header("retry-after").and_then(|w| w.parse().ok()).expect("Retry-After");
    assert!((1..=900).contains(&wait), "{wait}");
    login(&scene.session("bob"), "bob", "bobs-password").ok();
}

#[test]
fn a_correct_password_resets_the_count_of_the_account() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("passwords.attempts_per_account", "3"));
    scene.add_user(TENANT, "ann", "Ann", "annes-password");
    let client = scene.session("ann");
    for _ in 0..3 {
        login(&client, "ann", "a-wrong-guess").assert_error(200, "bad_credentials");
        login(&client, "ann", "a-wrong-guess").assert_error(200, "bad_credentials");
        login(&client, "ann", "annes-password").ok();
    }
}

#[test]
fn concurrent_attempts_do_not_exceed_the_limit() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("passwords.attempts_per_account", "3"));
    let client = scene.session("guesser");
    let attempts = crate::scene::side_by_side(10, |_| login(&client, "ann", "a-wrong-guess"));
    assert_eq!(attempts.iter().filter(|a| a.status == 200).count(), 3);
}

#[test]
fn attempts_per_address_are_limited_across_accounts() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("passwords.attempts_per_address", "3"));
    let client = scene.session("guesser");
    for account in ["ann", "bob", "carl"] {
        login(&client, account, "a-wrong-guess").assert_error(200, "bad_credentials");
    }
    login(&client, "dora", "a-wrong-guess").assert_error(429, "too_many_attempts");
}

#[test]
fn attempt_counts_survive_a_restart() {
    let mut scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("passwords.attempts_per_account", "2"));
    let client = scene.session("guesser");
    for _ in 0..2 {
        login(&client, "ann", "a-wrong-guess").assert_error(200, "bad_credentials");
    }
    scene.gateway.restart();
    login(&client, "ann", "a-wrong-guess").assert_error(429, "too_many_attempts");
}

#[test]
fn replicas_share_the_attempt_counts() {
    let scene = Scene::with(Stores::Redis, |setup, _| setup.setting("passwords.attempts_per_account", "2"));
    let setup = crate::scene::setup(&scene.sim, scene.redis.as_ref(), None);
    let other = menlou_harness::Gateway::start(setup.setting("passwords.attempts_per_account", "2"));
    let authorized = scene.authorize("guesser");
    let token = authorized.token().unwrap();
    for gateway in [&scene.gateway, &other] {
        login(&gateway.client(TENANT).with(token), "ann", "a-wrong-guess").assert_error(200, "bad_credentials");
    }
    for gateway in [&scene.gateway, &other] {
        login(&gateway.client(TENANT).with(token), "ann", "a-wrong-guess").assert_error(429, "too_many_attempts");
    }
}

#[test]
fn passwords_are_rejected_while_the_store_of_counts_is_down() {
    let mut scene = Scene::new(Stores::Redis);
    scene.add_user(TENANT, "ann", "Ann", "annes-password");
    let client = scene.session("ann");
    scene.redis.as_mut().unwrap().kill();
    for _ in 0..3 {
        login(&client, "ann", "annes-password").assert_error(503, "store_unavailable");
    }
}
