//! Redis with Sentinels and Redis Cluster lose a primary under load: each call gets its envelope in time, service returns
//! by itself, and sessions that had reached a replica are still there.

use crate::{
    faults::under_load,
    scene::{NEIGHBOUR, Scene, Stores, eventually, neighbours_code},
};
use menlou_harness::{Client, Cluster, Sentinels};
use std::{thread, time::Duration};

fn scene(url: &str) -> Scene {
    Scene::with(Stores::Embedded, |setup, _| setup.setting("store.sessions", format!("{url:?}")))
}

/// Sessions that were acknowledged a while ago.
fn people(scene: &Scene) -> Vec<Client> {
    let people = (0..20).map(|at| scene.person(&format!("person {at}"))).collect();
    // Longer than a replica needs to hear of them.
    thread::sleep(Duration::from_millis(500));
    people
}

fn all_are_there(people: &[Client]) {
    for person in people {
        person.call("user", &[]).ok();
    }
}

#[test]
fn a_primary_that_sentinels_watch_may_die_freeze_and_come_back() {
    let mut redis = Sentinels::start();
    let scene = scene(&redis.url());
    let people = people(&scene);
    let person = scene.person("ann");

    let first = redis.primary().expect("a primary");
    under_load("the primary is killed", &scene, &person, || {
        redis.servers[first].kill();
        eventually("the Sentinels name another", || redis.primary().filter(|now| *now != first));
    });
    all_are_there(&people);
    redis.servers[first].restart();
    eventually("the first is a replica", || {
        redis.servers[first].command(&["INFO", "replication"]).contains("master_link_status:up").then_some(())
    });

    // Not seen dead but silent; when it goes on it still takes itself for the primary. A Sentinel is away, too.
    let second = redis.primary().expect("a primary");
    let token = scene.authorize("bob").token().expect("a token").to_owned();
    thread::sleep(Duration::from_millis(500));
    redis.freeze_sentinel(2);
    under_load("the primary is frozen", &scene, &person, || {
        redis.servers[second].freeze();
        eventually("the Sentinels name another", || redis.primary().filter(|now| *now != second));
        eventually("service returns", || scene.authorize("ann").error.is_none().then_some(()));
        redis.servers[second].thaw();
        thread::sleep(Duration::from_millis(500));
    });
    all_are_there(&people);
    let bob = scene.client().with(&token);
    bob.call("logout", &[]).ok();
    bob.call("user", &[]).assert_error(401, "session_expired");
    assert_eq!(scene.readiness().0, 200);
}

#[test]
fn a_planned_failover_is_followed_though_the_old_primary_lives() {
    let redis = Sentinels::start();
    let scene = scene(&redis.url());
    let people = people(&scene);
    let person = scene.person("ann");
    let first = redis.primary().expect("a primary");
    under_load("a planned failover", &scene, &person, || {
        let answer = redis.fail_over();
        assert!(answer.starts_with("+OK"), "{answer}");
        eventually("the Sentinels name another", || redis.primary().filter(|now| *now != first));
        thread::sleep(Duration::from_millis(1500));
    });
    all_are_there(&people);
    // What is cached is still told of by the new primary.
    let gone = &people[0];
    gone.call("user", &[]).ok();
    redis.servers[redis.primary().unwrap()].command(&["FLUSHALL"]);
    eventually("the flush is seen", || (gone.call("user", &[]).status == 401).then_some(()));
}

#[test]
fn a_primary_of_a_cluster_may_die_and_tenants_of_the_others_are_served_on() {
    let mut redis = Cluster::start();
    let scene = scene(&redis.url());
    let people = people(&scene);
    let person = scene.person("ann");
    let primary = |redis: &Cluster, asked| redis.primary_of("menlou:{manulife}:s:", asked);
    let first = primary(&redis, 0).expect("a primary");
    let elsewhere = (first + 1) % 3;
    let neighbour_is_elsewhere = redis.primary_of(&format!("menlou:{{{NEIGHBOUR}}}:s:"), 0) != Some(first);
    let neighbour = scene.gateway.client(NEIGHBOUR);
    under_load("a primary of the cluster is killed", &scene, &person, || {
        redis.servers[first].kill();
        for at in 0..10 {
            let code = neighbours_code(&scene.sim, &format!("n{at}"));
            let answer = neighbour.call("openid", &[("code", &code)]);
            assert!(answer.error.is_none() || !neighbour_is_elsewhere, "{answer:?}");
            thread::sleep(Duration::from_millis(50));
        }
        eventually("another is primary", || primary(&redis, elsewhere).filter(|now| *now != first));
    });
    all_are_there(&people);
    redis.servers[first].restart();
    thread::sleep(Duration::from_millis(1000));
    all_are_there(&people);
    person.call("logout", &[]).ok();
    person.call("user", &[]).assert_error(401, "session_expired");

    // All of it is away, and comes back.
    let person = scene.person("bob");
    under_load("the whole cluster is killed", &scene, &person, || {
        for server in &mut redis.servers {
            server.kill();
        }
        eventually("it is told", || (scene.readiness().0 == 503).then_some(()));
        for server in &mut redis.servers {
            server.restart();
        }
    });
    person.call("user", &[]).ok();
}
