//! What was acknowledged survives the gateway's sudden death.

use crate::scene::{Scene, Stores};
use menlou_harness::Client;
use std::{
    collections::HashMap,
    thread,
    time::{Duration, SystemTime},
};

/// What one client was told before the gateway died: its session, and its account where the log-in was answered.
struct Acknowledged {
    session: Client,
    user: Option<i64>,
}

/// Logs in new people until the gateway is gone.
fn log_in_until_the_end(scene: &Scene, of: &str) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    for at in 0.. {
        let code = scene.sim.code(&format!("{of}-{at}"));
        let Ok(authorized) = scene.client().try_call("openid", &[("code", &code)]) else { break };
        authorized.ok();
        let session = scene.client().with(authorized.token().expect("a token"));
        let login = session.try_call("login", &[("method", "profile"), ("name", of)]);
        let user = login.as_ref().ok().map(|login| {
            login.ok();
            login.user_id().expect("a user")
        });
        acknowledged.push(Acknowledged { session, user });
        if login.is_err() {
            break;
        }
    }
    acknowledged
}

fn nothing_acknowledged_is_lost(stores: Stores, rounds: u64) {
    let mut scene = Scene::new(stores);
    let mut accounts = HashMap::new();
    let mut seen = 0;
    for round in 0..rounds {
        let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
        let moment = Duration::from_millis(60 + u64::from(nanos / 1000) % 240);
        let acknowledged = thread::scope(|scope| {
            let scene = &scene;
            let clients: Vec<_> =
                (0..4).map(|at| scope.spawn(move || log_in_until_the_end(scene, &format!("{round}-{at}")))).collect();
            thread::sleep(moment);
            scene.kill_now();
            clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect::<Vec<_>>()
        });
        scene.gateway.restart();
        for Acknowledged { session, user } in &acknowledged {
            let now = session.call("user", &[]);
            match user {
                Some(id) => {
                    assert_eq!(now.user_id(), Some(*id), "killed after {moment:?}: {now:?}");
                    assert!(accounts.insert(*id, round).is_none(), "an id was given twice");
                }
                // The session was acknowledged, the log-in was not: it may have happened or not.
                None => assert!(now.error.is_none() || now.error.as_deref() == Some("login_required"), "{now:?}"),
            }
        }
        seen += acknowledged.len();
    }
    assert!(seen > 0, "no round got as far as one session");
}

#[test]
fn kill_9_loses_no_session_and_no_binding() {
    nothing_acknowledged_is_lost(Stores::Embedded, 10);
}

#[test]
fn kill_9_loses_no_session_and_no_binding_with_redis_and_postgres() {
    nothing_acknowledged_is_lost(Stores::Both, 3);
}
