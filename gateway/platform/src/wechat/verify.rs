//! Asks WeChat whether an account's credentials work, and says in words what is wrong, who can mend it, and where.
//!
//! Nothing is changed: the access token is the one that a running gateway has, codes are made up, and WeChat's refusal of
//! such a code is the proof that all the rest was right.

use super::answer::{Refusal, unusable};
use super::api::{Api, WechatCredentials};
use super::app_secret::AppSecret;
use super::errcodes::{self, Explanation};
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

/// The longest that each step of looking for the cause may take.
const LOOK: Duration = Duration::from_secs(2);
/// A code that WeChat never gave out.
const MADE_UP: &str = "menlou-verify-made-up-code";

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckStep {
    /// An access token: AppID, AppSecret, the IP list, the account's standing.
    Token,
    /// The exchange of login codes.
    Login,
    /// Phone numbers, which not every mini-program is granted.
    Phone,
    /// The AppSecret before it, which serves where the other is refused.
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

    /// The name for people.
    pub fn text(self) -> Text {
        match self {
            Self::Token => Text::fixed("获取 access_token", "access token"),
            Self::Login => Text::fixed("登录（wx.login 的 code）", "log-in (codes of wx.login)"),
            Self::Phone => Text::fixed("获取手机号", "phone numbers"),
            Self::Previous => Text::fixed(
                "旧密钥（previous_secret）仍可用，由它顶替",
                "the old secret (previous_secret), which serves meanwhile",
            ),
        }
    }
}

/// What a step came to.
#[derive(Debug)]
pub struct CheckResult {
    /// What was asked.
    pub step: CheckStep,
    /// What is wrong; `None` where it works.
    pub failure: Option<CheckFailure>,
}

/// What is wrong.
#[derive(Debug)]
pub struct CheckFailure {
    /// WeChat's code; `None` where it did not get so far.
    pub errcode: Option<i64>,
    /// WeChat's id of the request, for its support.
    pub rid: Option<String>,
    /// The gateway's address as WeChat saw it, where it refuses that.
    pub address: Option<IpAddr>,
    /// In words.
    pub explanation: Explanation,
    /// What only this case tells: the address, a proxy that is not used.
    pub note: Option<Text>,
    /// What the system or WeChat said, without any secret.
    pub cause: String,
}

/// Asks WeChat step by step, and tells each result as soon as it is there. Phone numbers are asked for with `phone`
/// only; the previous secret where the new one is refused. Takes at most half a minute.
pub async fn verify(
    account: WechatCredentials,
    http: HttpClient,
    phone: bool,
    mut told: impl FnMut(&CheckResult),
) -> Vec<CheckResult> {
    let WechatCredentials { appid, secret, previous_secret, base_url } = account;
    let with = |secret| Api {
        appid: appid.clone(),
        secret: AppSecret::new(String::new(), secret, None),
        base_url: base_url.clone(),
        http: http.clone(),
        circuit: http.circuits().for_base_url(&base_url),
    };
    let api = with(secret);
    let mut results = Vec::new();
    let mut tell = |step, trouble| {
        let result = CheckResult { step, failure: trouble };
        told(&result);
        results.push(result);
    };
    let token = match token(&api).await {
        Ok(token) => {
            tell(CheckStep::Token, None);
            Some(token)
        }
        Err(refusal) => {
            // Here 40001 says that the AppSecret is wrong.
            let refusal = Refusal { errcode: refusal.errcode.map(|c| if c == 40001 { 40125 } else { c }), ..refusal };
            let errcode = refusal.errcode;
            tell(CheckStep::Token, Some(trouble(&api, refusal).await));
            if errcode.is_none() {
                // Who does not answer the one does not answer the other.
                return results;
            }
            if let Some(previous) = previous_secret.filter(|_| errcode == Some(40125)) {
                let api = with(previous);
                tell(CheckStep::Previous, outcome(&api, api.session(MADE_UP).await.err(), &[40029]).await);
            }
            None
        }
    };
    tell(CheckStep::Login, outcome(&api, api.session(MADE_UP).await.err(), &[40029]).await);
    if let Some(token) = token.filter(|_| phone) {
        tell(CheckStep::Phone, outcome(&api, phone_number(&api, &token).await, &[40029, 40013]).await);
    }
    results
}

