//! Clients that disconnect: their requests are dropped, a code exchange in flight goes on, other clients are served.

use crate::scene::{Scene, Stores, TENANT, eventually};
use menlou_harness::http::{self, Request};
use menlou_simulator::Failure;
use std::{io::Write, net::Shutdown, thread, time::Duration};

const EXCHANGE: &str = "/sns/jscode2session";
const PHONE: &str = "/wxa/business/getuserphonenumber";

fn sessions(scene: &Scene) -> usize {
    let keys = scene.redis.as_ref().expect("Redis").command(&["KEYS", "menlou:{manulife}:s:*"]);
    keys.lines().filter(|line| line.starts_with("menlou:")).count()
}

fn open_connections(scene: &Scene) -> u64 {
    let metrics = scene.admin("/metrics").unwrap().text();
    let open = metrics.lines().find_map(|line| line.strip_prefix("menlou_connections "));
    open.expect("the metric").trim().parse().unwrap()
}

/// Sends a request, and disconnects as soon as `is_in_flight`.
pub fn disconnect_during(scene: &Scene, request: &[u8], is_in_flight: impl Fn() -> bool) {
    let mut stream = http::connect(scene.addr()).unwrap();
    stream.write_all(request).unwrap();
    eventually("the request is in flight", || is_in_flight().then_some(()));
    stream.shutdown(Shutdown::Both).unwrap();
}

#[test]
fn a_code_exchange_outlives_its_client_and_serves_the_next_request() {
    let scene = Scene::new(Stores::Redis);
    let code = scene.sim.code("ann");
    scene.secrets().add(&code);
    scene.sim.fail(EXCHANGE, Failure::delay(Duration::from_millis(600)).after_effect(), 1);
    let request = Request::post(scene.client().target("openid")).form(&[("code", &code)]);
    disconnect_during(&scene, &request.bytes(), || scene.sim.calls(EXCHANGE) == 1);

    let response = scene.client().call("openid", &[("code", &code)]);
    response.ok();
    assert_eq!(scene.sim.calls(EXCHANGE), 1, "the code was exchanged once");
    eventually("all connections are closed", || (open_connections(&scene) == 0).then_some(()));
    // Another login ends later than anything that the request of the disconnected client could still do.
    scene.authorize("bob").ok();
    assert_eq!(sessions(&scene), 2, "the request of the disconnected client opened no session");
}

#[test]
fn a_phone_code_used_for_a_disconnected_client_serves_its_retry() {
    let scene = Scene::new(Stores::Redis);
    let token = scene.authorize("ann").token().expect("a token").to_owned();
    let person = scene.client().with(&token);
    let code = scene.sim.phone_code("13800138000");
    scene.secrets().add(&code);
    scene.sim.fail(PHONE, Failure::delay(Duration::from_millis(600)).after_effect(), 1);
    let fields = [("method", "phone"), ("phone_code", &*code)];
    let request = Request::post(person.target("login")).bearer(&token);
    disconnect_during(&scene, &request.form(&fields).bytes(), || scene.sim.calls(PHONE) == 1);

    let user = person.call("login", &fields).user_id();
    assert!(user.is_some());
    assert_eq!(person.call("login", &fields).user_id(), user, "a repeated login has the same user");
    assert_eq!(scene.sim.calls(PHONE), 1, "the code was exchanged once");
    scene.session("bob").call("login", &fields).assert_error(200, "invalid_code");
}

#[test]
fn disconnects_at_any_moment_do_not_affect_other_clients() {
    let mut scene = Scene::new(Stores::Embedded);
    let person = scene.person("ann");
    scene.sim.fail(EXCHANGE, Failure::delay(Duration::from_millis(30)), 200);
    thread::scope(|scope| {
        for worker in 0..4u64 {
            let scene = &scene;
            scope.spawn(move || {
                for at in 0..25u64 {
                    let code = scene.sim.code("bob");
                    let request = Request::post(format!("/srv/{TENANT}/openid")).form(&[("code", &code)]);
                    let bytes = request.bytes();
                    // Disconnect within the head, within the body, and at various moments of the request.
                    let sent = if at % 3 == 0 { &bytes[..bytes.len() * (at as usize + 1) / 26] } else { &bytes[..] };
                    let wait = Duration::from_micros((at * 7 + worker * 3) % 50 * 1000);
                    http::send_and_hang_up(scene.addr(), sent, wait).unwrap();
                }
            });
        }
        for _ in 0..20 {
            person.call("user", &[]).ok();
        }
    });
    scene.authorize("ann").ok();
    assert!(scene.gateway.is_running());
    assert!(!scene.log().contains("panicked"), "{}", scene.log());
    eventually("all connections are closed", || (open_connections(&scene) == 0).then_some(()));
}
