//! Stores that die or freeze: every request gets its envelope in time, nobody is told to log in again, and service
//! returns by itself. And what stands in Redis.

use crate::scene::{Scene, Stores, TENANT, eventually};
use menlou_harness::{Client, Envelope, Redis};
use std::time::{Duration, Instant};

/// What an answer may take while a store is away.
const BOUND: Duration = Duration::from_secs(1);
/// How soon after its store the gateway has to serve again.
const RECOVERY: Duration = Duration::from_secs(1);

/// Calls, and gives the answer with the time that it took. A busy machine may be slow once, not thrice.
fn timely(act: impl Fn() -> Envelope) -> Envelope {
    let mut slow = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        let answer = act();
        match begun.elapsed() {
            fast if fast < BOUND => return answer,
            took => slow.push(took),
        }
    }
    panic!("an answer took {slow:?}");
}

/// While it is away: 503 in time, or an answer from what is known, never a 401.
fn is_away(scene: &Scene, person: &Client) {
    for at in 0..5 {
        timely(|| scene.authorize(&format!("stranger {at}"))).assert_error(503, "store_unavailable");
        let read = timely(|| person.call("user", &[]));
        assert!(read.error.is_none() || read.status == 503, "{read:?}");
        timely(|| person.call("user", &[("name", "Anna")])).assert_error(503, "store_unavailable");
    }
    let refused = timely(|| scene.authorize("stranger"));
    assert!(refused.response.header("retry-after").is_some(), "{refused:?}");
    eventually("readiness tells", || (scene.readiness().0 == 503).then_some(()));
    assert_eq!(scene.admin("/healthz").unwrap().status, 200, "alive all the same");
}

/// From when the store is back.
fn is_back(scene: &Scene, person: &Client) {
    let begun = Instant::now();
    eventually("service returns", || {
        let write = person.call("user", &[("name", "Ann")]);
        assert_ne!(write.status, 401, "{write:?}");
        (write.error.is_none() && scene.authorize("ann").error.is_none()).then_some(())
    });
    let took = begun.elapsed();
    assert!(took < 3 * RECOVERY, "service returned after {took:?}");
    eventually("readiness tells", || (scene.readiness().0 == 200).then_some(()));
}

/// As long as Redis holds the sessions, an update needs it: the session is looked up anew once it can't be trusted.
fn is_away_for_sessions(scene: &Scene, person: &Client) {
    eventually("the outage is noticed", || (person.call("user", &[]).status == 503).then_some(()));
    is_away(scene, person);
}

#[test]
fn a_dead_redis_is_told_at_once_and_service_returns_with_it() {
    let mut scene = Scene::new(Stores::Redis);
    let person = scene.person("ann");
    for _ in 0..2 {
        scene.redis.as_mut().unwrap().kill();
        is_away_for_sessions(&scene, &person);
        scene.redis.as_mut().unwrap().restart();
        is_back(&scene, &person);
    }
}

#[test]
fn a_frozen_redis_is_told_in_time_and_service_returns_with_it() {
    let scene = Scene::new(Stores::Redis);
    let person = scene.person("ann");
    scene.redis.as_ref().unwrap().freeze();
    is_away_for_sessions(&scene, &person);
    scene.redis.as_ref().unwrap().thaw();
    is_back(&scene, &person);
}

#[test]
fn a_dead_postgres_is_told_at_once_and_service_returns_with_it() {
    let mut scene = Scene::new(Stores::Postgres);
    let person = scene.person("ann");
    for _ in 0..2 {
        scene.postgres.as_mut().unwrap().kill();
        is_away(&scene, &person);
        scene.postgres.as_mut().unwrap().restart();
        is_back(&scene, &person);
    }
}

#[test]
fn a_frozen_postgres_is_told_in_time_and_service_returns_with_it() {
    let scene = Scene::new(Stores::Postgres);
    let person = scene.person("ann");
    scene.postgres.as_ref().unwrap().freeze();
    is_away(&scene, &person);
    scene.postgres.as_ref().unwrap().thaw();
    is_back(&scene, &person);
}

#[test]
fn a_gateway_that_starts_before_its_stores_serves_as_soon_as_they_are_there() {
    let mut scene = Scene::new(Stores::Both);
    let person = scene.person("ann");
    scene.redis.as_mut().unwrap().kill();
    scene.postgres.as_mut().unwrap().kill();
    scene.gateway.relaunch();
    scene.authorize("ann").assert_error(503, "store_unavailable");
    person.call("user", &[]).assert_error(503, "store_unavailable");
    assert_eq!(scene.readiness().0, 503);
    scene.redis.as_mut().unwrap().restart();
    eventually("sessions are there", || (scene.readiness().1["stores"]["sessions"] == "ok").then_some(()));
    person.call("user", &[]).assert_error(503, "store_unavailable");
    scene.postgres.as_mut().unwrap().restart();
    is_back(&scene, &person);
}

#[test]
fn redis_holds_no_token_and_nothing_for_ever() {
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
    let words = redis.command(&["KEYS", "*"]);
    let keys: Vec<&str> = words.lines().map(str::trim).filter(|line| line.contains(':')).collect();
    assert!(keys.len() >= 5, "{keys:?}");
    for key in keys {
        assert!(key.starts_with("gate-1:{manulife}:"), "{key}");
        let ttl: i64 =
            redis.command(&["TTL", key]).lines().next().unwrap().trim_start_matches(':').trim().parse().unwrap();
        assert!(ttl >= 0, "{key} lives for ever");
        let told = key.to_owned() + &held(redis, key);
        for secret in &secrets {
            assert!(!told.contains(secret.as_str()), "{key} holds a secret");
        }
    }
}

/// What a key holds, whatever its type is.
fn held(redis: &Redis, key: &str) -> String {
    let kind = redis.command(&["TYPE", key]);
    match kind.trim_start_matches('+').lines().next().unwrap_or_default().trim() {
        "hash" => redis.command(&["HGETALL", key]),
        _ => redis.command(&["GET", key]),
    }
}
