//! How often callers may come: a tenant, an action, an address, an openid, by one gateway and by several.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, setup, simulator, tenant};
use menlou_harness::{Client, Envelope, Gateway, Redis, http::Response};
use std::net::SocketAddr;

/// A call that is answered in a moment, by an action that serves anyone: no code was given.
fn knock(client: &Client) -> Envelope {
    client.call("openid", &[])
}

/// Knocks until it is refused, at most so often; how often it was not.
fn knocks(client: &Client, most: usize) -> usize {
    (0..most).take_while(|_| knock(client).status == 400).count()
}

fn header(answer: &Response, name: &str) -> String {
    answer.header(name).unwrap_or_else(|| panic!("no {name}: {:?}", answer.headers)).to_owned()
}

/// A scene whose tenant has this besides.
fn limited(stores: Stores, limits: &str) -> Scene {
    let limits = limits.to_owned();
    Scene::with(stores, move |mut setup, sim| {
        setup.tenants[0].1 = format!("{}\n{limits}", tenant(sim));
        setup
    })
}

#[test]
fn calls_beyond_a_tenants_limit_are_told_when_to_come_again() {
    let scene = limited(Stores::Embedded, "[limits]\ncalls = \"3/h\"");
    for remaining in (0..3).rev() {
        let answer = knock(&scene.client());
        answer.assert_error(400, "missing_parameter");
        assert_eq!(header(&answer.response, "ratelimit-policy"), "\"calls\";q=3;w=3600");
        let standing = header(&answer.response, "ratelimit");
        assert!(standing.starts_with(&format!("\"calls\";r={remaining};t=")), "{standing}");
    }
    let refused = knock(&scene.client());
    refused.assert_error(429, "rate_limited");
    let wait: u64 = header(&refused.response, "retry-after").parse().unwrap();
    assert!((1100..=1200).contains(&wait), "{wait}");
    assert!(header(&refused.response, "ratelimit").starts_with("\"calls\";r=0;t="));
    assert_eq!(refused.msg, "请求过于频繁，请稍后再试");
    let english = scene.client().with_language("en").call("user", &[]);
    assert_eq!(english.assert_error(429, "rate_limited").msg, "Too many requests; try again shortly.");

    let neighbour = knock(&scene.gateway.client(NEIGHBOUR));
    neighbour.assert_error(400, "missing_parameter");
    assert!(
        neighbour.response.header("ratelimit").is_none() && neighbour.response.header("ratelimit-policy").is_none()
    );
    let metrics = scene.admin("/metrics").unwrap().text();
    assert!(metrics.contains("menlou_rate_limited_total{tenant=\"manulife\",limit=\"calls\"} 2"), "{metrics}");
}

#[test]
fn a_wait_as_long_as_was_told_is_enough() {
    let scene = limited(Stores::Embedded, "[limits]\ncalls = \"60/m burst 1\"");
    knock(&scene.client()).assert_error(400, "missing_parameter");
    let refused = knock(&scene.client());
    assert_eq!(header(&refused.assert_error(429, "rate_limited").response, "retry-after"), "1");
    std::thread::sleep(std::time::Duration::from_secs(1));
    knock(&scene.client()).assert_error(400, "missing_parameter");
}

#[test]
fn an_actions_own_limit_leaves_the_other_actions_alone() {
    let scene = limited(Stores::Embedded, "[actions.openid.limits]\ncalls = \"2/h\"\n[limits]\ncalls = \"1000/h\"");
    let first = knock(&scene.client());
    assert_eq!(header(&first.response, "ratelimit-policy"), "\"calls\";q=1000;w=3600, \"openid.calls\";q=2;w=3600");
    assert!(header(&first.response, "ratelimit").starts_with("\"openid.calls\";r=1;"));
    assert_eq!(knocks(&scene.client(), 5), 1);
    scene.client().call("user", &[]).assert_error(401, "login_required");
}

#[test]
fn each_address_has_its_own_limit() {
    let scene = limited(Stores::Embedded, "[limits]\nper_address = \"2/h\"");
    let from = |address: &str| status_from(address, scene.gateway.addr());
    assert_eq!([(); 3].map(|()| from("127.0.0.1")), [400, 400, 429]);
    assert_eq!([(); 3].map(|()| from("127.0.0.2")), [400, 400, 429]);
    assert_eq!(from("127.0.0.1"), 429);
}

