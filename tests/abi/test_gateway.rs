//! A gateway without its HTTP server: a plugin registry, one tenant with real stores, and the simulator as the platform.

use crate::{libraries, log_capture};
use menlou_action::{Action, ConfiguredAction, PluginRegistry, Services, SettingsErrors, TenantScope};
use menlou_call::{Call, Params, Reply, Token};
use menlou_error::Error;
use menlou_error::text::Language;
use menlou_platform::{
    exchange::CodeExchange,
    http::HttpClient,
    wechat::{Wechat, WechatCredentials},
};
use menlou_policy::HashingQueue;
use menlou_policy::rate_limits::{AttemptLimits, LoginAttempts};
use menlou_simulator::{DEMO_APPID, DEMO_SECRET, Simulator};
use menlou_store::{StoreConfig, Stores};
use serde_json::{Value, json};
use std::{
    future::{Future, poll_fn},
    net::{IpAddr, Ipv4Addr},
    pin::Pin,
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tempfile::TempDir;

/// Longer than any operation here takes, even on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

pub struct TestGateway {
    pub library: PluginRegistry,
    pub scope: TenantScope,
    pub sim: Simulator,
    _folder: TempDir,
}

impl TestGateway {
    /// A gateway with these plugins: name and bytes.
    pub async fn new(plugins: &[(&str, &[u8])]) -> Self {
        log_capture::start();
        let files: Vec<(String, &[u8])> = plugins.iter().map(|(name, bytes)| (format!("{name}.so"), *bytes)).collect();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        let folder = libraries::folder(&files);
        let library = PluginRegistry::load(folder.path()).unwrap();
        assert_eq!(libraries::rejected(&library), []);
        let (path, prefix) = (folder.path().join("menlou.db"), "menlou".into());
        let stores = Stores::open(&StoreConfig { path, prefix, ..StoreConfig::default() }).await.unwrap();
        let sim = Simulator::start(Default::default()).unwrap();
        let http = HttpClient::new().unwrap();
        let credentials = WechatCredentials {
            appid: DEMO_APPID.into(),
            secret: DEMO_SECRET.into(),
            previous_secret: None,
            base_url: sim.base_url().into(),
        };
        let ephemeral = stores.ephemeral.clone();
        let services = Services {
            exchanges: CodeExchange::new(ephemeral.clone()),
            http: http.clone(),
            allow_test_openids: false,
            attempts: LoginAttempts::new(AttemptLimits {
                per_account: 5,
                per_openid: 50,
                per_address: 50,
                window: Duration::from_secs(60),
            }),
            hashing: HashingQueue::new(1),
            stores,
        };
        let scope = TenantScope {
            session_counter: Arc::new(()),
            tenant: "acme".into(),
            session_ttl: Duration::from_secs(3600),
            platform: Arc::new(Wechat::new(credentials, "acme", http, ephemeral)),
            services: Arc::new(services),
        };
        Self { library, scope, sim, _folder: folder }
    }

    /// A gateway with the plugin `rogue`, which misuses the SDK.
    pub async fn with_rogue() -> Self {
        Self::new(&[("rogue", &libraries::built("menlou_rogue"))]).await
    }

    /// An action with these settings, or the errors that the plugin reports.
    pub fn configure(&self, name: &str, settings: &Value) -> Result<Arc<Action>, SettingsErrors> {
        let (plugin, index) = self.library.find(name, None).unwrap();
        let configured = ConfiguredAction::new(plugin.clone(), index, (&self.scope.tenant, name), settings)?;
        Ok(Arc::new(configured.serve(self.scope.clone())))
    }

    /// An action without settings.
    pub fn action(&self, name: &str) -> Arc<Action> {
        self.configure(name, &json!({})).unwrap()
    }

    /// Calls an action and returns the data of its reply.
    pub async fn call(&self, name: &str, params: Value) -> Result<Value, Error> {
        run(&self.action(name), call(name, params)).await
    }
}

/// Calls an action and returns the data of its reply.
pub async fn run(action: &Arc<Action>, call: Call) -> Result<Value, Error> {
    in_time(action.run(call)).await.map(data)
}

/// The data of a reply.
pub fn data(reply: Reply) -> Value {
    match reply {
        Reply::Data(data) | Reply::SecretData(data) => serde_json::from_slice(&data).unwrap(),
        other => panic!("not data: {other:?}"),
    }
}

/// Awaits a future, and panics if it takes too long.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(TIMEOUT, future).await.expect("the future completes in time")
}

/// Polls a future once and returns whether it is pending.
pub async fn is_pending<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// A request as the server would decode it.
pub fn call(action: &str, params: Value) -> Call {
    let mut given = Params::new();
    *given.as_map_mut() = params.as_object().unwrap().clone();
    Call {
        id: "a-request".into(),
        method: http::Method::POST,
        path: "/srv/".into(),
        subpath: String::new(),
        query: String::new(),
        action: action.into(),
        language: Language::Zh,
        remote: IpAddr::V4(Ipv4Addr::LOCALHOST),
        deadline_unix_ms: 0,
        token: None,
        params: given,
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        unread: None,
        stream_idle_timeout: std::time::Duration::from_secs(10),
    }
}

/// A request with a session token.
pub fn call_with(token: &str, action: &str, params: Value) -> Call {
    Call { token: Some(Token::new(token)), ..call(action, params) }
}

/// Asserts that a call failed with `plugin_failed`, and with this cause for the log.
pub fn assert_failed(outcome: Result<Value, Error>, cause: &str) {
    let error = outcome.expect_err("the plugin fails");
    assert_eq!((error.code(), error.status()), ("plugin_failed", 500));
    assert!(error.cause().is_some_and(|c| c.contains(cause)), "{:?}", error.cause());
}

/// Asserts that a call failed because the gateway rejected an operation. The plugin itself logs the reason.
pub fn assert_rejected(outcome: Result<Value, Error>) {
    let error = outcome.expect_err("the operation is rejected");
    assert_eq!((error.code(), error.status()), ("plugin_failed", 500));
    assert!(!log_capture::lines("the gateway rejected an operation (poll -5,").is_empty());
}
