//! The HTTP API of WeChat, as far as the gateway itself uses it, and the requests that actions send through it.

use super::app_secret::AppSecret;
use super::response::{ResponseFields, WechatError, parse_json, parse_json_or_file};
use crate::http::{HttpClient, HttpFailure, HttpRequest, HttpResponse};
use crate::platform::{PlatformQuery, PlatformReply};
use bytes::Bytes;
use form_urlencoded::Serializer;
use http::{HeaderMap, HeaderValue, Method, header::CONTENT_TYPE};
use menlou_circuit::Breaker;
use menlou_error::{Error, codes};
use metrics::{counter, histogram};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The base URL, unless the tenant file sets another.
pub const BASE_URL: &str = "https://api.weixin.qq.com";
/// The label of the platform in metrics.
const PLATFORM: &str = "wechat";
/// Maximum time of one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum length of an openid, unionid or session_key, in bytes. Real ones have 24 to 32.
pub(super) const MAX_ID_LENGTH: usize = 128;

/// The credentials of a mini-program's account at WeChat.
#[derive(Clone, Debug)]
pub struct WechatCredentials {
    /// The AppID: `wx` and 16 hex digits.
    pub appid: String,
    /// The AppSecret.
    pub secret: SecretString,
    /// The AppSecret before it, used while WeChat rejects `secret`.
    pub previous_secret: Option<SecretString>,
    /// Base URL: [`BASE_URL`] or a simulator.
    pub base_url: String,
}

/// The requests of one account.
pub(super) struct Api {
    pub appid: String,
    pub secret: AppSecret,
    pub base_url: String,
    pub http: HttpClient,
    pub circuit: Arc<Breaker>,
}

impl Api {
    /// `GET /sns/jscode2session`. Never repeated, because a login code is single-use.
    pub async fn session(&self, code: &str) -> Result<ResponseFields, WechatError> {
        let send = |secret: SecretString| async move {
            let secret = secret.expose_secret();
            let query = Serializer::new(String::new())
                .append_pair("appid", &self.appid)
                .append_pair("secret", secret)
                .append_pair("js_code", code)
                .append_pair("grant_type", "authorization_code")
                .finish();
            self.get("/sns/jscode2session", &query, &[secret, code]).await
        };
        self.secret.send(send).await
    }

    /// `POST /cgi-bin/stable_token`. Without `force` WeChat returns the current token until its last 5 minutes. With
    /// `force` it revokes that token, which is allowed 20 times a day with 30 s between.
    pub async fn stable_token(&self, force: bool) -> Result<ResponseFields, WechatError> {
        let send = |secret: SecretString| async move {
            let secret = secret.expose_secret();
            let body = json!({
                "grant_type": "client_credential",
                "appid": self.appid,
                "secret": secret,
                "force_refresh": force,
            });
            self.post("/cgi-bin/stable_token", "", &body, !force, &[secret]).await
        };
        self.secret.send(send).await
    }

    /// Sends a query of an action. It is sent once, because its effects are unknown.
    pub async fn send_query(&self, query: &PlatformQuery, token: &SecretString) -> Result<PlatformReply, WechatError> {
        let token = token.expose_secret();
        let (mut headers, mut body) = (HeaderMap::new(), Bytes::new());
        let mut pairs = vec![("access_token", Cow::Borrowed(token))];
        if query.method == Method::GET {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            pairs.extend(query.fields.iter().map(|(name, value)| (name.as_str(), Cow::Owned(text(value)))));
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            // A map of JSON values can always be serialised.
            body = serde_json::to_vec(&query.fields).unwrap_or_default().into();
        }
        let params = Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request = HttpRequest {
            method: query.method.clone(),
            url: self.url(&query.path, &params),
            headers,
            body,
            timeout: REQUEST_TIMEOUT,
            repeatable: false,
        };
        self.send(request, false, |response| parse_json_or_file(response, &[token])).await
    }

    /// Sends a GET request once. `secrets` must not appear in errors.
    pub async fn get(&self, path: &str, query: &str, secrets: &[&str]) -> Result<ResponseFields, WechatError> {
        let request = HttpRequest {
            method: Method::GET,
            url: self.url(path, query),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            timeout: REQUEST_TIMEOUT,
            repeatable: false,
        };
        self.send(request, true, |response| parse_json(response, secrets)).await
    }

    /// Sends a POST request with a JSON body. `secrets` must not appear in errors.
    pub async fn post(
        &self,
        path: &str,
        query: &str,
        body: &Value,
        repeatable: bool,
        secrets: &[&str],
    ) -> Result<ResponseFields, WechatError> {
        let request = HttpRequest {
            method: Method::POST,
            url: self.url(path, query),
            headers: HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]),
            body: body.to_string().into(),
            timeout: REQUEST_TIMEOUT,
            repeatable,
        };
        self.send(request, true, |response| parse_json(response, secrets)).await
    }

    /// Sends a request unless the circuit is open. Any response counts as a success of the circuit, because the errors in
    /// it concern codes, accounts and arguments. A missing response counts as a failure only if the request `is_ours`: the
    /// duration of an action's own request says little about other requests.
    async fn send<T>(
        &self,
        request: HttpRequest,
        is_ours: bool,
        parse: impl FnOnce(Result<HttpResponse, HttpFailure>) -> Result<T, WechatError>,
    ) -> Result<T, WechatError> {
        let permit = self.circuit.try_acquire().map_err(|open| {
            let error = Error::new(&codes::PLATFORM_UNREACHABLE).retry_after(open.retry_after);
            WechatError::from(error.with_cause(open).logged())
        })?;
        let (api, start) = (if is_ours { api_label(&request.url) } else { "action" }, Instant::now());
        let response = self.http.send(request).await;
        histogram!("menlou_platform_request_duration_seconds", "platform" => PLATFORM, "api" => api)
            .record(start.elapsed());
        let is_logged = match &response {
            Ok(response) if !matches!(response.status, 502..=504) => {
                permit.success();
                false
            }
            Ok(response) => !permit.failure(&format!("HTTP {}", response.status)),
            Err(HttpFailure::Unanswered(_)) if !is_ours => false,
            Err(failure) => !permit.failure(&failure.to_string()),
        };
        let parsed = parse(response);
        let outcome = match &parsed {
            Ok(_) => "ok",
            Err(WechatError { errcode: Some(_), .. }) => "rejected",
            Err(_) => "failed",
        };
        let labels = [("platform", PLATFORM), ("api", api), ("outcome", outcome)];
        counter!("menlou_platform_requests_total", &labels).increment(1);
        parsed.map_err(|WechatError { errcode, error }| WechatError {
            errcode,
            error: if is_logged { error.logged() } else { error },
        })
    }

    fn url(&self, path: &str, query: &str) -> String {
        let base = self.base_url.trim_end_matches('/');
        if query.is_empty() { format!("{base}{path}") } else { format!("{base}{path}?{query}") }
    }
}

/// The label of the metrics for a request of the gateway itself.
fn api_label(url: &str) -> &'static str {
    let path = url.split('?').next().unwrap_or_default();
    match path.rsplit('/').next().unwrap_or_default() {
        "jscode2session" => "code2session",
        "stable_token" => "access_token",
        "getuserphonenumber" => "phone_number",
        "checksession" | "resetusersessionkey" => "session_key",
        _ => "other",
    }
}
