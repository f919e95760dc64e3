//! Checks an account's credentials with WeChat, and explains what is wrong, who can fix it, and where.
//!
//! Nothing is changed: the access token is the one that a running gateway uses, and the codes are invalid. If WeChat
//! rejects such a code, everything else in the request was right.

use super::api::{Api, WechatCredentials};
use super::app_secret::AppSecret;
use super::errcodes::{self, Explanation};
use super::response::{WechatError, unusable};
use crate::http::HttpClient;
use form_urlencoded::Serializer;
use menlou_error::text::Text;
use menlou_error::{Error, Responsible, codes};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use std::{io, net::IpAddr, time::Duration};
use tokio::{
    net::{TcpStream, lookup_host},
    time::timeout,
};

/// Maximum time of each step of the diagnosis.
const STEP_TIMEOUT: Duration = Duration::from_secs(2);
/// A code that WeChat never issued.
const INVALID_CODE: &str = "menlou-verify-made-up-code";

/// A step of the check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStep {
    /// An access token: checks AppID, AppSecret, IP allowlist and the account's status.
    Token,
    /// The exchange of login codes.
    Login,
    /// Phone numbers, which need a permission.
    Phone,
    /// The previous AppSecret, if the current one is rejected.
    Previous,
}

impl CheckStep {
    /// The stable name: `token`, `login`, `phone`, `previous_secret`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Login => "login",
            Self::Phone => "phone",
            Self::Previous => "previous_secret",
        }
    }

    /// The display name.
    pub fn text(self) -> Text {
        match self {
            Self::Token => Text::fixed("获取 access_token", "access token"),
            Self::Login => Text::fixed("登录（wx.login 的 code）", "login (codes of wx.login)"),
            Self::Phone => Text::fixed("获取手机号", "phone numbers"),
            Self::Previous => Text::fixed(
                "旧密钥（previous_secret）仍可用，由它顶替",
                "the previous secret (previous_secret), which is used meanwhile",
            ),
        }
    }
}

/// The result of a step.
#[derive(Debug)]
pub struct CheckResult {
    /// The step.
    pub step: CheckStep,
    /// What is wrong; `None` if the step succeeded.
    pub failure: Option<CheckFailure>,
}

/// Why a step failed.
#[derive(Debug)]
pub struct CheckFailure {
    /// WeChat's error code; `None` if there is no response that could be parsed.
    pub errcode: Option<i64>,
    /// WeChat's id of the request, for WeChat's support.
    pub rid: Option<String>,
    /// The gateway's address as WeChat saw it, if WeChat rejects that address.
    pub address: Option<IpAddr>,
    /// What it means and what to do.
    pub explanation: Explanation,
    /// A detail of this case: the address, or a proxy that is not used.
    pub note: Option<Text>,
    /// The message of the system or of WeChat, without secrets.
    pub cause: String,
}

/// Runs the steps and reports each result as soon as it is known. Phone numbers are checked only with `phone`, the previous
/// secret only if the current one is rejected. Takes at most 30 s.
pub async fn verify(
    account: WechatCredentials,
    http: HttpClient,
    phone: bool,
    mut report: impl FnMut(&CheckResult),
) -> Vec<CheckResult> {
    let WechatCredentials { appid, secret, previous_secret, base_url } = account;
    let api_with = |secret| Api {
        appid: appid.clone(),
        secret: AppSecret::new(String::new(), secret, None),
        base_url: base_url.clone(),
        http: http.clone(),
        circuit: http.circuits().for_base_url(&base_url),
    };
    let api = api_with(secret);
    let mut results = Vec::new();
    let mut add = |step, failure| {
        let result = CheckResult { step, failure };
        report(&result);
        results.push(result);
    };
    let token = match token(&api).await {
        Ok(token) => {
            add(CheckStep::Token, None);
            Some(token)
        }
        Err(WechatError { errcode, error }) => {
            // In a response to a token request, 40001 means that the AppSecret is wrong.
            let errcode = errcode.map(|code| if code == 40001 { 40125 } else { code });
            add(CheckStep::Token, Some(diagnose(&api, WechatError { errcode, error }).await));
            if errcode.is_none() {
                // WeChat is unreachable, so the other steps would fail too.
                return results;
            }
            if let Some(previous) = previous_secret.filter(|_| errcode == Some(40125)) {
                let api = api_with(previous);
                add(CheckStep::Previous, failure(&api, api.session(INVALID_CODE).await.err(), &[40029]).await);
            }
            None
        }
    };
    add(CheckStep::Login, failure(&api, api.session(INVALID_CODE).await.err(), &[40029]).await);
    if let Some(token) = token.filter(|_| phone) {
        add(CheckStep::Phone, failure(&api, phone_number(&api, &token).await, &[40029, 40013]).await);
    }
    results
}

