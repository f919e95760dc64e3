//! The exchange of login codes: idempotent, also across replicas; each failure of the platform has its error code.

use crate::scene::{Scene, Stores, TENANT, setup, side_by_side, tenant};
use menlou_harness::{Envelope, Gateway};
use menlou_simulator::Failure;
use std::{collections::BTreeSet, thread, time::Duration};

const EXCHANGE: &str = "/sns/jscode2session";

fn tokens(responses: &[Envelope]) -> BTreeSet<String> {
    responses.iter().filter_map(|response| Some(response.token()?.to_owned())).collect()
}

pub fn code_sent_twice_is_exchanged_once(stores: Stores) {
    let scene = Scene::new(stores);
    let id = scene.person("ann").call("user", &[]).user_id();
    scene.sim.reset_calls();
    scene.sim.fail(EXCHANGE, Failure::delay(Duration::from_millis(200)), 1);
    let code = scene.sim.code("ann");
    let mut responses = side_by_side(5, |_| scene.client().call("openid", &[("code", &code)]));
    responses.push(scene.client().call("openid", &[("code", &code)]));
    for response in &responses {
        response.ok();
        assert_eq!(response.user_id(), id, "the same user");
    }
    assert_eq!(tokens(&responses).len(), responses.len(), "each has a session of its own");
    assert_eq!(scene.sim.calls(EXCHANGE), 1);

    // The end of one session leaves the others valid.
    let client = |response: &Envelope| scene.client().with(response.token().unwrap());
    client(&responses[0]).call("logout", &[]).ok();
    client(&responses[1]).call("user", &[]).ok();
}

#[test]
fn replicas_that_share_redis_exchange_a_code_once() {
    let scene = Scene::new(Stores::Redis);
    let other = Gateway::start(setup(&scene.sim, scene.redis.as_ref(), None));
    scene.sim.fail(EXCHANGE, Failure::delay(Duration::from_millis(300)), 1);
    let code = scene.sim.code("ann");
    let gateways = [&scene.gateway, &other];
    let mut responses = side_by_side(6, |at| gateways[at % 2].client(TENANT).call("openid", &[("code", &code)]));
    for gateway in gateways {
        responses.push(gateway.client(TENANT).call("openid", &[("code", &code)]));
    }
    for response in &responses {
        response.ok();
    }
    assert_eq!(tokens(&responses).len(), responses.len());
    assert_eq!(scene.sim.calls(EXCHANGE), 1);

    // A session opened by one replica is valid at the other as well.
    for gateway in gateways {
        gateway
            .client(TENANT)
            .with(responses[0].token().unwrap())
            .call("user", &[])
            .assert_error(401, "login_required");
    }
}

#[test]
fn code_is_used_up_after_the_replay_window() {
    let scene = Scene::with(Stores::Embedded, |mut setup, sim| {
        setup.tenants[0].1 = tenant(sim).replace("[actions.openid]\n", "[actions.openid]\nreplay_window = \"1s\"\n");
        setup
    });
    let code = scene.sim.code("ann");
    scene.client().call("openid", &[("code", &code)]).ok();
    // Time is the subject: the end of the replay window.
    thread::sleep(Duration::from_millis(1500));
    scene.client().call("openid", &[("code", &code)]).assert_error(200, "code_used");
}

#[test]
fn platform_failures_have_error_codes_of_the_contract() {
    let scene = Scene::new(Stores::Embedded);
    let exchange = |failure: Option<Failure>| {
        if let Some(failure) = failure {
            scene.sim.fail(EXCHANGE, failure, 1);
        }
        scene.authorize("ann")
    };
    exchange(Some(Failure::errcode(40029))).assert_error(200, "invalid_code");
    exchange(Some(Failure::errcode(40163))).assert_error(200, "code_used");
    exchange(Some(Failure::errcode(40226))).assert_error(200, "user_blocked");
    exchange(Some(Failure::errcode(-1))).assert_error(503, "platform_busy");
    exchange(Some(Failure::errcode(45011))).assert_error(503, "platform_busy");
    for errcode in [40013, 40125, 40164] {
        let failed = exchange(Some(Failure::errcode(errcode)));
        assert_eq!(failed.assert_error(503, "tenant_misconfigured").data["errcode"], errcode);
    }
    exchange(Some(Failure::drop_connection())).assert_error(502, "platform_unreachable");
    exchange(Some(Failure::status(500))).assert_error(503, "platform_busy");
    assert_eq!(exchange(Some(Failure::truncate())).status, 502);
    let unknown = exchange(Some(Failure::errcode_with_text(98765, "something new")));
    unknown.assert_error(502, "platform_error");
    assert_eq!(unknown.data["errcode"], 98765);
    let rid = unknown.data["rid"].as_str().expect("the platform's rid").to_owned();
    assert!(scene.log().contains(&rid) && scene.log().contains("98765"), "both are in the log");
    exchange(None).ok();
}

#[test]
fn exchange_with_a_hanging_platform_fails_in_time() {
    let scene = Scene::new(Stores::Embedded);
    scene.sim.fail(EXCHANGE, Failure::hang(), 1);
    let failed = scene.authorize("ann");
    assert!([502, 503, 504].contains(&failed.status), "{failed:?}");
    scene.authorize("ann").ok();
}

#[test]
fn changed_secret_drops_the_cached_access_token() {
    let scene = Scene::new(Stores::Redis);
    let login = |person: &str| {
        let phone_code = scene.sim.phone_code("13800138000");
        scene.session(person).call("login", &[("method", "phone"), ("phone_code", &phone_code)])
    };
    login("ann").ok();
    let before = scene.sim.calls("/cgi-bin/stable_token");
    scene.sim.first_app().reset_secret("another-secret-of-the-app").unwrap();
    scene.secrets().add("another-secret-of-the-app");
    scene.authorize("ann").assert_error(503, "tenant_misconfigured");
    scene.write_tenant(TENANT, &tenant(&scene.sim).replace("demo-secret", "another-secret-of-the-app"));
    crate::scene::eventually("the new secret is used", || scene.authorize("ann").error.is_none().then_some(()));
    login("ann").ok();
    assert!(scene.sim.calls("/cgi-bin/stable_token") > before, "a token of the old secret is not used");
}
