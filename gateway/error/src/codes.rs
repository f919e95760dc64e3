//! The table of error words: for each its status, what the caller reads, who has to act, and what to do.

use crate::text::Text;
use std::time::Duration;

/// Responsible has to act on an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responsible {
    /// The mini-program's code.
    Client,
    /// The person who holds the phone.
    Person,
    /// Whoever keeps the tenant's file and credentials.
    TenantAdmin,
    /// Whoever runs the gateway.
    Operator,
    /// Whoever wrote the action's plugin.
    ActionAuthor,
}

impl Responsible {
    /// The name for people.
    pub fn text(self) -> Text {
        match self {
            Self::Client => Text::fixed("客户端（小程序代码）", "client (the mini-program's code)"),
            Self::Person => Text::fixed("用户", "person"),
            Self::TenantAdmin => Text::fixed("租户管理员", "tenant admin"),
            Self::Operator => Text::fixed("网关运维", "operator"),
            Self::ActionAuthor => Text::fixed("插件作者", "action author"),
        }
    }
}

/// One error code. It is part of the contract with clients: a word is never renamed or given another meaning.
#[derive(Debug)]
pub struct ErrorCode {
    /// As it stands in `"error"`.
    pub name: &'static str,
    /// 200 for what an action decided; 4xx and 5xx where the gateway itself could not serve.
    pub status: u16,
    /// The `msg`, unless the place where it happens knows more.
    pub text: Text,
    /// Responsible has to act.
    pub who: Responsible,
    /// What to do.
    pub remedy: Text,
    /// Sent as `Retry-After` unless the place where it happens knows better.
    pub retry_after: Option<Duration>,
}

/// The word of this name.
pub fn find(name: &str) -> Option<&'static ErrorCode> {
    ALL.iter().copied().find(|w| w.name == name)
}

macro_rules! codes {
    ($($id:ident = $name:literal $status:literal $who:ident $(retry $seconds:literal)?
        [$zh:literal, $en:literal] [$do_zh:literal, $do_en:literal];)*) => {
        $(
            #[doc = $en]
            pub static $id: ErrorCode = ErrorCode {
                name: $name,
                status: $status,
                text: Text::fixed($zh, $en),
                who: Responsible::$who,
                remedy: Text::fixed($do_zh, $do_en),
                retry_after: codes!(@retry $($seconds)?),
            };
        )*
        /// Every word, in the order of the documentation.
        pub static ALL: &[&ErrorCode] = &[$(&$id),*];
    };
    (@retry $seconds:literal) => { Some(std::time::Duration::from_secs($seconds)) };
    (@retry) => { None };
}

pub(super) use codes;

