//! Circuit breakers: while a platform or store is down, requests fail immediately, one trial at a time finds out when it is
//! up again, and the log has one line for each change.

use crate::scene::{Scene, Stores, eventually, tenant};
use menlou_harness::{FaultProxy, NetworkFault};
use menlou_simulator::Failure;
use std::time::{Duration, Instant};

const EXCHANGE: &str = "/sns/jscode2session";

/// The value of the metric line that starts with `line`.
fn metric(scene: &Scene, line: &str) -> Option<String> {
    let metrics = scene.admin("/metrics").unwrap().text();
    metrics.lines().find_map(|found| Some(found.strip_prefix(line)?.trim().to_owned()))
}

/// Number of warnings and errors in the log.
fn warnings(scene: &Scene) -> usize {
    scene.log().lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count()
}

/// Number of log lines with this text.
fn count(scene: &Scene, text: &str) -> usize {
    scene.log().lines().filter(|line| line.contains(text)).count()
}

#[test]
fn failing_platform_gets_one_trial_at_a_time() {
    let scene = Scene::new(Stores::Embedded);
    let person = scene.person("ann");
    let origin = scene.sim.base_url().to_owned();
    scene.sim.fail(EXCHANGE, Failure::drop_connection(), 1000);
    for _ in 0..5 {
        scene.authorize("bob").assert_error(502, "platform_unreachable");
    }
    let before = scene.sim.calls(EXCHANGE);
    let start = Instant::now();
    let codes: Vec<String> = (0..20).map(|_| scene.sim.code("bob")).collect();
    for code in &codes {
        let refused = scene.client().call("openid", &[("code", code)]);
        refused.assert_error(502, "platform_unreachable");
        assert_eq!(refused.response.header("retry-after"), Some("1"), "{refused:?}");
    }
    let tried = scene.sim.calls(EXCHANGE) - before;
    assert!(tried <= start.elapsed().as_secs() + 1, "{tried} of 20 reached the platform");
    person.call("user", &[]).ok();
    let (status, readiness) = scene.readiness();
    assert_eq!(status, 200, "sessions are still served");
    assert!(readiness["platforms"][&origin].as_str().unwrap().contains("not answered"), "{readiness}");
    assert_eq!(metric(&scene, &format!("menlou_platform_up{{server=\"{origin}\"}}")).as_deref(), Some("0"));

    scene.sim.clear_failures();
    // A code that was refused without an exchange is not consumed.
    let last = codes.last().unwrap();
    eventually("the platform is up", || scene.client().call("openid", &[("code", last)]).error.is_none().then_some(()));
    assert_eq!(scene.readiness().1["platforms"][&origin], "ok");
    assert_eq!(metric(&scene, &format!("menlou_platform_up{{server=\"{origin}\"}}")).as_deref(), Some("1"));
    assert_eq!((count(&scene, "server is down"), count(&scene, "server is up again")), (1, 1), "{}", scene.log());
    assert!(warnings(&scene) <= 8, "{}", scene.log());
}

#[test]
fn error_codes_of_the_platform_never_open_its_circuit() {
    let scene = Scene::new(Stores::Embedded);
    for errcode in [40029, 40163, 40125, -1, 45011] {
        scene.sim.reset_calls();
        scene.sim.fail(EXCHANGE, Failure::errcode(errcode), 8);
        for _ in 0..8 {
            scene.authorize("bob");
        }
        assert!(scene.sim.calls(EXCHANGE) >= 8, "errcode {errcode}: each request reached the platform");
        scene.authorize("bob").ok();
    }
    assert_eq!(count(&scene, "server is down"), 0, "{}", scene.log());
}

#[test]
fn hanging_platform_delays_only_a_few_requests() {
    let sim_proxy = std::cell::OnceCell::new();
    let scene = Scene::with(Stores::Embedded, |mut setup, sim| {
        let port = sim.base_url().rsplit(':').next().unwrap().parse().unwrap();
        let proxy = sim_proxy.get_or_init(|| FaultProxy::start(port));
        setup.tenants[0].1 = tenant(sim).replace(sim.base_url(), &proxy.in_front_of(sim.base_url()));
        setup
    });
    let proxy = sim_proxy.get().unwrap();
    scene.authorize("ann").ok();
    for fault in [NetworkFault::Freeze, NetworkFault::Trickle(Duration::from_millis(200)), NetworkFault::Refuse] {
        proxy.set(fault.clone());
        let start = Instant::now();
        let responses = crate::scene::side_by_side(8, |at| scene.authorize(&format!("person {at}")));
        for response in &responses {
            assert!([502, 504].contains(&response.status), "{fault:?}: {response:?}");
        }
        assert!(start.elapsed() < Duration::from_secs(8), "{fault:?}: {:?}", start.elapsed());
        let start = Instant::now();
        let mut quick = 0;
        for _ in 0..10 {
            let start = Instant::now();
            scene.authorize("bob");
            quick += usize::from(start.elapsed() < Duration::from_secs(1));
        }
        // One trial per second may wait for its timeout.
        assert!(quick >= 8, "{fault:?}: {quick} of 10 failed immediately, in {:?}", start.elapsed());
        proxy.set(NetworkFault::None);
        eventually("the platform is up", || scene.authorize("bob").error.is_none().then_some(()));
    }
}

#[test]
fn store_outage_is_logged_once_however_many_requests_fail() {
    let mut scene = Scene::new(Stores::Both);
    let person = scene.person("ann");
    scene.redis.as_mut().unwrap().kill();
    scene.postgres.as_mut().unwrap().kill();
    eventually("the outage is noticed", || (person.call("user", &[]).status == 503).then_some(()));
    crate::scene::side_by_side(4, |_| {
        for _ in 0..50 {
            scene.authorize("bob").assert_error(503, "store_unavailable");
            person.call("user", &[]).assert_error(503, "store_unavailable");
        }
    });
    eventually("both gauges are 0", || {
        let is_down = |store| metric(&scene, &format!("menlou_store_up{{store=\"{store}\"}}")).as_deref() == Some("0");
        (is_down("redis") && is_down("postgresql")).then_some(())
    });
    let (status, readiness) = scene.readiness();
    assert_eq!(status, 503);
    assert!(readiness["stores"]["sessions"].as_str().unwrap().contains("refused"), "{readiness}");
    scene.redis.as_mut().unwrap().restart();
    scene.postgres.as_mut().unwrap().restart();
    eventually("service returns", || (scene.readiness().0 == 200).then_some(()));
    person.call("user", &[]).ok();
    for server in ["Redis", "PostgreSQL"] {
        for text in ["server is down", "server is up again"] {
            let logged =
                scene.log().lines().filter(|l| l.contains(text) && l.contains(&format!("server=\"{server}\""))).count();
            assert_eq!(logged, 1, "{server}: {text}\n{}", scene.log());
        }
    }
    assert!(warnings(&scene) <= 20, "400 requests failed:\n{}", scene.log());
}
