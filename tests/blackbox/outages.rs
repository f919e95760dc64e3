//! Stores that are killed or frozen: every request gets a response with an envelope in time, none gets 401, and the gateway
//! recovers by itself. Also: what is stored in Redis.

use crate::scene::{Scene, Stores, TENANT, eventually};
use menlou_harness::{Client, Envelope, Redis};
use std::time::{Duration, Instant};

/// Maximum time of a response while a store is down.
const BOUND: Duration = Duration::from_secs(1);
/// Maximum time between the start of a store and the recovery of the gateway.
const RECOVERY: Duration = Duration::from_secs(1);

/// Sends a request, and asserts that it is answered in time. On a busy machine it may be late twice, but not three times.
fn in_time(send: impl Fn() -> Envelope) -> Envelope {
    let mut slow = Vec::new();
    for _ in 0..3 {
        let start = Instant::now();
        let response = send();
        match start.elapsed() {
            time if time < BOUND => return response,
            time => slow.push(time),
        }
    }
    panic!("a response took {slow:?}");
}

/// While a store is down: 503 in time, or a response from the cache, never 401.
fn assert_down(scene: &Scene, person: &Client) {
    for at in 0..5 {
        in_time(|| scene.authorize(&format!("stranger {at}"))).assert_error(503, "store_unavailable");
        let read = in_time(|| person.call("user", &[]));
        assert!(read.error.is_none() || read.status == 503, "{read:?}");
        in_time(|| person.call("user", &[("name", "Anna")])).assert_error(503, "store_unavailable");
    }
    let refused = in_time(|| scene.authorize("stranger"));
    assert!(refused.response.header("retry-after").is_some(), "{refused:?}");
    eventually("readiness follows", || (scene.readiness().0 == 503).then_some(()));
    assert_eq!(scene.admin("/healthz").unwrap().status, 200, "the process is alive");
}

/// After the store is up again.
fn assert_up(scene: &Scene, person: &Client) {
    let start = Instant::now();
    eventually("the gateway recovers", || {
        let write = person.call("user", &[("name", "Ann")]);
        assert_ne!(write.status, 401, "{write:?}");
        (write.error.is_none() && scene.authorize("ann").error.is_none()).then_some(())
    });
    let time = start.elapsed();
    assert!(time < 3 * RECOVERY, "recovered after {time:?}");
    eventually("readiness follows", || (scene.readiness().0 == 200).then_some(()));
}

/// Waits until the cached session is no longer served, and then asserts the same.
fn assert_down_for_sessions(scene: &Scene, person: &Client) {
    eventually("the outage is noticed", || (person.call("user", &[]).status == 503).then_some(()));
    assert_down(scene, person);
}

#[test]
fn killed_redis_is_unavailable_immediately_and_recovers() {
    let mut scene = Scene::new(Stores::Redis);
    let person = scene.person("ann");
    for _ in 0..2 {
        scene.redis.as_mut().unwrap().kill();
        assert_down_for_sessions(&scene, &person);
        scene.redis.as_mut().unwrap().restart();
        assert_up(&scene, &person);
    }
}

#[test]
fn frozen_redis_is_unavailable_in_time_and_recovers() {
    let scene = Scene::new(Stores::Redis);
    let person = scene.person("ann");
    scene.redis.as_ref().unwrap().freeze();
    assert_down_for_sessions(&scene, &person);
    scene.redis.as_ref().unwrap().thaw();
    assert_up(&scene, &person);
}

#[test]
fn killed_postgres_is_unavailable_immediately_and_recovers() {
    let mut scene = Scene::new(Stores::Postgres);
    let person = scene.person("ann");
    for _ in 0..2 {
        scene.postgres.as_mut().unwrap().kill();
        assert_down(&scene, &person);
        scene.postgres.as_mut().unwrap().restart();
        assert_up(&scene, &person);
    }
}

#[test]
fn frozen_postgres_is_unavailable_in_time_and_recovers() {
    let scene = Scene::new(Stores::Postgres);
    let person = scene.person("ann");
    scene.postgres.as_ref().unwrap().freeze();
    assert_down(&scene, &person);
    scene.postgres.as_ref().unwrap().thaw();
    assert_up(&scene, &person);
}

#[test]
fn gateway_started_before_its_stores_recovers_when_they_start() {
    let mut scene = Scene::new(Stores::Both);
    let person = scene.person("ann");
    scene.redis.as_mut().unwrap().kill();
    scene.postgres.as_mut().unwrap().kill();
    scene.gateway.relaunch();
    scene.authorize("ann").assert_error(503, "store_unavailable");
    person.call("user", &[]).assert_error(503, "store_unavailable");
    assert_eq!(scene.readiness().0, 503);
    scene.redis.as_mut().unwrap().restart();
    eventually("the session store is ready", || (scene.readiness().1["stores"]["sessions"] == "ok").then_some(()));
    person.call("user", &[]).assert_error(503, "store_unavailable");
    scene.postgres.as_mut().unwrap().restart();
    assert_up(&scene, &person);
}

#[test]
fn redis_holds_no_token_and_every_key_expires() {
    let scene = Scene::with(Stores::Redis, |setup, _| setup.setting("store.prefix", "\"gate-1\""));
    let redis = scene.redis.as_ref().unwrap();
    scene.add_user(TENANT, "ann", "Ann", "annes-password");
    let mut secrets = Vec::new();
    for person in ["ann", "bob"] {
        let code = scene.sim.code(person);
        let authorized = scene.client().call("openid", &[("code", &code)]);
        let token = authorized.token().unwrap().to_owned();
        let client = scene.client().with(&token);
        client.call("login", &[("method", "password"), ("account", "ann"), ("password", "a-wrong-guess")]);
        let phone_code = scene.sim.phone_code("13800138000");
        client.call("login", &[("method", "phone"), ("phone_code", &phone_code)]).ok();
        secrets.extend([code, token, phone_code, "a-wrong-guess".to_owned(), "13800138000".to_owned()]);
    }
    let response = redis.command(&["KEYS", "*"]);
    let keys: Vec<&str> = response.lines().map(str::trim).filter(|line| line.contains(':')).collect();
    assert!(keys.len() >= 5, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("gate-1:{manulife}:"), "{key}");
        let ttl: i64 =
            redis.command(&["TTL", key]).lines().next().unwrap().trim_start_matches(':').trim().parse().unwrap();
        assert!(ttl >= 0, "{key} does not expire");
        let content = key.to_owned() + &value(redis, key);
        for secret in &secrets {
            assert!(!content.contains(secret.as_str()), "{key} holds a secret");
        }
    }
}

/// The value of a key of any type.
fn value(redis: &Redis, key: &str) -> String {
    let kind = redis.command(&["TYPE", key]);
    match kind.trim_start_matches('+').lines().next().unwrap_or_default().trim() {
        "hash" => redis.command(&["HGETALL", key]),
        _ => redis.command(&["GET", key]),
    }
}