async fn token(api: &Api) -> Result<SecretString, Refusal> {
    let fields = api.stable_token(false).await?;
    fields.text("access_token").map(SecretString::from).ok_or_else(|| unusable("no access_token").into())
}

async fn phone_number(api: &Api, token: &SecretString) -> Option<Refusal> {
    let token = token.expose_secret();
    let query = Serializer::new(String::new()).append_pair("access_token", token).finish();
    let body = json!({ "code": MADE_UP });
    api.post("/wxa/business/getuserphonenumber", &query, &body, false, &[token]).await.err()
}

/// That the made-up code is refused, with one of these errcodes, is what is wanted.
async fn outcome(api: &Api, refusal: Option<Refusal>, wanted: &[i64]) -> Option<CheckFailure> {
    let refusal = refusal.filter(|r| r.errcode.is_none_or(|code| !wanted.contains(&code)))?;
    Some(trouble(api, refusal).await)
}

async fn trouble(api: &Api, refusal: Refusal) -> CheckFailure {
    let Refusal { errcode, error } = refusal;
    let cause = error.cause().unwrap_or_default().to_owned();
    let rid = error.data().and_then(|d| d.get("rid")?.as_str().map(str::to_owned));
    let address = errcode.filter(|code| *code == 40164).and_then(|_| address_in(&cause));
    let (explanation, note) = match errcode {
        // To clients it says not to send their code again; here there is none to lose.
        Some(-1) => (UnreachableReason::Down.explanation(), None),
        Some(code) => (errcodes::explain(code).unwrap_or_else(|| unknown(code)), address.map(seen)),
        None => {
            let unreached = unreached(api, &error, &cause).await;
            (unreached.explanation(), unreached.is_the_network().then(proxy_not_used).flatten())
        }
    };
    CheckFailure { errcode, rid, address, explanation, note, cause }
}

/// The address in `invalid ip 1.2.3.4 ipv6 ::ffff:1.2.3.4, not in whitelist`.
fn address_in(errmsg: &str) -> Option<IpAddr> {
    let words = errmsg.split(|c: char| c.is_whitespace() || c == ',');
    words.filter_map(|word| word.parse::<IpAddr>().ok()).map(|ip| ip.to_canonical()).next()
}

fn seen(address: IpAddr) -> Text {
    Text::new(format!("微信看到的 IP 是 {address}"), format!("the address that WeChat saw is {address}"))
}

fn unknown(code: i64) -> Explanation {
    Explanation {
        meaning: Text::new(format!("没有记录的错误码 {code}"), format!("the errcode {code} is not known here")),
        responsible: Responsible::TenantAdmin,
        remedy: Text::fixed(
            "在微信文档中查该错误码；联系平台支持时给出 rid。",
            "Look it up in WeChat's documentation; give the rid to its support.",
        ),
        location: None,
    }
}

/// Why WeChat did not get to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnreachableReason {
    /// The name has no address.
    Name,
    /// Nobody listens there.
    Refused,
    /// No connection comes about in time, or none can.
    Silent,
    /// The connection can't be encrypted.
    Tls,
    /// Connected, but no answer in time, or a broken one.
    Slow,
    /// Somebody else answers.
    Foreign,
    /// WeChat, or something before it, is overloaded or down.
    Down,
}

