//! The client of one tenant's account at WeChat.

use super::api::{Api, MAX_ID_LENGTH, WechatCredentials};
use super::app_secret::AppSecret;
use super::response::{ResponseFields, WechatError, unusable, with_code};
use super::tokens::{self, AccessTokens};
use super::{encrypted, session_key};
use crate::http::HttpClient;
use crate::platform::{Platform, PlatformIdentity, PlatformQuery, PlatformReply};
use async_trait::async_trait;
use form_urlencoded::Serializer;
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_store::EphemeralKv;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Maximum time of a request with an access token, including the renewal of the token.
const WITH_TOKEN_TIMEOUT: Duration = Duration::from_secs(10);
/// Paths that [`Platform::call`] rejects, and all paths below them: they return access tokens or session keys, or take the
/// AppSecret.
const CREDENTIAL_PATHS: &[&str] =
    &["/cgi-bin/token", "/cgi-bin/stable_token", "/sns", "/wxa/resetusersessionkey", "/wxa/checksession"];
/// Maximum length of a path, in bytes.
const MAX_PATH_LENGTH: usize = 256;

/// The client of one tenant's account at WeChat.
pub struct Wechat {
    api: Arc<Api>,
    tokens: AccessTokens,
}

impl Wechat {
    /// A client for the account of `tenant`. Its access token is kept in `store`, where replicas share it.
    pub fn new(
        credentials: WechatCredentials,
        tenant: impl Into<String>,
        http: HttpClient,
        store: Arc<dyn EphemeralKv>,
    ) -> Self {
        let tenant = tenant.into();
        let WechatCredentials { appid, secret, previous_secret, base_url } = credentials;
        let key = tokens::key(&base_url, &appid, &secret);
        let secret = AppSecret::new(tenant.clone(), secret, previous_secret);
        let circuit = http.circuits().for_base_url(&base_url);
        let api = Arc::new(Api { appid, secret, base_url, http, circuit });
        Self { tokens: AccessTokens::new(Arc::clone(&api), tenant, store, key), api }
    }
}

#[async_trait]
impl Platform for Wechat {
    fn name(&self) -> &'static str {
        "wechat"
    }

    /// `GET /sns/jscode2session`, which needs no access token.
    async fn exchange(&self, code: &str) -> Result<PlatformIdentity> {
        let fields = self.api.session(code).await.map_err(|e| e.error)?;
        let id = |name: &str| match fields.text(name) {
            Some(id) if id.len() > MAX_ID_LENGTH || id.contains(char::is_control) => {
                Err(unusable(&format!("{name} is too long or not printable")))
            }
            id => Ok(id.map(str::to_owned)),
        };
        Ok(PlatformIdentity {
            openid: id("openid")?.ok_or_else(|| unusable("no openid"))?,
            unionid: id("unionid")?,
            session_key: id("session_key")?.map(SecretString::from),
        })
    }

    /// `POST /wxa/business/getuserphonenumber`.
    async fn phone_number(&self, phone_code: &str, openid: Option<&str>) -> Result<String> {
        let response = self.with_token(|token| async move {
            let token = token.expose_secret();
            let query = Serializer::new(String::new()).append_pair("access_token", token).finish();
            let mut body = json!({ "code": phone_code });
            if let Some(openid) = openid {
                body["openid"] = openid.into();
            }
            // Never repeated, because a phone code is single-use.
            self.api.post("/wxa/business/getuserphonenumber", &query, &body, false, &[token, phone_code]).await
        });
        match response.await {
            Ok(fields) => e164(fields).ok_or_else(|| unusable("no phone number")),
            // The access token was accepted, so the AppID is right, and the code belongs to another mini-program.
            Err(WechatError { errcode: Some(40013), error }) => Err(other_mini_program(error)),
            // Without this check, a phone code would log in anyone that gets hold of it.
            Err(WechatError { errcode: Some(40003), error }) if openid.is_some() => Err(other_person(error)),
            Err(e) => Err(e.error),
        }
    }

    /// Accepts a path of plain segments that is not below one of [`CREDENTIAL_PATHS`].
    fn may_call(&self, path: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let segments = path.strip_prefix('/').map(|p| p.split('/').all(|s| !s.is_empty() && s.chars().all(plain)));
        let lower = path.to_ascii_lowercase();
        let is_below =
            |path: &str| lower.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        segments == Some(true) && path.len() <= MAX_PATH_LENGTH && !CREDENTIAL_PATHS.iter().any(|path| is_below(path))
    }

    async fn call(&self, query: PlatformQuery) -> Result<PlatformReply> {
        let query = &query;
        let response = self.with_token(|token| async move { self.api.send_query(query, &token).await });
        response.await.map_err(|WechatError { errcode, error }| match errcode {
            // In requests of the gateway itself this errcode is a bug of the gateway. Here it is one of the action.
            Some(_) if error.is(&codes::INTERNAL_ERROR) => {
                with_code(error, &codes::PLATFORM_ERROR, codes::PLATFORM_ERROR.meaning().clone())
            }
            _ => error,
        })
    }

    fn decrypt(
        &self,
        session_key: &SecretString,
        data: &str,
        iv: &str,
        max_age: Duration,
    ) -> Result<Map<String, Value>> {
        encrypted::decrypt(session_key, data, iv, &self.api.appid, max_age)
    }

    async fn check_session_key(&self, openid: &str, session_key: &SecretString) -> Result<()> {
        self.session_key_request(session_key::CHECK, openid, session_key).await.map(drop).map_err(|e| e.error)
    }

    async fn reset_session_key(&self, openid: &str, session_key: &SecretString) -> Result<SecretString> {
        let fields = self.session_key_request(session_key::RESET, openid, session_key).await;
        session_key::new_key(&fields.map_err(|e| e.error)?, openid)
    }
}

