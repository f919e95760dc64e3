//! Failover of Redis with Sentinels and of Redis Cluster under load: every request gets a response with an envelope in time, the
//! gateway recovers by itself, and sessions that had reached a replica survive.

use crate::{
    faults::under_load,
    scene::{NEIGHBOUR, Scene, Stores, eventually, neighbours_code},
};
use menlou_harness::{Client, Cluster, Redis, Sentinels};
use std::{thread, time::Duration};

fn scene(url: &str) -> Scene {
    Scene::with(Stores::Embedded, |setup, _| setup.setting("store.sessions", format!("{url:?}")))
}

/// Clients with sessions that have reached the replicas of this primary.
fn replicated_people(scene: &Scene, primary: &Redis) -> Vec<Client> {
    let people = (0..20).map(|at| scene.person(&format!("person {at}"))).collect();
    wait_for_replicas(primary);
    people
}

fn wait_for_replicas(primary: &Redis) {
    eventually("the replicas have all writes", || primary.has_synced_replicas().then_some(()));
}

fn assert_all_have_sessions(people: &[Client]) {
    for person in people {
        person.call("user", &[]).ok();
    }
}

#[test]
fn sentinel_primary_may_be_killed_frozen_and_restarted() {
    let mut redis = Sentinels::start();
    let scene = scene(&redis.url());
    let first = redis.primary().expect("a primary");
    let people = replicated_people(&scene, &redis.servers[first]);
    let person = scene.person("ann");

    under_load("the primary is killed", &scene, &person, || {
        redis.servers[first].kill();
        eventually("the Sentinels name another", || redis.primary().filter(|now| *now != first));
    });
    assert_all_have_sessions(&people);
    redis.servers[first].restart();
    eventually("the first is a replica", || redis.servers[first].is_replica().then_some(()));

    // A frozen server does not close its connections, and still regards itself as the primary when it resumes. One Sentinel is
    // frozen, too.
    let second = redis.primary().expect("a primary");
    let token = scene.authorize("bob").token().expect("a token").to_owned();
    wait_for_replicas(&redis.servers[second]);
    redis.freeze_sentinel(2);
    under_load("the primary is frozen", &scene, &person, || {
        redis.servers[second].freeze();
        eventually("the Sentinels name another", || redis.primary().filter(|now| *now != second));
        eventually("the gateway recovers", || scene.authorize("ann").error.is_none().then_some(()));
        redis.servers[second].thaw();
        // The load continues beside the former primary.
        thread::sleep(Duration::from_millis(500));
    });
    assert_all_have_sessions(&people);
    let bob = scene.client().with(&token);
    bob.call("logout", &[]).ok();
    bob.call("user", &[]).assert_error(401, "session_expired");
    assert_eq!(scene.readiness().0, 200);
}

#[test]
fn planned_failover_is_followed_although_the_former_primary_works() {
    let redis = Sentinels::start();
    let scene = scene(&redis.url());
    let first = redis.primary().expect("a primary");
    let people = replicated_people(&scene, &redis.servers[first]);
    let person = scene.person("ann");
    under_load("a planned failover", &scene, &person, || {
        let response = redis.fail_over();
        assert!(response.starts_with("+OK"), "{response}");
        eventually("the Sentinels name another", || redis.primary().filter(|now| *now != first));
        // The load continues for longer than the interval at which the gateway asks the Sentinels.
        thread::sleep(Duration::from_millis(1500));
    });
    assert_all_have_sessions(&people);
    // The new primary sends invalidations for the cache.
    let gone = &people[0];
    gone.call("user", &[]).ok();
    redis.servers[redis.primary().unwrap()].command(&["FLUSHALL"]);
    eventually("the flush is noticed", || (gone.call("user", &[]).status == 401).then_some(()));
}

#[test]
fn cluster_primary_may_be_killed_and_tenants_of_other_primaries_are_served() {
    let mut redis = Cluster::start();
    let scene = scene(&redis.url());
    let primary = |redis: &Cluster, queried| redis.primary_of("menlou:{manulife}:s:", queried);
    let first = primary(&redis, 0).expect("a primary");
    let people = replicated_people(&scene, &redis.servers[first]);
    let person = scene.person("ann");
    let elsewhere = (first + 1) % 3;
    let neighbour_is_elsewhere = redis.primary_of(&format!("menlou:{{{NEIGHBOUR}}}:s:"), 0) != Some(first);
    let neighbour = scene.gateway.client(NEIGHBOUR);
    under_load("a primary of the cluster is killed", &scene, &person, || {
        redis.servers[first].kill();
        for at in 0..10 {
            let code = neighbours_code(&scene.sim, &format!("n{at}"));
            let response = neighbour.call("openid", &[("code", &code)]);
            assert!(response.error.is_none() || !neighbour_is_elsewhere, "{response:?}");
            // The requests are spread over the failover.
            thread::sleep(Duration::from_millis(50));
        }
        eventually("another is primary", || primary(&redis, elsewhere).filter(|now| *now != first));
    });
    assert_all_have_sessions(&people);
    redis.servers[first].restart();
    eventually("the first is a replica", || redis.servers[first].is_replica().then_some(()));
    assert_all_have_sessions(&people);
    person.call("logout", &[]).ok();
    person.call("user", &[]).assert_error(401, "session_expired");

    // The complete cluster is killed and restarted.
    let person = scene.person("bob");
    under_load("the complete cluster is killed", &scene, &person, || {
        for server in &mut redis.servers {
            server.kill();
        }
        eventually("readiness follows", || (scene.readiness().0 == 503).then_some(()));
        for server in &mut redis.servers {
            server.restart();
        }
    });
    person.call("user", &[]).ok();
}
