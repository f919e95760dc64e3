//! Concurrency limits per tenant and action: a flood of requests to one tenant leaves the others their throughput.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually};
use menlou_harness::{
    Upstream,
    http::{Request, Response, connect},
};
use std::{
    io::{Read, Write},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

/// The gateway's limit on concurrent requests in these tests.
const MAX_CONCURRENT: usize = 32;
/// Number of connections of a flood.
const FLOOD: usize = 2 * MAX_CONCURRENT;
/// Duration of one measurement of the neighbour's throughput.
const MEASURED: Duration = Duration::from_millis(1500);
/// Interval of the requests of each of the neighbour's clients.
const INTERVAL: Duration = Duration::from_millis(20);
/// Number of the neighbour's clients.
const CLIENTS: usize = 4;

/// A gateway with these settings, whose tenant forwards `a=slow` to `upstream` without authentication; `action` and `tenant`
/// are more lines for the tables of the action and of the tenant.
fn scene(upstream: &Upstream, settings: &[(&str, &str)], action: &str, tenant: &str) -> Scene {
    let slow = format!(
        "\n[actions.slow]\nplugin = \"proxy\"\nupstream = \"http://{}\"\nauth = \"optional\"\n{action}\n{tenant}\n",
        upstream.addr()
    );
    Scene::with(Stores::Embedded, |mut setup, _| {
        setup.tenants[0].1 += &slow;
        let setup = setup.setting("server.max_concurrent_requests", MAX_CONCURRENT.to_string());
        settings.iter().fold(setup, |setup, (name, value)| setup.setting(name, *value))
    })
}

fn get(path: &str) -> Request {
    Request::new("GET", format!("/srv/{TENANT}/slow{path}"))
}

/// Sends a request that needs no other server: 400 for a missing parameter, unless it is rejected before.
fn probe(scene: &Scene, tenant: &str) -> Response {
    Request::post(format!("/srv/{tenant}/openid")).send(scene.gateway.addr()).expect("a response")
}

/// Fraction of the neighbour's requests that are served within [`MEASURED`]. Each client sends at fixed times; a client that
/// is late sends without a pause until it has caught up.
fn served_fraction(scene: &Scene) -> f64 {
    let start = Instant::now();
    let served = crate::scene::side_by_side(CLIENTS, |_| {
        let mut served = 0;
        for request in 0.. {
            let due = start + INTERVAL * request;
            if due.max(Instant::now()) >= start + MEASURED {
                return served;
            }
            // Time is the subject: requests at a fixed rate.
            thread::sleep(due.saturating_duration_since(Instant::now()));
            served += u32::from(probe(scene, NEIGHBOUR).status == 400);
        }
        served
    });
    let offered = CLIENTS as f64 * (MEASURED.as_secs_f64() / INTERVAL.as_secs_f64());
    f64::from(served.into_iter().sum::<u32>()) / offered
}

/// The neighbour's throughput during a flood of requests to the tenant, as a fraction of the throughput before.
fn throughput_during_flood(scene: &Scene) -> f64 {
    let before = served_fraction(scene);
    let stop = AtomicBool::new(false);
    let is_flooded = |scene: &Scene| probe(scene, TENANT).status == 503;
    thread::scope(|scope| {
        for _ in 0..FLOOD {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    if get("/silent").send(scene.gateway.addr()).is_ok_and(|response| response.status == 503) {
                        // The pause of a client before it retries: without it the flood's own threads take the processor.
                        thread::sleep(Duration::from_millis(50));
                    }
                }
            });
        }
        eventually("requests of the flood are rejected", || is_flooded(scene).then_some(()));
        let during = served_fraction(scene);
        let still_flooded = is_flooded(scene);
        stop.store(true, Ordering::Relaxed);
        assert!(still_flooded, "the flood ended too early");
        during / before
    })
}

#[test]
fn flood_of_one_tenant_leaves_others_their_throughput() {
    let upstream = Upstream::start();
    let settings = [("server.call_timeout", "\"3s\""), ("log.access", "false")];
    let scene = scene(&upstream, &settings, "", "");
    // A busy machine may spoil one measurement. Without limits per tenant all of them fail, as the next test shows.
    let throughput: Vec<f64> = (0..3).map(|_| throughput_during_flood(&scene)).collect();
    assert!(throughput.iter().any(|fraction| *fraction >= 0.95), "{throughput:?}");
    let metrics = scene.admin("/metrics").unwrap().text();
    assert!(metrics.contains("menlou_requests_shed_total{reason=\"tenant_limit\",tenant=\"manulife\"}"), "{metrics}");
    assert!(!metrics.contains("menlou_requests_shed_total{reason=\"tenant_limit\",tenant=\"neighbour\"}"), "{metrics}");
}

#[test]
fn flood_without_limits_per_tenant_takes_the_throughput_of_others() {
    let upstream = Upstream::start();
    let max = MAX_CONCURRENT.to_string();
    let scene = scene(
        &upstream,
        &[
            ("server.call_timeout", "\"3s\""),
            ("server.max_concurrent_requests_per_tenant", &max),
            ("log.access", "false"),
        ],
        "",
        "",
    );
    assert!(throughput_during_flood(&scene) < 0.5);
}

#[test]
fn concurrency_limits_of_a_tenant_and_of_an_action_are_enforced() {
    for (action, tenant) in [("limits = { max_concurrent = 2 }", ""), ("", "[limits]\nmax_concurrent = 2")] {
        let upstream = Upstream::start();
        let scene = scene(&upstream, &[("server.call_timeout", "\"3s\"")], action, tenant);
        thread::scope(|scope| {
            let in_flight = [(); 2].map(|()| scope.spawn(|| get("/silent").send(scene.gateway.addr())));
            eventually("both are in flight", || (upstream.requests().len() == 2).then_some(()));
            let rejected = get("/").send(scene.gateway.addr()).expect("a response");
            assert_eq!(rejected.status, 503, "{}", rejected.text());
            assert!(rejected.text().contains("overloaded") && rejected.header("retry-after").is_some());
            // The limit of an action does not apply to the tenant's other actions; the limit of a tenant applies to all.
            let other_action = probe(&scene, TENANT).status;
            assert_eq!(other_action, if tenant.is_empty() { 400 } else { 503 });
            assert_eq!(probe(&scene, NEIGHBOUR).status, 400);
            for request in in_flight {
                assert_eq!(request.join().expect("no panic").expect("a response").status, 504);
            }
        });
        assert_eq!(get("/").send(scene.gateway.addr()).expect("a response").status, 200);
    }
}

#[test]
fn response_holds_its_permit_until_it_is_sent_or_the_client_disconnects() {
    let upstream = Upstream::start();
    let scene = scene(&upstream, &[], "limits = { max_concurrent = 1 }", "");
    // More than the socket buffers hold; the client stops reading.
    let mut reader = connect(scene.gateway.addr()).expect("a connection");
    reader.write_all(&get("/chunked?100000000").bytes()).expect("sent");
    let mut first = [0; 1024];
    reader.read_exact(&mut first).expect("the beginning of a response");
    let status = || get("/").send(scene.gateway.addr()).expect("a response").status;
    assert_eq!(status(), 503);
    drop(reader);
    eventually("the permit is released", || (status() == 200).then_some(()));
}
