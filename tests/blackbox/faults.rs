//! Stores that are slow, half dead or out of order while clients keep calling: each call gets its envelope in time,
//! nobody is told to log in again, and service returns by itself.

use crate::scene::{Scene, Stores, eventually};
use menlou_harness::{Client, FaultProxy, NetworkFault, Postgres, Redis};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

/// What an answer may take while a store is out of order. A call asks each store a few times, each within its deadline;
/// the rest is for a busy machine.
const BOUND: Duration = Duration::from_secs(4);
/// How long each fault lasts.
const LASTS: Duration = Duration::from_millis(1500);

/// Ends the calling when dropped, also where what was tried failed: the clients are waited for.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Keeps clients calling while `act` is at work, and holds each answer to what is promised.
pub fn under_load(what: &str, scene: &Scene, person: &Client, act: impl FnOnce()) {
    let (over, served, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for at in 0..6 {
            let (over, served, refused) = (&over, &served, &refused);
            scope.spawn(move || {
                while !over.load(SeqCst) {
                    let begun = Instant::now();
                    let answer = match at % 3 {
                        0 => person.call("user", &[]),
                        1 => person.call("user", &[("name", "Ann")]),
                        _ => scene.authorize("ann"),
                    };
                    let took = begun.elapsed();
                    assert!(took < BOUND, "{what}: an answer took {took:?}: {answer:?}");
                    match answer.error.as_deref() {
                        None => served.fetch_add(1, SeqCst),
                        Some("store_unavailable") => refused.fetch_add(1, SeqCst),
                        // Two at once for the same new code can't be; another word than this would be a lie.
                        Some(_) => panic!("{what}: {answer:?}"),
                    };
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let _over = Over(&over);
        act();
        // On a busy machine few have called by now.
        let answered = || served.load(SeqCst) + refused.load(SeqCst);
        eventually(&format!("{what}: clients called"), || (answered() > 20).then_some(()));
    });
    eventually("service returns", || {
        let write = person.call("user", &[("name", "Ann")]);
        assert_ne!(write.status, 401, "{what}: {write:?}");
        (write.error.is_none() && scene.authorize("ann").error.is_none()).then_some(())
    });
}

/// A gateway whose stores are behind proxies.
struct Faulty {
    scene: Scene,
    redis: Redis,
    postgres: Postgres,
    to_redis: FaultProxy,
    to_postgres: FaultProxy,
}

impl Faulty {
    fn new() -> Self {
        let (redis, postgres) = (Redis::start(), Postgres::start());
        let (to_redis, to_postgres) = (FaultProxy::start(redis.port()), FaultProxy::start(postgres.port()));
        let scene = Scene::with(Stores::Embedded, |setup, _| {
            setup
                .setting("store.sessions", format!("{:?}", to_redis.in_front_of(&redis.url())))
                .setting("store.users", format!("{:?}", to_postgres.in_front_of(&postgres.url())))
        });
        Self { scene, redis, postgres, to_redis, to_postgres }
    }
}

fn faults(words: &[u8]) -> [NetworkFault; 5] {
    [
        NetworkFault::Freeze,
        NetworkFault::Delay(Duration::from_millis(800)),
        NetworkFault::Trickle(Duration::from_millis(30)),
        NetworkFault::Refuse,
        NetworkFault::ReplyAndClose(words.to_owned()),
    ]
}

#[test]
fn whatever_happens_on_the_way_to_redis_calls_are_answered_in_time() {
    let Faulty { scene, to_redis, .. } = &Faulty::new();
    let person = scene.person("ann");
    for fault in faults(b"-LOADING Redis is loading the dataset in memory\r\n") {
        under_load(&format!("Redis: {fault:?}"), scene, &person, || {
            to_redis.set(fault);
            thread::sleep(LASTS);
            to_redis.set(NetworkFault::None);
        });
    }
    under_load("Redis: cut", scene, &person, || {
        for _ in 0..10 {
            to_redis.cut();
            thread::sleep(LASTS / 10);
        }
    });
}

#[test]
fn whatever_happens_on_the_way_to_postgres_calls_are_answered_in_time() {
    let Faulty { scene, to_postgres, .. } = &Faulty::new();
    let person = scene.person("ann");
    let mut starting = b"E".to_vec();
    let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
    starting.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
    starting.extend(fields);
    for fault in faults(&starting) {
        under_load(&format!("PostgreSQL: {fault:?}"), scene, &person, || {
            to_postgres.set(fault);
            thread::sleep(LASTS);
            to_postgres.set(NetworkFault::None);
        });
    }
    under_load("PostgreSQL: cut", scene, &person, || {
        for _ in 0..10 {
            to_postgres.cut();
            thread::sleep(LASTS / 10);
        }
    });
}

#[test]
fn stores_that_die_or_freeze_under_load_are_told_in_time() {
    let Faulty { scene, redis, postgres, .. } = &mut Faulty::new();
    let person = scene.person("ann");
    for store in ["Redis", "PostgreSQL"] {
        for fault in ["killed", "frozen"] {
            under_load(&format!("{store} {fault}"), scene, &person, || match (store, fault) {
                ("Redis", "killed") => {
                    redis.kill();
                    thread::sleep(LASTS);
                    redis.restart();
                }
                ("Redis", _) => {
                    redis.freeze();
                    thread::sleep(LASTS);
                    redis.thaw();
                }
                (_, "killed") => {
                    postgres.kill();
                    thread::sleep(LASTS);
                    postgres.restart();
                }
                _ => {
                    postgres.freeze();
                    thread::sleep(LASTS);
                    postgres.thaw();
                }
            });
        }
    }
}

#[test]
fn a_redis_that_refuses_writes_is_told_and_one_that_became_a_replica_is_left() {
    let Faulty { scene, redis, .. } = &Faulty::new();
    let person = scene.person("ann");
    under_load("Redis: OOM", scene, &person, || {
        redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
        eventually("writes are refused", || (scene.authorize("bob").status == 503).then_some(()));
        person.call("user", &[]).ok();
        thread::sleep(LASTS / 3);
        redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    });
    under_load("Redis: READONLY", scene, &person, || {
        redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
        eventually("it is left", || {
            let (_, readiness) = scene.readiness();
            readiness["stores"]["sessions"].as_str().unwrap().contains("replica").then_some(())
        });
        thread::sleep(LASTS / 3);
        redis.command(&["REPLICAOF", "NO", "ONE"]);
    });
    let complaints = scene.log().lines().filter(|l| l.contains(" WARN ") || l.contains(" ERROR ")).count();
    assert!(complaints <= 30, "{}", scene.log());
}

#[test]
fn a_redis_that_still_loads_its_data_is_not_taken_for_one_that_serves() {
    let mut redis = Redis::with(&["--key-load-delay", "15000", "--loading-process-events-interval-bytes", "1024"]);
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("store.sessions", format!("{:?}", redis.url())));
    let person = scene.person("ann");
    let filling = "x".repeat(2000);
    for at in 0..150 {
        redis.command(&["SET", &format!("filling {at}"), &filling]);
    }
    redis.command(&["BGREWRITEAOF"]);
    eventually("its data is rewritten", || {
        let info = redis.command(&["INFO", "persistence"]);
        (info.contains("aof_rewrites:1") && info.contains("aof_rewrite_in_progress:0")).then_some(())
    });
    let begun = Instant::now();
    under_load("Redis: loading", &scene, &person, || {
        redis.kill();
        redis.restart();
    });
    assert!(begun.elapsed() > Duration::from_secs(1), "it had something to load");
    let told = |words: &str| scene.log().lines().filter(|line| line.contains(words)).count();
    assert_eq!((told("server is down"), told("server is up again")), (1, 1), "{}", scene.log());
}

#[test]
fn a_postgres_that_takes_no_writes_serves_who_is_logged_in() {
    let Faulty { scene, postgres, .. } = &Faulty::new();
    let person = scene.person("ann");
    under_load("PostgreSQL: read only", scene, &person, || {
        postgres.query("ALTER SYSTEM SET default_transaction_read_only = on");
        postgres.query("SELECT pg_reload_conf()");
        eventually("writes are refused", || (person.call("user", &[("name", "Ann")]).status == 503).then_some(()));
        thread::sleep(Duration::from_millis(200));
        person.call("user", &[]).ok();
        let authorized = scene.authorize("ann");
        assert!(authorized.ok()["user"]["id"].is_number(), "{authorized:?}");
        postgres.query("ALTER SYSTEM RESET default_transaction_read_only");
        postgres.query("SELECT pg_reload_conf()");
    });
}