impl UnreachableReason {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Name, Self::Refused, Self::Silent, Self::Tls, Self::Slow, Self::Foreign, Self::Down];

    /// In words.
    pub fn explanation(self) -> Explanation {
        let (what, remedy) = match self {
            Self::Name => (
                Text::fixed("域名解析失败：找不到平台的地址", "DNS: the platform's name has no address"),
                Text::fixed(
                    "检查网关主机的 DNS，以及 [wechat] base_url 的拼写。",
                    "Check the DNS of the gateway's host, and how base_url under [wechat] is spelt.",
                ),
            ),
            Self::Refused => (
                Text::fixed("连接被拒绝：那里没有服务", "the connection is refused: nothing listens there"),
                Text::fixed(
                    "检查 [wechat] base_url 的地址与端口；模拟器是否在运行。",
                    "Check address and port of base_url under [wechat]; is the simulator running?",
                ),
            ),
            Self::Silent => (
                Text::fixed("连不上平台：没有路由，或被防火墙丢弃", "no connection: no route, or a firewall drops it"),
                Text::fixed(
                    "放行网关主机到平台 443 端口的出站连接。",
                    "Let the gateway's host connect to the platform's port 443.",
                ),
            ),
            Self::Tls => (
                Text::fixed(
                    "TLS 握手失败：证书不被信任，或对方不是 TLS",
                    "TLS: the certificate is not trusted, or it is no TLS",
                ),
                Text::fixed(
                    "检查主机的时钟与 CA 证书（ca-certificates）；若有拦截 TLS 的代理，请将平台域名排除。",
                    "Check the host's clock and CA certificates (ca-certificates); exempt the platform from any proxy that opens TLS.",
                ),
            ),
            Self::Slow => (
                Text::fixed("已连接，但没有收到完整的回答", "connected, but no complete answer came"),
                Text::fixed(
                    "稍后再试；若持续，检查网络质量与中间代理。",
                    "Try again; if it lasts, look at the network and what is in between.",
                ),
            ),
            Self::Foreign => (
                Text::fixed(
                    "回答的不是微信：内容无法识别",
                    "it is not WeChat that answers: the content makes no sense",
                ),
                Text::fixed(
                    "检查 [wechat] base_url；网络中是否有登录门户或代理在代为回答。",
                    "Check base_url under [wechat], and whether a portal or proxy answers in its place.",
                ),
            ),
            Self::Down => (
                Text::fixed("平台繁忙或故障", "the platform is busy or down"),
                Text::fixed("稍后再试。", "Try again later."),
            ),
        };
        Explanation { meaning: what, responsible: Responsible::Operator, remedy, location: None }
    }

    fn is_the_network(self) -> bool {
        matches!(self, Self::Name | Self::Refused | Self::Silent)
    }
}

/// Looks for the cause step by step, as a person would: the name, the connection, the rest.
async fn unreached(api: &Api, error: &Error, cause: &str) -> UnreachableReason {
    if error.is(&codes::PLATFORM_BUSY) {
        return UnreachableReason::Down;
    }
    if cause.starts_with("unusable answer") {
        return UnreachableReason::Foreign;
    }
    let not_sent = cause.starts_with("not sent");
    let url = reqwest::Url::parse(&api.base_url).ok();
    let Some((url, host, port)) =
        url.and_then(|u| Some((u.clone(), u.host_str()?.to_owned(), u.port_or_known_default()?)))
    else {
        return UnreachableReason::Name;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let addresses: Vec<_> = match timeout(LOOK, lookup_host((host, port))).await {
        Ok(Ok(addresses)) => addresses.take(4).collect(),
        _ => return UnreachableReason::Name,
    };
    let connected = timeout(LOOK, TcpStream::connect(&*addresses)).await;
    match connected {
        Ok(Ok(_)) if not_sent && url.scheme() == "https" => UnreachableReason::Tls,
        Ok(Ok(_)) => UnreachableReason::Slow,
        Ok(Err(e)) if e.kind() == io::ErrorKind::ConnectionRefused => UnreachableReason::Refused,
        _ => UnreachableReason::Silent,
    }
}

/// The gateway takes no proxy from the environment; whoever has set one should know.
fn proxy_not_used() -> Option<Text> {
    let set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let name =
        ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy"].into_iter().find(set)?;
    Some(Text::new(
        format!("设置了 {name}，但网关不使用环境中的代理，以免密钥经过它：请放行直连"),
        format!(
            "{name} is set, but the gateway uses no proxy from the environment, so that secrets don't pass through it: allow direct connections"
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
    fn each_way_not_to_reach_the_platform_is_told_in_both_languages() {
        for unreached in UnreachableReason::ALL {
            let Explanation { meaning: what, remedy, .. } = unreached.explanation();
            for text in [what, remedy] {
                assert!(text.zh.chars().any(|c| c as u32 > 0x2e80) && text.en.is_ascii(), "{unreached:?}");
            }
        }
    }
}