async fn token(api: &Api) -> Result<SecretString, WechatError> {
    let fields = api.stable_token(false).await?;
    fields.text("access_token").map(SecretString::from).ok_or_else(|| unusable("no access_token").into())
}

async fn phone_number(api: &Api, token: &SecretString) -> Option<WechatError> {
    let token = token.expose_secret();
    let query = Serializer::new(String::new()).append_pair("access_token", token).finish();
    let body = json!({ "code": INVALID_CODE });
    api.post("/wxa/business/getuserphonenumber", &query, &body, false, &[token]).await.err()
}

/// The failure of a step with an invalid code, unless it is one of the `expected` errcodes.
async fn failure(api: &Api, error: Option<WechatError>, expected: &[i64]) -> Option<CheckFailure> {
    let error = error.filter(|e| e.errcode.is_none_or(|code| !expected.contains(&code)))?;
    Some(diagnose(api, error).await)
}

async fn diagnose(api: &Api, WechatError { errcode, error }: WechatError) -> CheckFailure {
    let cause = error.cause().unwrap_or_default().to_owned();
    let rid = error.data().and_then(|d| d.get("rid")?.as_str().map(str::to_owned));
    let address = errcode.filter(|code| *code == 40164).and_then(|_| address_in(&cause));
    let (explanation, note) = match errcode {
        // Its usual remedy is for clients whose code may be used up. There is no such code here.
        Some(-1) => (UnreachableReason::Down.explanation(), None),
        Some(code) => (errcodes::explain(code).unwrap_or_else(|| unknown(code)), address.map(seen_address)),
        None => {
            let reason = unreachable_reason(api, &error, &cause).await;
            (reason.explanation(), reason.is_network().then(ignored_proxy).flatten())
        }
    };
    CheckFailure { errcode, rid, address, explanation, note, cause }
}

/// The address in `invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist`.
fn address_in(errmsg: &str) -> Option<IpAddr> {
    let parts = errmsg.split(|c: char| c.is_whitespace() || c == ',');
    parts.filter_map(|part| part.parse::<IpAddr>().ok()).map(|ip| ip.to_canonical()).next()
}

fn seen_address(address: IpAddr) -> Text {
    Text::new(format!("微信看到的 IP 是 {address}"), format!("WeChat saw the address {address}"))
}

fn unknown(code: i64) -> Explanation {
    Explanation {
        meaning: Text::new(
            format!("网关未收录的错误码 {code}"),
            format!("the errcode {code} is unknown to the gateway"),
        ),
        responsible: Responsible::TenantAdmin,
        remedy: Text::fixed(
            "在微信文档中查该错误码；联系平台支持时给出 rid。",
            "Look it up in WeChat's documentation. Give the rid to WeChat's support.",
        ),
        location: None,
    }
}

/// Why there is no response from WeChat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreachableReason {
    /// DNS resolution failed.
    Name,
    /// The connection is refused.
    Refused,
    /// The connection cannot be established in time, or there is no route.
    Silent,
    /// The TLS handshake fails.
    Tls,
    /// Connected, but there is no complete response in time.
    Slow,
    /// The response is not WeChat's.
    Foreign,
    /// WeChat, or a proxy in front of it, is overloaded or down.
    Down,
}

impl UnreachableReason {
    /// All reasons.
    pub const ALL: [Self; 7] =
        [Self::Name, Self::Refused, Self::Silent, Self::Tls, Self::Slow, Self::Foreign, Self::Down];

