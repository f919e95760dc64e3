//! WeChat: login codes, phone codes, calls with the access token, and the table of its error codes.

pub mod answer;
mod app_secret;
mod encrypted;
pub mod errcodes;
mod session_key;
mod tokens;
pub mod verify;

use super::http::{HttpClient, HttpFailure, HttpRequest, HttpResponse};
use super::{Platform, PlatformIdentity, PlatformQuery, PlatformReply};
use answer::{Fields, Refusal, read, read_any, reworded, unusable};
use app_secret::AppSecret;
use async_trait::async_trait;
use bytes::Bytes;
use form_urlencoded::Serializer;
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use menlou_circuit::Breaker;
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_store::EphemeralKv;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokens::Tokens;
use tokio::time::timeout;

/// The base URL unless the tenant's file names another.
pub const BASE_URL: &str = "https://api.weixin.qq.com";
/// The longest that WeChat may take to answer one call.
const CALL: Duration = Duration::from_secs(5);
/// The longest that a call with an access token may take, getting and renewing that token included.
const WITH_TOKEN: Duration = Duration::from_secs(10);
/// What no call of an action may reach: it gives out access tokens and session keys, or takes the AppSecret.
const CREDENTIALS: &[&str] =
    &["/cgi-bin/token", "/cgi-bin/stable_token", "/sns", "/wxa/resetusersessionkey", "/wxa/checksession"];
/// The longest path that is called, in bytes.
const MAX_PATH: usize = 256;
/// The longest openid, unionid or session_key that is believed, in bytes; real ones have 24 to 32.
const MAX_ID: usize = 128;

/// A mini-program's account with WeChat.
#[derive(Clone, Debug)]
pub struct WechatCredentials {
    /// The AppID: `wx` and 16 hex digits.
    pub appid: String,
    /// The AppSecret.
    pub secret: SecretString,
    /// The AppSecret before it, which serves while WeChat refuses the other.
    pub previous_secret: Option<SecretString>,
    /// Where WeChat is: [`BASE_URL`], or a simulator.
    pub base_url: String,
}

/// One tenant's account at WeChat.
pub struct Wechat {
    api: Arc<Api>,
    tokens: Tokens,
}

impl Wechat {
    /// The account as `tenant` uses it; its access token is kept in `shared`.
    pub fn new(
        account: WechatCredentials,
        tenant: impl Into<String>,
        http: HttpClient,
        shared: Arc<dyn EphemeralKv>,
    ) -> Self {
        let tenant = tenant.into();
        let WechatCredentials { appid, secret, previous_secret, base_url } = account;
        let key = tokens::key(&base_url, &appid, &secret);
        let secret = AppSecret::new(tenant.clone(), secret, previous_secret);
        let circuit = http.circuits().for_base_url(&base_url);
        let api = Arc::new(Api { appid, secret, base_url, http, circuit });
        Self { tokens: Tokens::new(Arc::clone(&api), tenant, shared, key), api }
    }
}

