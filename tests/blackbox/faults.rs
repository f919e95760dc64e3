//! Network faults and failures of stores under load: every request gets a response with an envelope in time, none gets 401, and
//! the gateway recovers by itself.

use crate::scene::{Scene, Stores, eventually};
use menlou_harness::{Client, FaultProxy, NetworkFault, Postgres, Redis};
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};

/// Maximum time of a response during a fault. A request uses each store a few times, each within its deadline; the rest is a
/// margin for a busy machine.
const BOUND: Duration = Duration::from_secs(4);
/// Duration of each fault.
const DURATION: Duration = Duration::from_millis(1500);

/// Stops the clients when it is dropped, also after a panic, since the test waits for them.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, SeqCst);
    }
}

/// Sends requests while `act` runs, and checks each response.
pub fn under_load(what: &str, scene: &Scene, person: &Client, act: impl FnOnce()) {
    let (over, served, refused) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for at in 0..6 {
            let (over, served, refused) = (&over, &served, &refused);
            scope.spawn(move || {
                while !over.load(SeqCst) {
                    let start = Instant::now();
                    let response = match at % 3 {
                        0 => person.call("user", &[]),
                        1 => person.call("user", &[("name", "Ann")]),
                        _ => scene.authorize("ann"),
                    };
                    let time = start.elapsed();
                    assert!(time < BOUND, "{what}: a response took {time:?}: {response:?}");
                    match response.error.as_deref() {
                        None => served.fetch_add(1, SeqCst),
                        Some("store_unavailable") => refused.fetch_add(1, SeqCst),
                        // No request causes another error.
                        Some(_) => panic!("{what}: {response:?}"),
                    };
                    // The interval of the requests.
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
        let _stop = StopOnDrop(&over);
        act();
        // On a busy machine there were few requests so far.
        let answered = || served.load(SeqCst) + refused.load(SeqCst);
        eventually(&format!("{what}: clients sent requests"), || (answered() > 20).then_some(()));
    });
    eventually("the gateway recovers", || {
        let write = person.call("user", &[("name", "Ann")]);
        assert_ne!(write.status, 401, "{what}: {write:?}");
        (write.error.is_none() && scene.authorize("ann").error.is_none()).then_some(())
    });
}

/// A gateway whose stores are behind proxies.
struct FaultyStores {
    scene: Scene,
    redis: Redis,
    postgres: Postgres,
    to_redis: FaultProxy,
    to_postgres: FaultProxy,
}

impl FaultyStores {
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

fn faults(reply: &[u8]) -> [NetworkFault; 5] {
    [
        NetworkFault::Freeze,
        NetworkFault::Delay(Duration::from_millis(800)),
        NetworkFault::Trickle(Duration::from_millis(30)),
        NetworkFault::Refuse,
        NetworkFault::ReplyAndClose(reply.to_owned()),
    ]
}

#[test]
fn network_faults_of_redis_delay_no_response_beyond_the_bound() {
    let FaultyStores { scene, to_redis, .. } = &FaultyStores::new();
    let person = scene.person("ann");
    for fault in faults(b"-LOADING Redis is loading the dataset in memory\r\n") {
        under_load(&format!("Redis: {fault:?}"), scene, &person, || {
            to_redis.set(fault);
            // The duration of the fault.
            thread::sleep(DURATION);
            to_redis.set(NetworkFault::None);
        });
    }
    under_load("Redis: cut", scene, &person, || {
        for _ in 0..10 {
            to_redis.cut();
            // The interval of the cuts.
            thread::sleep(DURATION / 10);
        }
    });
}

#[test]
fn network_faults_of_postgres_delay_no_response_beyond_the_bound() {
    let FaultyStores { scene, to_postgres, .. } = &FaultyStores::new();
    let person = scene.person("ann");
    let mut starting = b"E".to_vec();
    let fields = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0";
    starting.extend(u32::try_from(fields.len() + 4).unwrap().to_be_bytes());
    starting.extend(fields);
    for fault in faults(&starting) {
        under_load(&format!("PostgreSQL: {fault:?}"), scene, &person, || {
            to_postgres.set(fault);
            // The duration of the fault.
            thread::sleep(DURATION);
            to_postgres.set(NetworkFault::None);
        });
    }
    under_load("PostgreSQL: cut", scene, &person, || {
        for _ in 0..10 {
            to_postgres.cut();
            // The interval of the cuts.
            thread::sleep(DURATION / 10);
        }
    });
}

#[test]
fn stores_killed_or_frozen_under_load_are_reported_in_time() {
    let FaultyStores { scene, redis, postgres, .. } = &mut FaultyStores::new();
    let person = scene.person("ann");
    for store in ["Redis", "PostgreSQL"] {
        for fault in ["killed", "frozen"] {
            under_load(&format!("{store} {fault}"), scene, &person, || match (store, fault) {
                ("Redis", "killed") => {
                    redis.kill();
                    // The duration of the fault.
                    thread::sleep(DURATION);
                    redis.restart();
                }
                ("Redis", _) => {
                    redis.freeze();
                    // The duration of the fault.
                    thread::sleep(DURATION);
                    redis.thaw();
                }
                (_, "killed") => {
                    postgres.kill();
                    // The duration of the fault.
                    thread::sleep(DURATION);
                    postgres.restart();
                }
                _ => {
                    postgres.freeze();
                    // The duration of the fault.
                    thread::sleep(DURATION);
                    postgres.thaw();
                }
            });
        }
    }
}

#[test]
fn redis_that_refuses_writes_is_reported_and_a_demoted_one_is_disconnected() {
    let FaultyStores { scene, redis, .. } = &FaultyStores::new();
    let person = scene.person("ann");
    under_load("Redis: OOM", scene, &person, || {
        redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
        eventually("writes are refused", || (scene.authorize("bob").status == 503).then_some(()));
        person.call("user", &[]).ok();
        // The duration of the fault.
        thread::sleep(DURATION / 3);
        redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    });
    under_load("Redis: READONLY", scene, &person, || {
        redis.command(&["REPLICAOF", "127.0.0.1", "1"]);
        eventually("the connection is closed", || {
            let (_, readiness) = scene.readiness();
            readiness["stores"]["sessions"].as_str().unwrap().contains("replica").then_some(())
        });
        // The duration of the fault.
        thread::sleep(DURATION / 3);
        redis.command(&["REPLICAOF", "NO", "ONE"]);
    });
    let warnings = scene.log().lines().filter(|l| l.contains(" WARN ") || l.contains(" ERROR ")).count();
    assert!(warnings <= 30, "{}", scene.log());
}

#[test]
fn redis_that_loads_its_data_is_not_regarded_as_up() {
    let mut redis = Redis::with(&["--key-load-delay", "15000", "--loading-process-events-interval-bytes", "1024"]);
    let scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("store.sessions", format!("{:?}", redis.url())));
    let person = scene.person("ann");
    let filling = "x".repeat(2000);
    for at in 0..150 {
        redis.command(&["SET", &format!("filling {at}"), &filling]);
    }
    redis.command(&["BGREWRITEAOF"]);
    eventually("the append-only file is rewritten", || {
        let info = redis.command(&["INFO", "persistence"]);
        (info.contains("aof_rewrites:1") && info.contains("aof_rewrite_in_progress:0")).then_some(())
    });
    let start = Instant::now();
    under_load("Redis: loading", &scene, &person, || {
        redis.kill();
        redis.restart();
    });
    assert!(start.elapsed() > Duration::from_secs(1), "there was data to load");
    let count = |text: &str| scene.log().lines().filter(|line| line.contains(text)).count();
    assert_eq!((count("server is down"), count("server is up again")), (1, 1), "{}", scene.log());
}

#[test]
fn read_only_postgres_serves_logged_in_users() {
    let FaultyStores { scene, postgres, .. } = &FaultyStores::new();
    let person = scene.person("ann");
    under_load("PostgreSQL: read only", scene, &person, || {
        postgres.query("ALTER SYSTEM SET default_transaction_read_only = on");
        postgres.query("SELECT pg_reload_conf()");
        eventually("writes are refused", || (person.call("user", &[("name", "Ann")]).status == 503).then_some(()));
        // The duration of the fault.
        thread::sleep(Duration::from_millis(200));
        person.call("user", &[]).ok();
        let authorized = scene.authorize("ann");
        assert!(authorized.ok()["user"]["id"].is_number(), "{authorized:?}");
        postgres.query("ALTER SYSTEM RESET default_transaction_read_only");
        postgres.query("SELECT pg_reload_conf()");
    });
}
