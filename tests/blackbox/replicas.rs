//! Several gateways on the same stores behave as one.

use crate::scene::{Scene, Stores, TENANT, eventually, setup, side_by_side, simulator};
use menlou_harness::{Gateway, Postgres, Redis};

#[test]
fn replicas_that_start_concurrently_on_empty_stores_all_serve() {
    let (sim, redis, postgres) = (simulator(), Redis::start(), Postgres::start());
    let replicas = side_by_side(4, |_| Gateway::start(setup(&sim, Some(&redis), Some(&postgres))));
    for (at, replica) in replicas.iter().enumerate() {
        let code = sim.code(&format!("person {at}"));
        replica.client(TENANT).call("openid", &[("code", &code)]).ok();
    }
}

#[test]
fn changes_by_one_replica_are_seen_by_the_others() {
    let scene = Scene::new(Stores::Both);
    let other = Gateway::start(setup(&scene.sim, scene.redis.as_ref(), scene.postgres.as_ref()));
    let here = scene.person("ann");
    let authorized = here.call("openid", &[("code", &scene.sim.code("ann"))]);
    let token = authorized.token().unwrap();
    let (here, there) = (scene.client().with(token), other.client(TENANT).with(token));
    // Both have read session and user, and may have cached them.
    assert_eq!(here.call("user", &[]).ok(), there.call("user", &[]).ok());

    here.call("user", &[("name", "Anna")]).ok();
    eventually("the change is visible", || (there.call("user", &[]).ok()["user"]["name"] == "Anna").then_some(()));
    there.call("logout", &[("unbind", "1")]).ok();
    eventually("the session has ended", || (here.call("user", &[]).status == 401).then_some(()));
    let again = scene.authorize("ann");
    assert!(again.ok()["user"].is_null(), "the binding is gone on both replicas");
}
