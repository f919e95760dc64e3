//! WeChat: login codes, phone codes, and the table of its error codes.

mod answer;
pub mod errcodes;
mod tokens;

use super::http::{Http, Request};
use super::{Person, Platform};
use crate::error::{Error, Result, words};
use crate::store::Shared;
use crate::text::Text;
use answer::{Fields, Refusal, read, reworded, unusable};
use async_trait::async_trait;
use bytes::Bytes;
use form_urlencoded::Serializer;
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;
use tokens::Tokens;
use tokio::time::timeout;

/// The base URL unless the tenant's file names another.
pub const BASE_URL: &str = "https://api.weixin.qq.com";
/// The longest that WeChat may take to answer one call.
const CALL: Duration = Duration::from_secs(5);
/// The longest that a phone number may take, getting and renewing the access token included.
const PHONE_NUMBER: Duration = Duration::from_secs(10);
/// The longest openid, unionid or session_key that is believed, in bytes; real ones have 24 to 32.
const MAX_ID: usize = 128;

/// A mini-program's account with WeChat.
#[derive(Clone, Debug)]
pub struct WechatAccount {
    /// The AppID: `wx` and 16 hex digits.
    pub appid: String,
    /// The AppSecret.
    pub secret: SecretString,
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
    pub fn new(account: WechatAccount, tenant: impl Into<String>, http: Http, shared: Arc<dyn Shared>) -> Self {
        let api = Arc::new(Api { account, http });
        Self { tokens: Tokens::new(Arc::clone(&api), tenant.into(), shared), api }
    }
}

#[async_trait]
impl Platform for Wechat {
    fn name(&self) -> &'static str {
        "wechat"
    }

    /// `GET /sns/jscode2session`, which needs no access token.
    async fn exchange(&self, code: &str) -> Result<Person> {
        let fields = self.api.session(code).await.map_err(|refusal| refusal.error)?;
        let id = |name: &str| match fields.text(name) {
            Some(id) if id.len() > MAX_ID || id.contains(char::is_control) => {
                Err(unusable(&format!("{name} is too long or not printable")))
            }
            id => Ok(id.map(str::to_owned)),
        };
        Ok(Person {
            openid: id("openid")?.ok_or_else(|| unusable("no openid"))?,
            unionid: id("unionid")?,
            session_key: id("session_key")?.map(SecretString::from),
        })
    }

    /// `POST /wxa/business/getuserphonenumber`. With an access token that is refused, it is tried once more with a new one.
    async fn phone_number(&self, phone_code: &str) -> Result<String> {
        let late =
            |_| Err(Error::new(&words::PLATFORM_UNREACHABLE).because(format_args!("no number in {PHONE_NUMBER:?}")));
        timeout(PHONE_NUMBER, self.number(phone_code)).await.unwrap_or_else(late)
    }
}

impl Wechat {
    async fn number(&self, phone_code: &str) -> Result<String> {
        let token = self.tokens.current().await?;
        let mut answer = self.phone(&token, phone_code).await;
        if let Err(Refusal { errcode: Some(40001 | 40014 | 42001), .. }) = answer {
            let token = self.tokens.instead_of(&token).await?;
            answer = self.phone(&token, phone_code).await;
        }
        match answer {
            Ok(fields) => e164(fields).ok_or_else(|| unusable("no phone number")),
            // Here the access token vouches for the AppID: it is the code that is another's.
            Err(Refusal { errcode: Some(40013), error }) => Err(of_another_app(error)),
            Err(refusal) => Err(refusal.error),
        }
    }

    async fn phone(&self, token: &SecretString, phone_code: &str) -> Result<Fields, Refusal> {
        let token = token.expose_secret();
        let query = Serializer::new(String::new()).append_pair("access_token", token).finish();
        let body = json!({ "code": phone_code });
        // A phone code is single use: never repeated.
        self.api.post("/wxa/business/getuserphonenumber", &query, &body, false, &[token, phone_code]).await
    }
}

/// The calls to WeChat that the account's own credentials open.
struct Api {
    account: WechatAccount,
    http: Http,
}

impl Api {
    async fn session(&self, code: &str) -> Result<Fields, Refusal> {
        let secret = self.account.secret.expose_secret();
        let query = Serializer::new(String::new())
            .append_pair("appid", &self.account.appid)
            .append_pair("secret", secret)
            .append_pair("js_code", code)
            .append_pair("grant_type", "authorization_code")
            .finish();
        let request = Request {
            method: Method::GET,
            url: self.url("/sns/jscode2session", &query),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: CALL,
            // A login code is single use.
            repeatable: false,
        };
        read(self.http.send(request).await, &[secret, code])
    }

    /// `POST /cgi-bin/stable_token`. Without `force` WeChat gives the token it gave before, until its last 5 minutes;
    /// with it, that token dies (at most 20 times a day, 30 s apart).
    async fn stable_token(&self, force: bool) -> Result<Fields, Refusal> {
        let secret = self.account.secret.expose_secret();
        let body = json!({
            "grant_type": "client_credential",
            "appid": self.account.appid,
            "secret": secret,
            "force_refresh": force,
        });
        self.post("/cgi-bin/stable_token", "", &body, !force, &[secret]).await
    }

    async fn post(
        &self,
        path: &str,
        query: &str,
        body: &Value,
        repeatable: bool,
        secrets: &[&str],
    ) -> Result<Fields, Refusal> {
        let request = Request {
            method: Method::POST,
            url: self.url(path, query),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]),
            body: body.to_string().into(),
            timeout: CALL,
            repeatable,
        };
        read(self.http.send(request).await, secrets)
    }

    fn url(&self, path: &str, query: &str) -> String {
        let base = self.account.base_url.trim_end_matches('/');
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
    reworded(error, &words::INVALID_CODE, text)
}
