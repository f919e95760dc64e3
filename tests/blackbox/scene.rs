//! The environment of a test: a simulated WeChat, the stores that the test needs, and a gateway with two tenants.

use menlou_harness::{Client, Envelope, Gateway, Postgres, Redis, Setup};
use menlou_simulator::{App, DEMO_APPID, DEMO_SECRET, Simulator};
use std::{
    ops::Deref,
    thread,
    time::{Duration, Instant},
};

/// The tenant of the original API document.
pub const TENANT: &str = "manulife";
/// A second tenant, with an app of its own.
pub const NEIGHBOUR: &str = "neighbour";
/// The test openid of the original API document.
pub const TEST_OPENID: &str = "oAHBN10P-hn-vF1cTY4tQeStQFmU";

const NEIGHBOURS_APPID: &str = "wx00000000000000ff";
const NEIGHBOURS_SECRET: &str = "neighbours-own-secret";

/// Where sessions and users live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stores {
    /// Both in the embedded file.
    Embedded,
    /// Sessions in Redis.
    Redis,
    /// Users in PostgreSQL.
    Postgres,
    /// Sessions in Redis, users in PostgreSQL.
    Both,
}

/// The environment of a test. Fields are dropped in the order of their declaration.
pub struct Scene {
    pub gateway: Gateway,
    pub sim: Simulator,
    pub redis: Option<Redis>,
    pub postgres: Option<Postgres>,
}

impl Scene {
    /// Starts the default environment with these stores.
    pub fn new(stores: Stores) -> Self {
        Self::with(stores, |setup, _| setup)
    }

    /// As [`Scene::new`], with the gateway's setup changed by `change`.
    pub fn with(stores: Stores, change: impl FnOnce(Setup, &Simulator) -> Setup) -> Self {
        let sim = simulator();
        let redis = matches!(stores, Stores::Redis | Stores::Both).then(Redis::start);
        let postgres = matches!(stores, Stores::Postgres | Stores::Both).then(Postgres::start);
        let gateway = Gateway::start(change(setup(&sim, redis.as_ref(), postgres.as_ref()), &sim));
        for secret in [DEMO_SECRET, NEIGHBOURS_SECRET] {
            gateway.secrets().add(secret);
        }
        Self { gateway, sim, redis, postgres }
    }

    /// A client of the tenant, without a session.
    pub fn client(&self) -> Client {
        self.gateway.client(TENANT)
    }

    /// Sends a new code of this person.
    pub fn authorize(&self, person: &str) -> Envelope {
        self.client().call("openid", &[("code", &self.sim.code(person))])
    }

    /// A client with a session of this person, logged in or not.
    pub fn session(&self, person: &str) -> Client {
        let authorized = self.authorize(person);
        authorized.ok();
        self.client().with(authorized.token().expect("a token"))
    }

    /// A client with a session of this person, logged in to an account of this name.
    pub fn person(&self, name: &str) -> Client {
        let client = self.session(name);
        client.call("login", &[("method", "profile"), ("name", name)]).ok();
        client
    }
}

/// A simulated WeChat with the apps of both tenants.
pub fn simulator() -> Simulator {
    let sim = Simulator::start(Default::default()).expect("a simulator");
    sim.register(App::new(NEIGHBOURS_APPID, NEIGHBOURS_SECRET)).expect("a second app");
    sim
}

/// The setup of a gateway with both tenants and these stores.
pub fn setup(sim: &Simulator, redis: Option<&Redis>, postgres: Option<&Postgres>) -> Setup {
    let quoted = |text: String| format!("{text:?}");
    let mut setup = Setup::default().tenant(TENANT, tenant(sim)).tenant(NEIGHBOUR, neighbour(sim));
    if let Some(redis) = redis {
        setup = setup.setting("store.sessions", quoted(redis.url()));
    }
    if let Some(postgres) = postgres {
        setup = setup.setting("store.users", quoted(postgres.url()));
    }
    setup
}

/// The file of [`TENANT`].
pub fn tenant(sim: &Simulator) -> String {
    file("Manulife", DEMO_APPID, DEMO_SECRET, sim)
}

fn neighbour(sim: &Simulator) -> String {
    file("Neighbour", NEIGHBOURS_APPID, NEIGHBOURS_SECRET, sim)
}

/// A new code of a person in the neighbour's app.
pub fn neighbours_code(sim: &Simulator, person: &str) -> String {
    sim.app(NEIGHBOURS_APPID).expect("the neighbour's app").code(person)
}

fn file(name: &str, appid: &str, secret: &str, sim: &Simulator) -> String {
    format!(
        r#"name = "{name}"

[wechat]
appid = "{appid}"
secret = "{secret}"
base_url = "{}"

[actions.openid]
test_openids = ["{TEST_OPENID}"]

[actions.login]
methods = ["phone", "password", "profile"]

[actions.user]

[actions.logout]
"#,
        sim.base_url()
    )
}

/// Polls until `condition` returns a value.
///
/// # Panics
/// Where it does not within 20 seconds, which is enough on a busy machine.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "this did not happen in time: {what}");
        // The interval of the polls.
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs `act` `count` times concurrently. Returns the results in the order of the indexes.
pub fn side_by_side<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = (0..count).map(|index| scope.spawn(move || act(index))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    })
}

impl Deref for Scene {
    type Target = Gateway;

    fn deref(&self) -> &Gateway {
        &self.gateway
    }
}
