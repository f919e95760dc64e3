//! Acknowledged sessions and bindings survive SIGKILL of the gateway and of its stores.
//!
//! `MENLOU_KILLS` sets the number of kills per test; the default fits into a run of all tests.

use crate::scene::{Scene, Stores};
use menlou_harness::Client;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, SystemTime},
};

/// What was acknowledged to a client before the kill: its session, and its account where the login was acknowledged.
struct Acknowledged {
    session: Client,
    user: Option<i64>,
}

/// The process that is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Gateway,
    Redis,
    Postgres,
}

fn kills(default: u64) -> u64 {
    std::env::var("MENLOU_KILLS").map_or(default, |kills| kills.parse().expect("MENLOU_KILLS is a number"))
}

/// A random number below `end`.
fn random(end: u64) -> u64 {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    u64::from(nanos / 1000) % end
}

/// Logs in new users until `over` is set or the gateway is gone.
fn log_in_until(scene: &Scene, name: &str, over: &AtomicBool) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    for at in 0.. {
        if over.load(SeqCst) {
            break;
        }
        let code = scene.sim.code(&format!("{name}-{at}"));
        let Ok(authorized) = scene.client().try_call("openid", &[("code", &code)]) else { break };
        if authorized.error.is_some() {
            // A store was killed: nothing was acknowledged.
            authorized.assert_error(503, "store_unavailable");
            // The interval of further attempts.
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        let session = scene.client().with(authorized.token().expect("a token"));
        let login = session.try_call("login", &[("method", "profile"), ("name", name)]);
        let user = login.as_ref().ok().and_then(|login| match login.error {
            Some(_) => {
                login.assert_error(503, "store_unavailable");
                None
            }
            None => Some(login.user_id().expect("a user")),
        });
        acknowledged.push(Acknowledged { session, user });
        if login.is_err() {
            break;
        }
    }
    acknowledged
}

fn assert_nothing_acknowledged_is_lost(stores: Stores, victims: &[Victim], kills: u64) {
    let mut scene = Scene::new(stores);
    let mut accounts = HashMap::new();
    let mut all = Vec::new();
    for round in 0..kills {
        let victim = victims[random(victims.len() as u64) as usize];
        let moment = Duration::from_millis(40 + random(200));
        let over = AtomicBool::new(false);
        let acknowledged = thread::scope(|scope| {
            let (shared, over) = (&scene, &over);
            let clients: Vec<_> =
                (0..4).map(|at| scope.spawn(move || log_in_until(shared, &format!("{round}-{at}"), over))).collect();
            // The random moment of the kill.
            thread::sleep(moment);
            match victim {
                Victim::Gateway => scene.gateway.send_sigkill(),
                Victim::Redis => scene.redis.as_ref().expect("a Redis").send_sigkill(),
                Victim::Postgres => scene.postgres.as_ref().expect("a PostgreSQL").send_sigkill(),
            }
            // Clients continue for a moment after the kill.
            thread::sleep(Duration::from_millis(30));
            over.store(true, SeqCst);
            clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect::<Vec<_>>()
        });
        match victim {
            Victim::Gateway => scene.gateway.restart(),
            Victim::Redis => scene.redis.as_mut().expect("a Redis").restart(),
            Victim::Postgres => scene.postgres.as_mut().expect("a PostgreSQL").restart(),
        }
        scene.wait_until_ready();
        for Acknowledged { session, user } in &acknowledged {
            let now = session.call("user", &[]);
            match user {
                Some(id) => {
                    assert_eq!(now.user_id(), Some(*id), "{victim:?} killed after {moment:?}: {now:?}");
                    assert!(accounts.insert(*id, round).is_none(), "an id was used twice");
                }
                // The session was acknowledged, but not the login, which may have happened or not.
                None => assert!(now.error.is_none() || now.error.as_deref() == Some("login_required"), "{now:?}"),
            }
        }
        all.extend(acknowledged);
    }
    assert!(all.len() as u64 > kills, "too little was acknowledged: {}", all.len());
    // Later kills lose nothing of earlier rounds.
    for Acknowledged { session, user } in all.iter().step_by(1 + all.len() / 500) {
        let now = session.call("user", &[]);
        assert!(user.is_none() || now.user_id() == *user, "{now:?}");
    }
}

#[test]
fn sigkill_of_the_gateway_loses_no_session_and_no_binding() {
    assert_nothing_acknowledged_is_lost(Stores::Embedded, &[Victim::Gateway], kills(20));
}

#[test]
fn sigkill_of_gateway_redis_or_postgres_loses_no_session_and_no_binding() {
    let victims = [Victim::Gateway, Victim::Redis, Victim::Postgres];
    assert_nothing_acknowledged_is_lost(Stores::Both, &victims, kills(12));
}
