//! Password hashing is shared fairly among tenants: a flood of logins at one tenant is rejected there and delays no other.

use crate::scene::{NEIGHBOUR, Scene, Stores, TENANT, eventually, neighbours_code};
use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

/// More logins at a time than two cores' queue of one tenant holds.
const FLOOD: usize = 160;

#[test]
fn a_flood_of_logins_at_one_tenant_delays_no_login_at_another() {
    let scene = Scene::with(Stores::Embedded, |setup, _| {
        setup
            .setting("passwords.attempts_per_openid", "1000000")
            .setting("passwords.attempts_per_address", "1000000")
            .setting("server.max_concurrent_requests", "10000")
    });
    scene.add_user(NEIGHBOUR, "bob", "Bob", "bobs-password");
    let flooder = scene.session("flooder");
    let authorized = scene.gateway.client(NEIGHBOUR).call("openid", &[("code", &neighbours_code(&scene.sim, "bob"))]);
    let bob = scene.gateway.client(NEIGHBOUR).with(authorized.token().unwrap());
    let (stop, rejected) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..FLOOD {
            let (flooder, stop, rejected) = (&flooder, &stop, &rejected);
            scope.spawn(move || {
                for attempt in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let account = format!("nobody-{number}-{attempt}");
                    let params = [("method", "password"), ("account", account.as_str()), ("password", "a-guess")];
                    let Ok(response) = flooder.try_call("login", &params) else { continue };
                    if response.status == 503 {
                        response.assert_error(503, "overloaded");
                        assert!(response.response.header("retry-after").is_some(), "no Retry-After");
                        rejected.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        let flood_is_rejected = || (rejected.load(Ordering::Relaxed) >= FLOOD).then_some(());
        eventually("a part of the flood is rejected", flood_is_rejected);
        for _ in 0..3 {
            // With one queue for all tenants, the neighbour's login would wait behind the flood until it is rejected.
            let params = [("method", "password"), ("account", "bob"), ("password", "bobs-password")];
            let login = bob.call("login", &params);
            if login.error.is_some() {
                stop.store(true, Ordering::Relaxed);
            }
            login.ok();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let metrics = scene.admin("/metrics").unwrap().text();
    let shed = |tenant: &str| metrics.contains(&format!("reason=\"password_hashing\",tenant=\"{tenant}\""));
    assert!(shed(TENANT) && !shed(NEIGHBOUR), "{metrics}");
}
