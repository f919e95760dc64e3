//! A gateway without listeners for plugin tests: with a store of its own, a logged-in caller, and a platform that is
//! unreachable.

use crate::gateway;
use http_body_util::{BodyExt, Empty};
use menlou_action::{Action, Services, TenantScope};
use menlou_call::{BodyStream, Call, Params, Reply, Token, UnreadBody};
use menlou_clock::{since_epoch, unix_seconds};
use menlou_config::server::Config;
use menlou_error::text::{Language, Text};
use menlou_error::{Error, Result, codes};
use menlou_platform::wechat::{Wechat, WechatCredentials};
use menlou_store::{AccountSelector, Identity, Session};
use serde_json::Value;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

/// Maximum duration of a call: the gateway's default.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

const TENANT: &str = "test";
const TOKEN: &str = "a-session-token";
const OPENID: &str = "an-openid";
const LIFE: Duration = Duration::from_secs(3600);

pub struct TestGateway {
    pub scope: TenantScope,
    /// Folder of the store, removed on drop.
    _folder: tempfile::TempDir,
}

impl TestGateway {
    pub async fn new() -> std::result::Result<Self, Text> {
        let unavailable =
            |e: std::io::Error| Text::new(format!("没有临时文件夹：{e}"), format!("no temporary folder: {e}"));
        let folder = tempfile::Builder::new().prefix("menlou-test-").tempdir().map_err(unavailable)?;
        let mut config = Config::load(None, std::iter::empty()).map_err(|_| codes::INTERNAL_ERROR.text.clone())?;
        config.store.path = folder.path().join("menlou.db");
        let services: Services = gateway::services(&config).await?;
        // Port 9 (discard) refuses connections immediately.
        let account = WechatCredentials {
            appid: "wx0000000000000000".into(),
            secret: "none".into(),
            previous_secret: None,
            base_url: "http://127.0.0.1:9".into(),
        };
        let (http, shared) = (services.http.clone(), services.stores.ephemeral.clone());
        let scope = TenantScope {
            tenant: TENANT.into(),
            session_ttl: LIFE,
            platform: Arc::new(Wechat::new(account, TENANT, http, shared)),
            services: Arc::new(services),
            session_counter: Arc::new(()),
        };
        Ok(Self { scope, _folder: folder })
    }

    /// Runs an action as a logged-in caller.
    pub async fn call(&self, action: &Arc<Action>, params: Value) -> Result<Reply> {
        self.log_in().await?;
        let served = action.run(call(action, params));
        tokio::time::timeout(CALL_TIMEOUT, served)
            .await
            .unwrap_or_else(|_| Err(Error::new(&codes::PLUGIN_FAILED).with_cause("no response within 10 s")))
    }

    /// Restores the session and the binding, which the action may have removed.
    pub async fn log_in(&self) -> Result<()> {
        let (stores, token) = (&self.scope.services.stores, menlou_policy::hash_token(&Token::new(TOKEN)));
        if stores.sessions.find(TENANT, &token).await?.is_none() {
            let now = unix_seconds();
            let session = Session {
                platform: "wechat".into(),
                openid: OPENID.into(),
                unionid: None,
                session_key: None,
                test: false,
                created_at: now,
                expires_at: now + LIFE.as_secs(),
            };
            stores.sessions.open(TENANT, &token, session).await?;
        }
        if stores.users.find(TENANT, "wechat", OPENID).await?.is_none() {
            let identity = Identity { platform: "wechat".into(), openid: OPENID.into(), unionid: None };
            stores.users.bind(TENANT, &identity, AccountSelector::New { name: "Ann", avatar_url: "" }).await?;
        }
        Ok(())
    }
}

/// A call as the decoder would produce it.
pub fn call(action: &Action, params: Value) -> Call {
    let mut given = Params::new();
    if let Value::Object(params) = params {
        *given.as_map_mut() = params;
    }
    let deadline = since_epoch() + CALL_TIMEOUT;
    let descriptor = action.descriptor();
    Call {
        id: "a-request".into(),
        method: descriptor.methods.first().cloned().unwrap_or(http::Method::POST),
        path: "/srv/".into(),
        subpath: String::new(),
        query: String::new(),
        action: descriptor.name.clone(),
        language: Language::Zh,
        remote: IpAddr::V4(Ipv4Addr::LOCALHOST),
        deadline_unix_ms: deadline.as_millis() as u64,
        token: Some(Token::new(TOKEN)),
        params: given,
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
        unread: descriptor.flags.raw_body.then(|| UnreadBody::new(nothing())),
        stream_idle_timeout: CALL_TIMEOUT,
    }
}

fn nothing() -> BodyStream {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}
