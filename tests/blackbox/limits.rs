//! Rate limits per tenant, action, address and openid, on one gateway and across several.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, setup, simulator, tenant};
use menlou_harness::{Client, Envelope, Gateway, Redis, http::Response};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

/// Sends a request that needs no session and no platform call. It answers 400 because the code is missing, or 429.
fn send(client: &Client) -> Envelope {
    client.call("openid", &[])
}

/// Sends requests until one is rate limited, at most `max`. Returns the number that were not.
fn count_accepted(client: &Client, max: usize) -> usize {
    (0..max).take_while(|_| send(client).status == 400).count()
}

fn header(response: &Response, name: &str) -> String {
    response.header(name).unwrap_or_else(|| panic!("no {name}: {:?}", response.headers)).to_owned()
}

/// A scene with these lines added to the file of its tenant.
fn limited(stores: Stores, limits: &str) -> Scene {
    let limits = limits.to_owned();
    Scene::with(stores, move |mut setup, sim| {
        setup.tenants[0].1 = format!("{}\n{limits}", tenant(sim));
        setup
    })
}

#[test]
fn requests_over_the_tenant_limit_answer_429_with_retry_after() {
    let scene = limited(Stores::Embedded, "[limits]\ncalls = \"3/h\"");
    for remaining in (0..3).rev() {
        let response = send(&scene.client());
        response.assert_error(400, "missing_parameter");
        assert_eq!(header(&response.response, "ratelimit-policy"), "\"calls\";q=3;w=3600");
        let limit = header(&response.response, "ratelimit");
        assert!(limit.starts_with(&format!("\"calls\";r={remaining};t=")), "{limit}");
    }
    let rejected = send(&scene.client());
    rejected.assert_error(429, "rate_limited");
    let wait: u64 = header(&rejected.response, "retry-after").parse().unwrap();
    assert!((1100..=1200).contains(&wait), "{wait}");
    assert!(header(&rejected.response, "ratelimit").starts_with("\"calls\";r=0;t="));
    assert_eq!(rejected.msg, "请求过于频繁，请稍后再试");
    let english = scene.client().with_language("en").call("user", &[]);
    assert_eq!(english.assert_error(429, "rate_limited").msg, "Too many requests; try again shortly.");

    let neighbour = send(&scene.gateway.client(NEIGHBOUR));
    neighbour.assert_error(400, "missing_parameter");
    assert!(
        neighbour.response.header("ratelimit").is_none() && neighbour.response.header("ratelimit-policy").is_none()
    );
    let metrics = scene.admin("/metrics").unwrap().text();
    assert!(metrics.contains("menlou_rate_limited_total{tenant=\"manulife\",limit=\"calls\"} 2"), "{metrics}");
}

#[test]
fn request_succeeds_after_retry_after() {
    let scene = limited(Stores::Embedded, "[limits]\ncalls = \"60/m burst 1\"");
    let mut sent = Instant::now();
    send(&scene.client()).assert_error(400, "missing_parameter");
    // On a busy machine there may be more than a second between two requests; then the second is served as well.
    let rejected = loop {
        let now = Instant::now();
        let next = send(&scene.client());
        if next.status == 429 || sent.elapsed() < Duration::from_secs(1) {
            break next;
        }
        sent = now;
    };
    assert_eq!(header(&rejected.assert_error(429, "rate_limited").response, "retry-after"), "1");
    // The time itself is under test: a client waits exactly as long as Retry-After says, and sends nothing meanwhile.
    std::thread::sleep(Duration::from_secs(1));
    send(&scene.client()).assert_error(400, "missing_parameter");
}

#[test]
fn limit_of_an_action_does_not_apply_to_other_actions() {
    let scene = limited(Stores::Embedded, "[actions.openid.limits]\ncalls = \"2/h\"\n[limits]\ncalls = \"1000/h\"");
    let first = send(&scene.client());
    assert_eq!(header(&first.response, "ratelimit-policy"), "\"calls\";q=1000;w=3600, \"openid.calls\";q=2;w=3600");
    assert!(header(&first.response, "ratelimit").starts_with("\"openid.calls\";r=1;"));
    assert_eq!(count_accepted(&scene.client(), 5), 1);
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

/// Status of the response to a request from this local address.
fn status_from(address: &str, gateway: SocketAddr) -> u16 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let client =
        reqwest::Client::builder().local_address(address.parse::<std::net::IpAddr>().unwrap()).build().unwrap();
    let url = format!("http://{gateway}/srv/{TENANT}/openid");
    runtime.block_on(async { client.post(url).send().await.unwrap().status().as_u16() })
}