/// The status that a knock from this address of the machine is answered with.
fn status_from(address: &str, gateway: SocketAddr) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client =
        reqwest::Client::builder().local_address(address.parse::<std::net::IpAddr>().unwrap()).build().unwrap();
    let url = format!("http://{gateway}/srv/{TENANT}/openid");
    runtime.block_on(async { client.post(url).send().await.unwrap().status().as_u16() })
}

#[test]
fn each_openid_has_its_own_limit_on_every_device() {
    for stores in [Stores::Embedded, Stores::Redis] {
        let scene = limited(stores, "[limits]\nper_openid = \"2/h\"");
        // Logging in itself needs no session, so it is not counted.
        let (ann, anns_other, ben) = (scene.session("ann"), scene.session("ann"), scene.session("ben"));
        let asks = |client: &Client| client.call("user", &[]).status;
        assert_eq!([asks(&ann), asks(&anns_other)], [401, 401]);
        let refused = anns_other.call("user", &[]);
        refused.assert_error(429, "rate_limited");
        assert!(header(&refused.response, "ratelimit").starts_with("\"per_openid\";r=0;"));
        assert_eq!([asks(&ben), asks(&ben), asks(&ben), asks(&ann)], [401, 401, 429, 429]);
    }
}

#[test]
fn what_was_counted_outlives_a_reload_and_new_limits_hold_at_once() {
    let scene = limited(Stores::Embedded, "[limits]\ncalls = \"2/h\"");
    assert_eq!(knocks(&scene.client(), 5), 2);
    let write = |limits: &str| {
        scene
            .gateway
            .write_tenant(TENANT, &format!("{}\n[actions.added]\nplugin = \"user\"\n{limits}", tenant(&scene.sim)));
    };
    write("[limits]\ncalls = \"2/h\"");
    eventually("the new file", || (scene.client().call("added", &[]).status == 429).then_some(()));
    assert_eq!(knocks(&scene.client(), 5), 0);
    write("[limits]\ncalls = \"1000/s\"");
    eventually("the new limit", || (knock(&scene.client()).status == 400).then_some(()));
    write("");
    eventually("no limit", || knock(&scene.client()).response.header("ratelimit").is_none().then_some(()));
}

#[test]
fn several_gateways_count_together_and_each_by_itself_while_redis_is_away() {
    let (sim, mut redis) = (simulator(), Redis::start());
    let neighbour = setup(&sim, None, None).tenants[1].1.clone() + "\n[limits]\ncalls = \"5/h\"\n";
    let start = || {
        let mut setup = setup(&sim, Some(&redis), None);
        setup.tenants[0].1 += "\n[limits]\ncalls = \"10/h\"\nper_address = \"1000/h\"\n";
        setup.tenants[1].1.clone_from(&neighbour);
        Gateway::start(setup)
    };
    let gateways = [start(), start()];
    let clients = gateways.each_ref().map(|gateway| gateway.client(TENANT));
    let passed = (0..30).filter(|at| knock(&clients[at % 2]).status == 400).count();
    assert_eq!(passed, 10);
    // A flood of refused calls is not passed on to Redis.
    let asked = || {
        let stats = redis.command(&["INFO", "commandstats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_eval:calls=")).expect("a line").to_owned();
        line.split(',').next().and_then(|n| n.parse::<u64>().ok()).expect("a number")
    };
    let before = asked();
    assert!((0..50).all(|at| knock(&clients[at % 2]).status == 429));
    assert_eq!(asked(), before);

    redis.kill();
    for (gateway, client) in gateways.iter().zip(&clients) {
        // What was known is known still; of the neighbour nothing is, so the whole burst passes.
        knock(client).assert_error(429, "rate_limited");
        assert_eq!(knocks(&gateway.client(NEIGHBOUR), 30), 5);
        let log = gateway.log();
        assert_eq!(log.matches("each replica counts rate limits separately").count(), 1, "{log}");
        assert!(gateway.admin("/metrics").unwrap().text().contains("menlou_rate_limit_local_fallback_total 5"));
    }
    redis.restart();
    eventually("Redis", || (gateways[0].readiness().0 == 200).then_some(()));
    gateways[0].write_tenant(NEIGHBOUR, &neighbour.replace("5/h", "1000/s"));
    eventually("the neighbour", || (knock(&gateways[0].client(NEIGHBOUR)).status == 400).then_some(()));
    // What Redis knew, it knows still.
    knock(&clients[0]).assert_error(429, "rate_limited");
    assert!(gateways[0].log().contains("rate limits are counted for all replicas together"));
}
