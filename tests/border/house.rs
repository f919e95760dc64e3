//! A gateway without its front: a library of plugins, one tenant's scope on real stores, the simulator as its platform.

use crate::{logged, made};
use menlou_action::{Action, ConfiguredAction, PluginRegistry, Services, SettingsFaults, TenantScope};
use menlou_call::{Call, Params, Reply, Token};
use menlou_error::Error;
use menlou_error::text::Language;
use menlou_platform::{
    exchange::CodeExchange,
    http::Http,
    wechat::{Wechat, WechatCredentials},
};
use menlou_policy::attempts::AttemptLimits;
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
use tokio::sync::Semaphore;

/// Longer than anything here takes, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct House {
    pub library: PluginRegistry,
    pub scope: TenantScope,
    pub sim: Simulator,
    _folder: TempDir,
}

impl House {
    /// A house with these plugins: name and bytes.
    pub async fn new(plugins: &[(&str, &[u8])]) -> Self {
        logged::listen();
        let files: Vec<(String, &[u8])> = plugins.iter().map(|(name, bytes)| (format!("{name}.so"), *bytes)).collect();
        let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (name.as_str(), *bytes)).collect();
        let folder = made::folder(&files);
        let library = PluginRegistry::load(folder.path()).unwrap();
        assert_eq!(made::refused(&library), []);
        let (path, prefix) = (folder.path().join("menlou.db"), "menlou".into());
        let stores = Stores::open(&StoreConfig { path, prefix, ..StoreConfig::default() }).await.unwrap();
        let sim = Simulator::start(Default::default()).unwrap();
        let http = Http::new().unwrap();
        let account = WechatCredentials {
            appid: DEMO_APPID.into(),
            secret: DEMO_SECRET.into(),
            previous_secret: None,
            base_url: sim.base_url().into(),
        };
        let shared = stores.ephemeral.clone();
        let services = Services {
            exchanges: CodeExchange::new(shared.clone()),
            http: http.clone(),
            allow_test_openids: false,
            attempts: AttemptLimits { per_account: 5, per_address: 50, window: Duration::from_secs(60) },
            hashing: Arc::new(Semaphore::new(1)),
            stores,
        };
        let scope = TenantScope {
            session_counter: Arc::new(()),
            tenant: "acme".into(),
            session_ttl: Duration::from_secs(3600),
            platform: Arc::new(Wechat::new(account, "acme", http, shared)),
            services: Arc::new(services),
        };
        Self { library, scope, sim, _folder: folder }
    }

    /// The house of the plugin that does everything wrong.
    pub async fn of_rogue() -> Self {
        Self::new(&[("rogue", &made::built("menlou_rogue"))]).await
    }

    /// An action with these settings, or the faults that its plugin tells.
    pub fn configure(&self, name: &str, settings: &Value) -> Result<Arc<Action>, SettingsFaults> {
        let (plugin, index) = self.library.find(name, None).unwrap();
        let ready = ConfiguredAction::new(plugin.clone(), index, (&self.scope.tenant, name), settings)?;
        Ok(Arc::new(ready.serve(self.scope.clone())))
    }

    /// An action with no settings.
    pub fn action(&self, name: &str) -> Arc<Action> {
        self.configure(name, &json!({})).unwrap()
    }

    /// What an action answers.
    pub async fn call(&self, name: &str, params: Value) -> Result<Value, Error> {
        run(&self.action(name), call(name, params)).await
    }
}

/// Lets an action serve a call.
pub async fn run(action: &Arc<Action>, call: Call) -> Result<Value, Error> {
    in_time(action.run(call)).await.map(data)
}

/// An answer's data.
pub fn data(reply: Reply) -> Value {
    match reply {
        Reply::Data(data) | Reply::Secret(data) => serde_json::from_slice(&data).unwrap(),
        other => panic!("no envelope: {other:?}"),
    }
}

/// Waits, but not for ever.
pub async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it ends in time")
}

/// Polls a future once; whether it goes on.
pub async fn is_pending<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// A call, as the decoder would give it.
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
        pause: std::time::Duration::from_secs(10),
    }
}

/// The same with a session.
pub fn call_with(token: &str, action: &str, params: Value) -> Call {
    Call { token: Some(Token::new(token)), ..call(action, params) }
}

/// That a call failed because its plugin did, with the cause for the log.
pub fn failed(outcome: Result<Value, Error>, cause: &str) {
    let error = outcome.expect_err("the plugin failed");
    assert_eq!((error.code(), error.status()), ("plugin_failed", 500));
    assert!(error.cause().is_some_and(|c| c.contains(cause)), "{:?}", error.cause());
}

/// That a call was refused a service: the plugin itself then logs why it failed.
pub fn refused(outcome: Result<Value, Error>) {
    let error = outcome.expect_err("a service was refused");
    assert_eq!((error.code(), error.status()), ("plugin_failed", 500));
    assert!(!logged::lines("the gateway refused an operation (-5,").is_empty());
}