#[async_trait]
impl Platform for Wechat {
    fn name(&self) -> &'static str {
        "wechat"
    }

    /// `GET /sns/jscode2session`, which needs no access token.
    async fn exchange(&self, code: &str) -> Result<PlatformIdentity> {
        let fields = self.api.session(code).await.map_err(|refusal| refusal.error)?;
        let id = |name: &str| match fields.text(name) {
            Some(id) if id.len() > MAX_ID || id.contains(char::is_control) => {
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
    async fn phone_number(&self, phone_code: &str) -> Result<String> {
        let answer = self.with_token(|token| async move {
            let token = token.expose_secret();
            let query = Serializer::new(String::new()).append_pair("access_token", token).finish();
            let body = json!({ "code": phone_code });
            // A phone code is single use: never repeated.
            self.api.post("/wxa/business/getuserphonenumber", &query, &body, false, &[token, phone_code]).await
        });
        match answer.await {
            Ok(fields) => e164(fields).ok_or_else(|| unusable("no phone number")),
            // Here the access token vouches for the AppID: it is the code that is another's.
            Err(Refusal { errcode: Some(40013), error }) => Err(of_another_app(error)),
            Err(refusal) => Err(refusal.error),
        }
    }

    /// A path of plain segments, none of those under which WeChat gives out credentials.
    fn may_call(&self, path: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        let segments = path.strip_prefix('/').map(|p| p.split('/').all(|s| !s.is_empty() && s.chars().all(plain)));
        let lower = path.to_ascii_lowercase();
        let beneath = |of: &str| lower.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        segments == Some(true) && path.len() <= MAX_PATH && !CREDENTIALS.iter().any(|c| beneath(c))
    }

    async fn call(&self, asked: PlatformQuery) -> Result<PlatformReply> {
        let asked = &asked;
        let answer = self.with_token(|token| async move { self.api.any(asked, &token).await });
        answer.await.map_err(|Refusal { errcode, error }| match errcode {
            // What would be our mistake in calls of our own is here how the action asked.
            Some(_) if error.is(&codes::INTERNAL_ERROR) => {
                reworded(error, &codes::PLATFORM_ERROR, codes::PLATFORM_ERROR.text.clone())
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
        encrypted::open(session_key, data, iv, &self.api.appid, max_age)
    }

    async fn check_session_key(&self, openid: &str, session_key: &SecretString) -> Result<()> {
        session_key::check(self, openid, session_key).await
    }

    async fn reset_session_key(&self, openid: &str, session_key: &SecretString) -> Result<SecretString> {
        session_key::reset(self, openid, session_key).await
    }
}

impl Wechat {
    /// Asks with an access token; where that is refused, once more with a new one.
    async fn with_token<T, F>(&self, ask: impl Fn(SecretString) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let asking = async {
            let token = self.tokens.current().await?;
            match ask(token.clone()).await {
                Err(Refusal { errcode: Some(40001 | 40014 | 42001), .. }) => {
                    ask(self.tokens.instead_of(&token).await?).await
                }
                answer => answer,
            }
        };
        timeout(WITH_TOKEN, asking).await.unwrap_or_else(|_| {
            let late = format_args!("no answer in {WITH_TOKEN:?}");
            Err(Error::new(&codes::PLATFORM_UNREACHABLE).with_cause(late).into())
        })
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self { errcode: None, error }
    }
}

/// The calls to WeChat that the account's own credentials open.
struct Api {
    appid: String,
    secret: AppSecret,
    base_url: String,
    http: HttpClient,
    circuit: Arc<Breaker>,
}

impl Api {
    async fn session(&self, code: &str) -> Result<Fields, Refusal> {
        let ask = |secret: SecretString| async move {
            let secret = secret.expose_secret();
            let query = Serializer::new(String::new())
                .append_pair("appid", &self.appid)
                .append_pair("secret", secret)
                .append_pair("js_code", code)
                .append_pair("grant_type", "authorization_code")
                .finish();
            // Never repeated: a login code is single use.
            self.get("/sns/jscode2session", &query, &[secret, code]).await
        };
        self.secret.ask(ask).await
    }

    /// `POST /cgi-bin/stable_token`. Without `force` WeChat gives the token it gave before, until its last 5 minutes;
    /// with it, that token dies (at most 20 times a day, 30 s apart).
    async fn stable_token(&self, force: bool) -> Result<Fields, Refusal> {
        let ask = |secret: SecretString| async move {
            let secret = secret.expose_secret();
            let body = json!({
                "grant_type": "client_credential",
                "appid": self.appid,
                "secret": secret,
                "force_refresh": force,
            });
            self.post("/cgi-bin/stable_token", "", &body, !force, &[secret]).await
        };
        self.secret.ask(ask).await
    }

    /// A call as an action asks for it. It is sent once: what it does is not known here.
    async fn any(&self, asked: &PlatformQuery, token: &SecretString) -> Result<PlatformReply, Refusal> {
        let token = token.expose_secret();
        let (mut headers, mut body) = (HeaderMap::new(), Bytes::new());
        let mut pairs = vec![("access_token", Cow::Borrowed(token))];
        if asked.method == Method::GET {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            pairs.extend(asked.fields.iter().map(|(name, value)| (name.as_str(), Cow::Owned(text(value)))));
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            // A map of JSON values always has its JSON.
            body = serde_json::to_vec(&asked.fields).unwrap_or_default().into();
        }
        let query = Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request = HttpRequest {
            method: asked.method.clone(),
            url: self.url(&asked.path, &query),
            headers,
            body,
            timeout: CALL,
            repeatable: false,
        };
        self.sent(request, false, |answer| read_any(answer, &[token])).await
    }

    async fn get(&self, path: &str, query: &str, secrets: &[&str]) -> Result<Fields, Refusal> {
        let request = HttpRequest {
            method: Method::GET,
            url: self.url(path, query),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: CALL,
            repeatable: false,
        };
        self.sent(request, true, |answer| read(answer, secrets)).await
    }

    async fn post(
        &self,
        path: &str,
        query: &str,
        body: &Value,
        repeatable: bool,
        secrets: &[&str],
    ) -> Result<Fields, Refusal> {
        let request = HttpRequest {
            method: Method::POST,
            url: self.url(path, query),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]),
            body: body.to_string().into(),
            timeout: CALL,
            repeatable,
        };
        self.sent(request, true, |answer| read(answer, secrets)).await
    }

    /// Sends a request, unless WeChat is known to be away. What counts is whether it answers: what it says in an
    /// answer is about codes, accounts and arguments. Where it keeps silent, that counts only if the call is
    /// `one_of_ours`: how long an action's own call takes says little of the others.
    async fn sent<T>(
        &self,
        request: HttpRequest,
        one_of_ours: bool,
        read: impl FnOnce(Result<HttpResponse, HttpFailure>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let pass = self.circuit.try_acquire().map_err(|shut| {
            let error = Error::new(&codes::PLATFORM_UNREACHABLE).retry_after(shut.retry_after);
            Refusal::from(error.with_cause(shut).logged())
        })?;
        let answer = self.http.send(request).await;
        let known = match &answer {
            Ok(answer) if !matches!(answer.status, 502..=504) => {
                pass.success();
                false
            }
            Ok(answer) => !pass.failure(&format!("HTTP {}", answer.status)),
            Err(HttpFailure::Unanswered(_)) if !one_of_ours => false,
            Err(failure) => !pass.failure(&failure.to_string()),
        };
        read(answer).map_err(|Refusal { errcode, error }| Refusal {
            errcode,
            error: if known { error.logged() } else { error },
        })
    }

    fn url(&self, path: &str, query: &str) -> String {
        let base = self.base_url.trim_end_matches('/');
        if query.is_empty() { format!("{base}{path}") } else { format!("{base}{path}?{query}") }
    }
}

/// The number of `phone_info` in E.164: `+`, country code, national number, 15 digits at most.
fn e164(answer: Fields) -> Option<String> {
    let info = answer.object("phone_info")?;
    // Also "86", "+86" and "0086".
    let country = info.integer("countryCode").filter(|code| (1..=999).contains(code))?.to_string();
    let national = info.text("purePhoneNumber")?.trim().replace([' ', '-'], "");
    let fits = (4..=15 - country.len()).contains(&national.len()) && national.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| format!("+{country}{national}"))
}

fn of_another_app(error: Error) -> Error {
    let text = Text::fixed(
        "手机号凭证属于另一个小程序，请检查 f= 与小程序的 AppID",
        "The phone code is of another mini-program: check f= and the mini-program's AppID.",
    );
    reworded(error, &codes::INVALID_CODE, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_paths_that_give_out_no_credentials_may_be_called() {
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
