//! Limits of attempts to log in, per account, per openid and per address. They fail closed.

use crate::{
    login_service::{ACCOUNT, KEY, LoginService, PASSWORD},
    scene::{Scene, Stores, TENANT, tenant},
};
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

/// A scene with at most 3 attempts per account, where clients give their address in X-Forwarded-For.
fn behind_a_proxy(stores: Stores) -> Scene {
    Scene::with(stores, |setup, _| {
        setup.setting("passwords.attempts_per_account", "3").setting("proxies.trusted", "[\"127.0.0.1\"]")
    })
}

/// A session of this person from this address.
fn session_from(scene: &Scene, person: &str, address: &str) -> Client {
    scene.session(person).with_address(address)
}

#[test]
fn strangers_do_not_lock_the_owner_out() {
    for stores in [Stores::Embedded, Stores::Redis] {
        let scene = behind_a_proxy(stores);
        scene.add_user(TENANT, "ann", "Ann", "annes-password");
        login(&session_from(&scene, "ann", "203.0.113.1"), "ann", "annes-password").ok();
        for at in 0..4 {
            let stranger = session_from(&scene, &format!("stranger {at}"), &format!("198.51.100.{at}"));
            let expected = if at < 3 { (200, "bad_credentials") } else { (429, "too_many_attempts") };
            login(&stranger, "ann", "a-wrong-guess").assert_error(expected.0, expected.1);
        }
        // The same openid at another address, and another openid at the same address.
        login(&session_from(&scene, "ann", "203.0.113.99"), "ann", "annes-password").ok();
        login(&session_from(&scene, "ann's tablet", "203.0.113.1"), "ann", "annes-password").ok();
        // The owner's logins give strangers no new budget.
        login(&session_from(&scene, "stranger 0", "198.51.100.0"), "ann", "annes-password")
            .assert_error(429, "too_many_attempts");
    }
}

#[test]
fn strangers_at_the_owners_address_do_not_lock_the_owner_out() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("passwords.attempts_per_address", "4"));
    scene.add_user(TENANT, "ann", "Ann", "annes-password");
    let owner = scene.session("ann");
    login(&owner, "ann", "annes-password").ok();
    let stranger = scene.session("stranger");
    for _ in 0..3 {
        login(&stranger, "ann", "a-wrong-guess").assert_error(200, "bad_credentials");
    }
    login(&stranger, "ann", "a-wrong-guess").assert_error(429, "too_many_attempts");
    login(&owner, "ann", "annes-password").ok();
}

#[test]
fn a_known_client_has_a_budget_and_no_more() {
    let scene = behind_a_proxy(Stores::Embedded);
    for account in ["ann", "bob"] {
        scene.add_user(TENANT, account, account, "the-password");
    }
    let client = session_from(&scene, "ann", "203.0.113.1");
    login(&client, "ann", "the-password").ok();
    for _ in 0..3 {
        login(&client, "ann", "a-wrong-guess").assert_error(200, "bad_credentials");
    }
    login(&client, "ann", "the-password").assert_error(429, "too_many_attempts");
    // Being known to one account says nothing about another.
    for at in 0..3 {
        let stranger = session_from(&scene, &format!("stranger {at}"), &format!("198.51.100.{at}"));
        login(&stranger, "bob", "a-wrong-guess").assert_error(200, "bad_credentials");
    }
    login(&client, "bob", "the-password").assert_error(429, "too_many_attempts");
}

#[test]
fn known_clients_survive_a_restart_and_are_shared_by_replicas() {
    let mut scene = behind_a_proxy(Stores::Redis);
    let setup = crate::scene::setup(&scene.sim, scene.redis.as_ref(), None)
        .setting("passwords.attempts_per_account", "3")
        .setting("proxies.trusted", "[\"127.0.0.1\"]");
    scene.add_user(TENANT, "ann", "Ann", "annes-password");
    login(&session_from(&scene, "ann", "203.0.113.1"), "ann", "annes-password").ok();
    for at in 0..3 {
        let stranger = session_from(&scene, &format!("stranger {at}"), &format!("198.51.100.{at}"));
        login(&stranger, "ann", "a-wrong-guess").assert_error(200, "bad_credentials");
    }
    let authorized = scene.authorize("ann");
    scene.gateway.restart();
    let other = menlou_harness::Gateway::start(setup);
    other.add_user(TENANT, "ann", "Ann", "annes-password");
    for gateway in [&scene.gateway, &other] {
        let client = gateway.client(TENANT).with(authorized.token().unwrap()).with_address("192.0.2.1");
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
fn attempts_per_openid_are_limited_across_accounts() {
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("passwords.attempts_per_openid", "3"));
    let client = scene.session("guesser");
    for account in ["ann", "bob", "carl"] {
        login(&client, account, "a-wrong-guess").assert_error(200, "bad_credentials");
    }
    login(&client, "dora", "a-wrong-guess").assert_error(429, "too_many_attempts");
    login(&scene.session("another"), "dora", "a-wrong-guess").assert_error(200, "bad_credentials");
}

/// A tenant whose own login service decides, with at most 3 attempts per account.
fn delegating(service: &LoginService, more: &str) -> Scene {
    let scene = Scene::with(Stores::Embedded, |mut setup, sim| {
        let methods =
            format!("[\"delegate\"]\ndelegate_url = \"{}\"\ndelegate_secret = \"{KEY}\"\n{more}", service.url());
        setup.tenants[0].1 = tenant(sim).replace(r#"["phone", "password", "profile"]"#, &methods);
        setup.setting("passwords.attempts_per_account", "3")
    });
    scene.secrets().add(KEY);
    scene
}

fn delegate(client: &Client, account: &str, password: &str) -> Envelope {
    client.call("login", &[("method", "delegate"), ("account", account), ("password", password)])
}

#[test]
fn attempts_of_the_method_delegate_are_limited_and_not_sent_beyond() {
    let service = LoginService::start();
    let scene = delegating(&service, "");
    for (at, account) in ["boss", "BOSS", " Boss "].iter().enumerate() {
        delegate(&scene.session(&format!("guesser {at}")), account, "a-guess").assert_error(200, "bad_credentials");
        assert_eq!(service.next()["client_address"], "127.0.0.1");
    }
    let stranger = scene.session("stranger");
    let rejected = delegate(&stranger, "boss", "a-guess");
    rejected.assert_error(429, "too_many_attempts");
    assert!(rejected.response.header("retry-after").is_some());
    for _ in 0..2 {
        delegate(&stranger, ACCOUNT, "a-guess").assert_error(200, "bad_credentials");
        delegate(&stranger, ACCOUNT, PASSWORD).ok();
        for _ in 0..2 {
            assert_eq!(service.next()["credentials"]["account"], ACCOUNT, "the rejected attempt was sent");
        }
    }
}

#[test]
fn the_parameter_with_the_account_is_a_setting() {
    let service = LoginService::start();
    let scene = delegating(&service, "delegate_account = \"employee\"");
    let guess = |at: usize, employee: &str| {
        let client = scene.session(&format!("guesser {at}"));
        let decoy = format!("decoy {at}");
        client.call("login", &[("method", "delegate"), ("employee", employee), ("account", &decoy), ("password", "a")])
    };
    for at in 0..3 {
        guess(at, "e-1").assert_error(200, "bad_credentials");
    }
    guess(3, "e-1").assert_error(429, "too_many_attempts");
    guess(4, "e-2").assert_error(200, "bad_credentials");
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
