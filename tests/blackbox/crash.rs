//! What was acknowledged survives sudden death: of the gateway, and of the stores that it stands on.
//!
//! `MENLOU_KILLS` says how often each test kills; without it, as often as fits into a run of all tests.

use crate::scene::{Scene, Stores};
use menlou_harness::Client;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, SystemTime},
};

/// What one client was told before the end: its session, and its account where the log-in was answered.
struct Acknowledged {
    session: Client,
    user: Option<i64>,
}

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    Gateway,
    Redis,
    Postgres,
}

fn kills(without: u64) -> u64 {
    std::env::var("MENLOU_KILLS").map_or(without, |kills| kills.parse().expect("MENLOU_KILLS is a number"))
}

/// A number that nobody chose, below `end`.
fn any(end: u64) -> u64 {
    let nanos = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().subsec_nanos();
    u64::from(nanos / 1000) % end
}

/// Logs in new people until `over`, or until the gateway is gone.
fn log_in_until_the_end(scene: &Scene, of: &str, over: &AtomicBool) -> Vec<Acknowledged> {
    let mut acknowledged = Vec::new();
    for at in 0.. {
        if over.load(SeqCst) {
            break;
        }
        let code = scene.sim.code(&format!("{of}-{at}"));
        let Ok(authorized) = scene.client().try_call("openid", &[("code", &code)]) else { break };
        if authorized.error.is_some() {
            // A store has died: nothing was acknowledged.
            authorized.assert_error(503, "store_unavailable");
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        let session = scene.client().with(authorized.token().expect("a token"));
        let login = session.try_call("login", &[("method", "profile"), ("name", of)]);
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

fn nothing_acknowledged_is_lost(stores: Stores, victims: &[Victim], kills: u64) {
    let mut scene = Scene::new(stores);
    let mut accounts = HashMap::new();
    let mut all = Vec::new();
    for round in 0..kills {
        let victim = victims[any(victims.len() as u64) as usize];
        let moment = Duration::from_millis(40 + any(200));
        let over = AtomicBool::new(false);
        let acknowledged = thread::scope(|scope| {
            let (of_clients, over) = (&scene, &over);
            let clients: Vec<_> = (0..4)
                .map(|at| scope.spawn(move || log_in_until_the_end(of_clients, &format!("{round}-{at}"), over)))
                .collect();
            thread::sleep(moment);
            match victim {
                Victim::Gateway => scene.gateway.send_sigkill(),
                Victim::Redis => scene.redis.as_ref().expect("a Redis").send_sigkill(),
                Victim::Postgres => scene.postgres.as_ref().expect("a PostgreSQL").send_sigkill(),
            }
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
                    assert!(accounts.insert(*id, round).is_none(), "an id was given twice");
                }
                // The session was acknowledged, the log-in was not: it may have happened or not.
                None => assert!(now.error.is_none() || now.error.as_deref() == Some("login_required"), "{now:?}"),
            }
        }
        all.extend(acknowledged);
    }
    assert!(all.len() as u64 > kills, "hardly anything was acknowledged: {}", all.len());
    // Nor do later deaths take what earlier ones left.
    for Acknowledged { session, user } in all.iter().step_by(1 + all.len() / 500) {
        let now = session.call("user", &[]);
        assert!(user.is_none() || now.user_id() == *user, "{now:?}");
    }
}

#[test]
fn kill_9_loses_no_session_and_no_binding() {
    nothing_acknowledged_is_lost(Stores::Embedded, &[Victim::Gateway], kills(20));
}

#[test]
fn kill_9_of_gateway_redis_or_postgres_loses_no_session_and_no_binding() {
    let victims = [Victim::Gateway, Victim::Redis, Victim::Postgres];
    nothing_acknowledged_is_lost(Stores::Both, &victims, kills(12));
}