    /// What it means and what to do.
    pub fn explanation(self) -> Explanation {
        let (meaning, remedy) = match self {
            Self::Name => (
                Text::fixed(
                    "域名解析失败：找不到平台的地址",
                    "DNS resolution failed: the platform's host name has no address",
                ),
                Text::fixed(
                    "检查网关主机的 DNS，以及 [wechat] base_url 的拼写。",
                    "Check the DNS of the gateway's host, and the spelling of base_url under [wechat].",
                ),
            ),
            Self::Refused => (
                Text::fixed(
                    "连接被拒绝：该地址没有服务在监听",
                    "connection refused: no service listens at the platform's address",
                ),
                Text::fixed(
                    "检查 [wechat] base_url 的地址与端口；若用模拟器，确认它在运行。",
                    "Check host and port of base_url under [wechat]. If it is a simulator, check that it is running.",
                ),
            ),
            Self::Silent => (
                Text::fixed(
                    "连不上平台：没有路由，或被防火墙丢弃",
                    "no connection: there is no route, or a firewall drops the packets",
                ),
                Text::fixed(
                    "放行网关主机到平台 443 端口的出站连接。",
                    "Allow outgoing connections from the gateway's host to port 443 of the platform.",
                ),
            ),
            Self::Tls => (
                Text::fixed(
                    "TLS 握手失败：证书不被信任，或对方不是 TLS",
                    "TLS handshake failed: the certificate is not trusted, or the server does not use TLS",
                ),
                Text::fixed(
                    "检查主机的时钟与 CA 证书（ca-certificates）；若有拦截 TLS 的代理，请将平台域名排除。",
                    "Check the host's clock and CA certificates (ca-certificates); exempt the platform from proxies that intercept TLS.",
                ),
            ),
            Self::Slow => (
                Text::fixed("已连接，但没有收到完整的响应", "connected, but there was no complete response in time"),
                Text::fixed(
                    "稍后再试；若持续，检查网络质量与中间代理。",
                    "Try again later. If it persists, check the network and the proxies on the way.",
                ),
            ),
            Self::Foreign => (
                Text::fixed(
                    "响应不是来自微信：内容无法识别",
                    "the response is not from WeChat: its content is not understood",
                ),
                Text::fixed(
                    "检查 [wechat] base_url，以及网络中是否有登录门户或代理代为响应。",
                    "Check base_url under [wechat], and whether a captive portal or a proxy responds instead.",
                ),
            ),
            Self::Down => (
                Text::fixed("平台繁忙或故障", "the platform is busy or down"),
                Text::fixed("稍后再试。", "Try again later."),
            ),
        };
        Explanation { meaning, responsible: Responsible::Operator, remedy, location: None }
    }

    fn is_network(self) -> bool {
        matches!(self, Self::Name | Self::Refused | Self::Silent)
    }
}

/// Finds the reason by trying DNS resolution, then a connection.
async fn unreachable_reason(api: &Api, error: &Error, cause: &str) -> UnreachableReason {
    if error.is(&codes::PLATFORM_BUSY) {
        return UnreachableReason::Down;
    }
    if cause.starts_with("unusable response") {
        return UnreachableReason::Foreign;
    }
    let is_unsent = cause.starts_with("not sent");
    let url = reqwest::Url::parse(&api.base_url).ok();
    let Some((url, host, port)) =
        url.and_then(|u| Some((u.clone(), u.host_str()?.to_owned(), u.port_or_known_default()?)))
    else {
        return UnreachableReason::Name;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = match timeout(STEP_TIMEOUT, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.take(4).collect(),
        _ => return UnreachableReason::Name,
    };
    let connected = timeout(STEP_TIMEOUT, TcpStream::connect(&*addresses)).await;
    match connected {
        Ok(Ok(_)) if is_unsent && url.scheme() == "https" => UnreachableReason::Tls,
        Ok(Ok(_)) => UnreachableReason::Slow,
        Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => UnreachableReason::Refused,
        _ => UnreachableReason::Silent,
    }
}

/// A note if a proxy is set in the environment: the gateway ignores it, which may be unexpected.
fn ignored_proxy() -> Option<Text> {
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let name = ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"]
        .into_iter()
        .find(is_set)?;
    Some(Text::new(
        format!("设置了 {name}，但网关不使用环境中的代理，以免密钥经过它：请放行直连"),
        format!(
            "{name} is set, but the gateway uses no proxy from the environment, so that no secret passes through one: allow direct connections"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_wechat_saw_is_read_from_its_message() {
        for (errmsg, address) in [
            (
                "errcode 40164: invalid ip 203.0.113.7 ipv6 ::ffff:203.0.113.7, not in whitelist (rid 1-2-3)",
                Some("203.0.113.7"),
            ),
            ("errcode 40164: invalid ip 240e:3a1:4c5::1, not in whitelist", Some("240e:3a1:4c5::1")),
            ("errcode 40164: invalid ip ::ffff:203.0.113.7", Some("203.0.113.7")),
            ("errcode 40164: not in whitelist", None),
        ] {
            assert_eq!(address_in(errmsg), address.map(|a| a.parse().unwrap()), "{errmsg}");
        }
    }

    #[test]
    fn every_unreachable_reason_is_explained_in_both_languages() {
        for reason in UnreachableReason::ALL {
            let Explanation { meaning, remedy, .. } = reason.explanation();
            for text in [meaning, remedy] {
                assert!(text.zh.chars().any(|c| c as u32 > 0x2e80) && text.en.is_ascii(), "{reason:?}");
            }
        }
    }
}