codes! {
    // The log-in flow: what an action decided.
    INVALID_CODE = "invalid_code" 200 Client
        ["登录凭证无效或已过期", "The code is invalid or has expired."]
        ["重新调用 wx.login（手机号则重新获取 phone_code），用新的 code 再请求；code 有效期 5 分钟。", "Call wx.login again (for a phone number, get a new phone_code) and send the new code; a code lives 5 minutes."];
    CODE_USED = "code_used" 200 Client
        ["登录凭证已被使用", "The code has been used already."]
        ["每个 code 只能用一次：重新调用 wx.login。若频繁出现，检查是否有别的服务也在用同一 code 换取会话。", "A code serves once: call wx.login again. If this happens often, look for another service that exchanges the same codes."];
    USER_BLOCKED = "user_blocked" 200 Person
        ["该用户被平台判定为高风险，无法登录", "The platform blocks this person as high-risk."]
        ["请用户在平台侧处理账号风险；重试没有用。", "The person has to clear the risk with the platform; trying again is of no use."];
    TEST_OPENID_REFUSED = "test_openid_refused" 200 TenantAdmin
        ["不允许使用测试 openid", "This test openid is not allowed."]
        ["测试 openid 需要两处同时放行：网关配置 [testing] allow_test_openids = true，且租户文件 [actions.openid] test_openids 列出该 openid。生产环境请用 code。", "A test openid needs two permissions: [testing] allow_test_openids = true in the gateway's config, and that very openid in test_openids under [actions.openid] of the tenant's file. In production send a code."];
    BAD_CREDENTIALS = "bad_credentials" 200 Person
        ["账号或密码错误", "Wrong account or password."]
        ["核对账号与密码后再试；忘记密码请联系租户管理员。", "Check account and password and try again; if forgotten, ask the tenant's admin."];
    LOGIN_REFUSED = "login_refused" 200 Person
        ["登录服务拒绝了这次登录", "The tenant's log-in service refused."]
        ["按登录服务的提示处理；详情见租户自己的登录服务日志。", "Do as the log-in service says; its own log has the details."];
    METHOD_NOT_ALLOWED_HERE = "method_not_allowed_here" 200 Client
        ["该小程序未开通此登录方式", "This log-in method is not switched on for this mini-program."]
        ["换用已开通的登录方式，或请租户管理员在 [actions.login] methods 中加入。", "Use a method that is switched on, or have the tenant's admin add it to methods under [actions.login]."];
    DECRYPT_FAILED = "decrypt_failed" 200 Client
        ["加密数据无法解密：会话密钥已更换，或数据不完整", "The data can't be decrypted: the session key has changed, or the data is not whole."]
        ["先 wx.login 并用 a=openid 登录，再重新获取 encryptedData 与 iv，立即发送。", "Call wx.login and log in with a=openid first, then get encryptedData and iv anew and send them at once."];

    // Responsible is calling.
    LOGIN_REQUIRED = "login_required" 401 Client
        ["需要登录", "Log in first."]
        ["先用 a=openid 取得会话令牌，以 Authorization: Bearer <token> 发送；若 data.user 为 null，再调用 a=login。", "Get a session token with a=openid and send it as Authorization: Bearer <token>; where data.user was null, call a=login too."];
    SESSION_EXPIRED = "session_expired" 401 Client
        ["会话不存在或已过期", "The session does not exist or has expired."]
        ["重新调用 wx.login，再用 a=openid 取得新的会话令牌。", "Call wx.login again and get a new session token with a=openid."];
    RATE_LIMITED = "rate_limited" 429 Client retry 1
        ["请求过于频繁，请稍后再试", "Too many requests; try again shortly."]
        ["等待 Retry-After 所示秒数后再试，并减少重复请求；RateLimit 响应头说明触发了哪项限制。若限制过低，请租户管理员调整租户文件的 [limits] 或 [actions.名称.limits]。", "Wait as many seconds as Retry-After says, and ask less often; the header RateLimit names the limit. Where it is too low, have the tenant's admin raise it: [limits] or [actions.NAME.limits] in the tenant's file."];
    TOO_MANY_ATTEMPTS = "too_many_attempts" 429 Person retry 60
        ["尝试次数过多，请稍后再试", "Too many attempts; try again later."]
        ["等待 Retry-After 所示秒数后再试。", "Wait as many seconds as Retry-After says."];

    // The platform and the tenant's own services.
    PLATFORM_BUSY = "platform_busy" 503 Client retry 1
        ["平台繁忙，请稍后再试", "The platform is busy; try again shortly."]
        ["稍候用新的 code 重试；不要用同一 code 反复请求。", "Wait a moment and try with a new code; do not send the same code again and again."];
    PLATFORM_QUOTA = "platform_quota" 503 TenantAdmin retry 60
        ["平台调用次数已达上限", "The platform's quota for this mini-program is used up."]
        ["在平台控制台查看接口调用额度；分钟额度过一分钟恢复，日额度次日恢复，也可在控制台清零。", "See the API quotas in the platform's console: a minute's quota returns after a minute, a day's the next day, or reset it there."];
    PLATFORM_UNREACHABLE = "platform_unreachable" 502 Operator
        ["暂时无法连接平台", "The platform can't be reached at the moment."]
        ["检查网关到平台（base_url）的网络、DNS 与代理；客户端用新的 code 重试。", "Check network, DNS and proxy from the gateway to the platform (base_url); clients try again with a new code."];
    PLATFORM_ERROR = "platform_error" 502 TenantAdmin
        ["平台返回了错误", "The platform answered with an error."]
        ["按 data.errcode 查平台文档；联系平台支持时给出 data.rid。", "Look data.errcode up in the platform's documentation; give data.rid to its support."];
    TENANT_MISCONFIGURED = "tenant_misconfigured" 503 TenantAdmin
        ["该小程序的平台配置有误", "This mini-program's platform settings are wrong."]
        ["按 data.errcode 修正：appid、secret，或把网关出口 IP 加入平台的 IP 白名单。", "Mend what data.errcode says: appid, secret, or the gateway's address in the platform's IP list."];
    UPSTREAM_UNREACHABLE = "upstream_unreachable" 502 TenantAdmin
        ["暂时无法连接租户的服务", "The tenant's own service can't be reached at the moment."]
        ["检查租户文件中的服务地址，以及该服务是否正常。", "Check the service's address in the tenant's file, and whether the service is up."];
    UPSTREAM_ERROR = "upstream_error" 502 TenantAdmin
        ["租户的服务返回了无法理解的内容", "The tenant's own service answered with something unusable."]
        ["查看该服务的日志；它应按文档返回（登录服务：JSON；代理的后端：规范的 HTTP）。", "See that service's log; it should answer as documented: a log-in service JSON, a proxied back end proper HTTP."];
    UPSTREAM_TIMEOUT = "upstream_timeout" 504 TenantAdmin
        ["租户的服务未及时回答", "The tenant's own service did not answer in time."]
        ["查看该服务为何缓慢；确需更久时调大该动作的 timeout。请求可能已被执行：重试前先确认。", "See why that service is slow; where it needs longer, raise the action's timeout. The request may have been carried out: look before trying again."];
    UPSTREAM_UNAVAILABLE = "upstream_unavailable" 503 TenantAdmin retry 1
        ["租户的服务暂不可用，请稍后再试", "The tenant's own service is out of order; try again shortly."]
        ["该服务接连失败或健康检查未通过，网关暂不再转发；请求未被执行，可按 Retry-After 重试。服务恢复后网关自动恢复。", "It failed several times in a row, or its health checks fail, so it isn't asked for now. The request was not carried out: try again after Retry-After. The gateway recovers by itself once the service does."];

    // The request.
    MISSING_PARAMETER = "missing_parameter" 400 Client
        ["缺少参数", "A parameter is missing."]
        ["补上 msg 中所说的参数；空值等同于没有给。", "Send the parameter that msg names; an empty value counts as none."];
    BAD_PARAMETER = "bad_parameter" 400 Client
        ["参数有误", "A parameter is wrong."]
        ["按 msg 修正该参数的类型、长度、编码，或去掉重复。", "Mend its type, length or encoding as msg says, or send it once only."];
    BAD_BODY = "bad_body" 400 Client
        ["请求体无法解析", "The body can't be read."]
        ["发送 JSON 对象或表单，且与 Content-Type 一致。", "Send a JSON object or a form, as Content-Type says."];
    BAD_REQUEST = "bad_request" 400 Client
        ["请求格式有误", "The request is malformed."]
        ["按 HTTP 规范构造请求：POST /srv/?f=租户&a=动作。", "Make it a proper HTTP request: POST /srv/?f=<tenant>&a=<action>."];
    ORIGIN_REFUSED = "origin_refused" 403 TenantAdmin
        ["不允许该来源的网页调用", "Pages of this origin may not call."]
        ["把网页的来源（协议、主机与端口）加入租户文件的 [cors] origins。", "Add the page's origin (scheme, host and port) to origins under [cors] in the tenant's file."];
    UNKNOWN_TENANT = "unknown_tenant" 404 Client
        ["没有这个租户", "There is no such tenant."]
        ["检查 f=（或路径中的租户名）是否与租户文件名一致。", "Check that f= (or the tenant in the path) is the name of a tenant file."];
    UNKNOWN_ACTION = "unknown_action" 404 Client
        ["没有这个动作", "There is no such action."]
        ["检查 a=；动作须在租户文件中以 [actions.名称] 开启。", "Check a=; an action is switched on by [actions.NAME] in the tenant's file."];
    NOT_FOUND = "not_found" 404 Client
        ["没有这个地址", "There is nothing at this address."]
        ["网关只在 /srv/?f=…&a=… 与 /srv/{租户}/{动作} 提供服务。", "The gateway serves /srv/?f=…&a=… and /srv/{tenant}/{action} only."];
    WRONG_HTTP_METHOD = "wrong_http_method" 405 Client
        ["请使用 POST", "Use POST."]
        ["用 POST 请求。", "Send a POST request."];
    REQUEST_TIMEOUT = "request_timeout" 408 Client
        ["请求发送得太慢", "The request came too slowly."]
        ["检查网络后重试。", "Check the network and try again."];
    BODY_TOO_LARGE = "body_too_large" 413 Client
        ["请求体过大", "The body is too large."]
        ["缩小请求体，或请运维调大 [server] max_body。", "Send less, or have the operator raise max_body under [server]."];
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type" 415 Client
        ["不支持这种 Content-Type", "This Content-Type is not supported."]
        ["使用 application/json 或 application/x-www-form-urlencoded（UTF-8）。", "Use application/json or application/x-www-form-urlencoded, in UTF-8."];

    URI_TOO_LONG = "uri_too_long" 414 Client
        ["请求地址过长", "The URL is too long."]
        ["把参数放进请求体（JSON 或表单）。", "Send the parameters in the body, as JSON or a form."];
    HEADERS_TOO_LARGE = "headers_too_large" 431 Client
        ["请求头过大或过多", "The headers are too large or too many."]
        ["减少请求头；上限见 [server] max_headers 与 max_header_bytes。", "Send fewer or smaller headers; the limits are max_headers and max_header_bytes under [server]."];

    // The gateway.
    OVERLOADED = "overloaded" 503 Operator retry 1
        ["服务繁忙，请稍后再试", "The gateway is at its limit; try again shortly."]
        ["稍候重试；持续出现时扩容，或调大 [server] max_concurrent_requests；menlou_requests_shed_total{reason=\"store_busy\"} 增长时是内置的 SQLite 写入积压，请改用 Redis。只有个别租户如此时，看其租户文件的 concurrent 与 [server] max_concurrent_requests_per_tenant。", "Try again in a moment; if it lasts, add capacity or raise max_concurrent_requests under [server]; where menlou_requests_shed_total{reason=\"store_busy\"} grows, the embedded SQLite cannot keep up: use Redis. Where it is one tenant only, see concurrent in its file and max_concurrent_requests_per_tenant under [server]."];
    CALL_TIMEOUT = "call_timeout" 504 Operator
        ["处理超时", "The call took too long."]
        ["稍后重试；若频繁出现，查看日志中同一 request_id 的耗时。", "Try again; if it happens often, see the log of this request id."];
    STORE_UNAVAILABLE = "store_unavailable" 503 Operator retry 1
        ["存储暂不可用，请稍后再试", "The store is unavailable; try again shortly."]
        ["检查 Redis、PostgreSQL 或数据库文件；恢复后网关自动恢复。会话不会因此失效。", "Check Redis, PostgreSQL or the database file; the gateway recovers by itself. Sessions stay valid."];
    PLUGIN_UNAVAILABLE = "plugin_unavailable" 503 Operator
        ["该动作暂不可用", "This action is unavailable at the moment."]
        ["该动作的插件缺失或无法加载：用 menlou validate 查看原因。", "Its plugin is missing or can't be loaded: menlou validate says why."];
    PLUGIN_FAILED = "plugin_failed" 500 ActionAuthor
        ["该动作执行失败", "This action failed."]
        ["查看日志中同一 request_id 的插件错误（panic 或无效的回答）。", "See the plugin's error (a panic, or an unusable answer) in the log of this request id."];
    INTERNAL_ERROR = "internal_error" 500 Operator
        ["网关内部错误", "Something went wrong in the gateway."]
        ["查看日志中同一 request_id 的原因，并报告给维护者。", "See the cause in the log of this request id, and report it to the maintainers."];
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_word_stands_once_and_says_everything_in_both_languages() {
        let mut seen = HashSet::new();
        for w in ALL {
            assert!(seen.insert(w.name), "{} stands twice", w.name);
            assert!(w.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", w.name);
            for t in [&w.text, &w.remedy] {
                assert!(!t.zh.is_empty() && !t.en.is_empty(), "{}", w.name);
                assert!(t.zh.chars().any(|c| c as u32 > 0x2e80), "{} has no Chinese", w.name);
            }
            assert!(matches!(w.status, 200 | 400..=599), "{}", w.name);
            assert_eq!(find(w.name).map(|f| f.name), Some(w.name));
        }
    }
}