#[test]
fn each_openid_has_one_limit_for_all_of_its_sessions() {
    for stores in [Stores::Embedded, Stores::Redis] {
        let scene = limited(stores, "[limits]\nper_openid = \"2/h\"");
        // `openid` needs no session, so its requests are not counted.
        let (ann, ann_again, ben) = (scene.session("ann"), scene.session("ann"), scene.session("ben"));
        let status = |client: &Client| client.call("user", &[]).status;
        assert_eq!([status(&ann), status(&ann_again)], [401, 401]);
        let rejected = ann_again.call("user", &[]);
        rejected.assert_error(429, "rate_limited");
        assert!(header(&rejected.response, "ratelimit").starts_with("\"per_openid\";r=0;"));
        assert_eq!([status(&ben), status(&ben), status(&ben), status(&ann)], [401, 401, 429, 429]);
    }
}

#[test]
fn counts_survive_a_reload_and_changed_limits_apply_immediately() {
    let scene = limited(Stores::Embedded, "[limits]\ncalls = \"2/h\"");
    assert_eq!(count_accepted(&scene.client(), 5), 2);
    let write = |limits: &str| {
        scene
            .gateway
            .write_tenant(TENANT, &format!("{}\n[actions.added]\nplugin = \"user\"\n{limits}", tenant(&scene.sim)));
    };
    write("[limits]\ncalls = \"2/h\"");
    eventually("the new file is in use", || (scene.client().call("added", &[]).status == 429).then_some(()));
    assert_eq!(count_accepted(&scene.client(), 5), 0);
    write("[limits]\ncalls = \"1000/s\"");
    eventually("the new limit applies", || (send(&scene.client()).status == 400).then_some(()));
    write("");
    eventually("no limit applies", || send(&scene.client()).response.header("ratelimit").is_none().then_some(()));
}

#[test]
fn rate_limits_are_shared_and_local_while_redis_is_down() {
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
    let accepted = (0..30).filter(|at| send(&clients[at % 2]).status == 400).count();
    assert_eq!(accepted, 10);
    // Rejections are decided without another command to Redis.
    let commands = || {
        let stats = redis.command(&["INFO", "commandstats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_eval:calls=")).expect("a line").to_owned();
        line.split(',').next().and_then(|n| n.parse::<u64>().ok()).expect("a number")
    };
    let before = commands();
    assert!((0..50).all(|at| send(&clients[at % 2]).status == 429));
    assert_eq!(commands(), before);

    redis.kill();
    for (gateway, client) in gateways.iter().zip(&clients) {
        // The tenant is known to be over its limit. Nothing is known about the neighbour, so its whole burst is accepted.
        send(client).assert_error(429, "rate_limited");
        assert_eq!(count_accepted(&gateway.client(NEIGHBOUR), 30), 5);
        let log = gateway.log();
        assert_eq!(log.matches("each replica counts rate limits separately").count(), 1, "{log}");
        assert!(gateway.admin("/metrics").unwrap().text().contains("menlou_rate_limit_local_fallback_total 5"));
    }
    redis.restart();
    eventually("the gateway is ready", || (gateways[0].readiness().0 == 200).then_some(()));
    gateways[0].write_tenant(NEIGHBOUR, &neighbour.replace("5/h", "1000/s"));
    eventually("the new limit of the neighbour applies", || {
        (send(&gateways[0].client(NEIGHBOUR)).status == 400).then_some(())
    });
    // The counts in Redis have survived.
    send(&clients[0]).assert_error(429, "rate_limited");
    assert!(gateways[0].log().contains("rate limits are counted for all replicas together"));
}