impl Wechat {
    /// Sends a request that is signed with a session_key.
    async fn session_key_request(
        &self,
        path: &str,
        openid: &str,
        key: &SecretString,
    ) -> Result<ResponseFields, WechatError> {
        let signature = &session_key::signature(key);
        self.with_token(|token| async move {
            let token = token.expose_secret();
            let query = session_key::query(token, openid, signature);
            self.api.get(path, &query, &[token, signature, openid]).await
        })
        .await
    }

    /// Sends a request with an access token; if that token is rejected, once more with a new one.
    async fn with_token<T, F>(&self, send: impl Fn(SecretString) -> F) -> Result<T, WechatError>
    where
        F: Future<Output = Result<T, WechatError>>,
    {
        let request = async {
            let token = self.tokens.current().await?;
            match send(token.clone()).await {
                Err(WechatError { errcode: Some(40001 | 40014 | 42001), .. }) => {
                    send(self.tokens.replace(&token).await?).await
                }
                outcome => outcome,
            }
        };
        timeout(WITH_TOKEN_TIMEOUT, request).await.unwrap_or_else(|_| {
            let late = format_args!("no response within {WITH_TOKEN_TIMEOUT:?}");
            Err(Error::new(&codes::PLATFORM_UNREACHABLE).with_cause(late).into())
        })
    }
}

/// The number of `phone_info` in E.164: `+`, country code, national number; at most 15 digits. WeChat returns both parts as
/// strings or numbers, and country codes with the area code of an island, such as 1242, have four digits.
fn e164(fields: ResponseFields) -> Option<String> {
    let info = fields.object("phone_info")?;
    // Accepts "86", "+86" and "0086".
    let country = info.integer("countryCode").filter(|code| (1..=9999).contains(code))?.to_string();
    let number = || info.integer("purePhoneNumber").filter(|n| *n > 0).map(|n| n.to_string());
    let national = info.text("purePhoneNumber").map(str::to_owned).or_else(number)?.trim().replace([' ', '-'], "");
    let fits = (4..=15 - country.len()).contains(&national.len()) && national.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| format!("+{country}{national}"))
}

fn other_mini_program(error: Error) -> Error {
    let text = Text::fixed(
        "手机号凭证属于另一个小程序，请检查 f= 与小程序的 AppID",
        "The phone code belongs to another mini-program. Check f= and the mini-program's AppID.",
    );
    with_code(error, &codes::INVALID_CODE, text)
}

fn other_person(error: Error) -> Error {
    let text = Text::fixed(
        "手机号凭证不是由当前用户取得的，请重新获取手机号",
        "The phone code was obtained by another user. Get a new one as the user of this session.",
    );
    with_code(error, &codes::INVALID_CODE, text)
}

#[cfg(test)]
mod tests {
    use super::super::api::BASE_URL;
    use super::*;

    #[test]
    fn only_plain_paths_that_return_no_credentials_may_be_called() {
        let account = WechatCredentials {
            appid: "wx".into(),
            secret: "s".into(),
            previous_secret: None,
            base_url: BASE_URL.into(),
        };
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let shared = Arc::new(menlou_store::Sqlite::open(&folder.path().join("db")).await.unwrap());
            let wechat = Wechat::new(account, "acme", HttpClient::new().unwrap(), shared);
            for good in ["/wxa/msg_sec_check", "/cgi-bin/message/subscribe/send", "/cgi-bin/tokens", "/wxa-sec/x"] {
                assert!(wechat.may_call(good), "{good}");
            }
            let long = format!("/{}", "a".repeat(256));
            for bad in [
                "",
                "/",
                "wxa/x",
                "//evil.example/x",
                "/wxa//x",
                "/wxa/",
                "/wxa/../sns/x",
                "/wxa/%2e",
                "/wxa/x?access_token=t",
                "/wxa/x#f",
                "/wxa/x y",
                "https://evil.example/",
                "/@evil.example",
                "/wxa/x:80",
                "/wxa\\x",
                &long,
                "/cgi-bin/token",
                "/CGI-BIN/Token",
                "/cgi-bin/stable_token",
                "/sns/jscode2session",
                "/wxa/resetusersessionkey",
                "/wxa/checksession",
            ] {
                assert!(!wechat.may_call(bad), "{bad}");
            }
        });
    }
}
