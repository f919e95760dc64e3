//! The supported platforms: from the settings of a tenant file to a [`Platform`].

use crate::http::HttpClient;
use crate::platform::Platform;
use crate::wechat::verify::{self, CheckResult};
use crate::wechat::{Wechat, WechatCredentials};
use menlou_config::tenant::TenantFile;
use menlou_store::EphemeralKv;
use secrecy::SecretString;
use std::sync::Arc;

/// The keys of one platform's table in a tenant file, as RFC 6901 pointers.
pub struct PlatformKeys {
    /// The secret.
    pub secret: &'static str,
    /// The secret before it, kept while the platform switches to the new one.
    pub previous_secret: &'static str,
    /// Base URL of the platform. Only the operator may change it, because the gateway connects to it.
    pub base_url: &'static str,
}

/// The keys of all platforms.
pub const PLATFORM_KEYS: &[PlatformKeys] = &[PlatformKeys {
    secret: "/wechat/secret",
    previous_secret: "/wechat/previous_secret",
    base_url: "/wechat/base_url",
}];

/// The credentials of a tenant's account at one of the platforms.
pub enum PlatformCredentials {
    /// WeChat.
    Wechat(WechatCredentials),
}

impl PlatformCredentials {
    /// The credentials in a tenant file. `secret` returns the resolved secret at a pointer. `None` if no platform is
    /// configured or its secret could not be resolved.
    pub fn from_tenant_file(file: &TenantFile, secret: impl Fn(&str) -> Option<SecretString>) -> Option<Self> {
        let [keys] = PLATFORM_KEYS else { return None };
        let wechat = file.wechat.as_ref()?;
        Some(Self::Wechat(WechatCredentials {
            appid: wechat.appid.clone(),
            secret: secret(keys.secret)?,
            previous_secret: secret(keys.previous_secret),
            base_url: wechat.base_url.clone(),
        }))
    }

    /// Base URL of the platform.
    pub fn base_url(&self) -> &str {
        match self {
            Self::Wechat(credentials) => &credentials.base_url,
        }
    }
}

/// The client of a tenant's account. Access tokens are kept in `store`, where replicas share them.
pub fn build(
    credentials: PlatformCredentials,
    tenant: &str,
    http: HttpClient,
    store: Arc<dyn EphemeralKv>,
) -> Arc<dyn Platform> {
    match credentials {
        PlatformCredentials::Wechat(credentials) => Arc::new(Wechat::new(credentials, tenant, http, store)),
    }
}

/// Checks with the platform whether the credentials work, and reports each result as soon as it is known. A running
/// gateway is not affected: no access token is renewed and nothing is stored. Phone numbers are checked if `phone` is set.
/// It takes at most 30 s.
pub async fn verify(
    credentials: &PlatformCredentials,
    phone: bool,
    http: HttpClient,
    report: impl FnMut(&CheckResult),
) -> Vec<CheckResult> {
    match credentials {
        PlatformCredentials::Wechat(credentials) => verify::verify(credentials.clone(), http, phone, report).await,
    }
}
