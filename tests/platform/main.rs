//! Tests of the platform clients over real sockets: against the simulator, and against a peer that misbehaves.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod access_tokens;
mod calls;
mod exchange;
mod http;
mod login;
mod peer;
mod phone;
mod redis;
mod secret_rotation;
mod secrets;

use menlou_platform::http::HttpClient;
use menlou_platform::wechat::{Wechat, WechatCredentials};
use menlou_platform::{Platform, PlatformIdentity};
use menlou_simulator::{DEMO_APPID, DEMO_SECRET, Simulator};
use menlou_store::Sqlite;
use rusqlite::Connection;
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SESSION: &str = "/sns/jscode2session";
const TOKEN: &str = "/cgi-bin/stable_token";
const PHONE: &str = "/wxa/business/getuserphonenumber";

/// A simulator, and a store that several replicas share.
struct Scene {
    sim: Simulator,
    store: Arc<Sqlite>,
    folder: TempDir,
}

impl Scene {
    async fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let store = Sqlite::open(&folder.path().join("menlou.db")).await.expect("a store");
        let sim = Simulator::start(Default::default()).expect("a simulator");
        Self { sim, store: Arc::new(store), folder }
    }

    /// A client of the demo app, as one replica has it.
    fn wechat(&self) -> Arc<dyn Platform> {
        self.wechat_at(self.sim.base_url(), DEMO_SECRET)
    }

    /// Locks the store against writes until the returned connection is dropped.
    fn lock_store(&self) -> Connection {
        let connection = Connection::open(self.folder.path().join("menlou.db")).expect("a connection");
        connection.execute_batch("BEGIN IMMEDIATE").expect("the lock");
        connection
    }

    fn wechat_at(&self, base_url: &str, secret: &str) -> Arc<dyn Platform> {
        self.wechat_with(base_url, secret, None)
    }

    fn wechat_with(&self, base_url: &str, secret: &str, previous: Option<&str>) -> Arc<dyn Platform> {
        let credentials = WechatCredentials {
            appid: DEMO_APPID.to_owned(),
            secret: SecretString::from(secret),
            previous_secret: previous.map(SecretString::from),
            base_url: base_url.to_owned(),
        };
        Arc::new(Wechat::new(credentials, "acme", HttpClient::new().expect("a client"), self.store.clone()))
    }
}

/// Waits until the condition holds, for at most 20 s.
async fn wait_until(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(20), "the condition did not become true within 20 s");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn session_key(identity: &PlatformIdentity) -> &str {
    identity.session_key.as_ref().expect("a session_key").expose_secret()
}
