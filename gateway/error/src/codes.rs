//! The table of error codes: for each code its status, its message, who has to act, and what to do.

use crate::text::Text;
use std::time::Duration;

/// Who can resolve an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Responsible {
    /// The developer of the mini-program.
    Client,
    /// The user of the mini-program.
    Person,
    /// The admin of the tenant's file and credentials.
    TenantAdmin,
    /// The operator of the gateway.
    Operator,
    /// The author of the action's plugin.
    ActionAuthor,
}

impl Responsible {
    /// The name of the role, for display.
    pub fn text(self) -> Text {
        match self {
            Self::Client => Text::fixed("客户端（小程序代码）", "client (the mini-program's code)"),
            Self::Person => Text::fixed("用户", "user"),
            Self::TenantAdmin => Text::fixed("租户管理员", "tenant admin"),
            Self::Operator => Text::fixed("网关运维", "operator"),
            Self::ActionAuthor => Text::fixed("插件作者", "action author"),
        }
    }
}

/// One error code. It is part of the contract with clients: a code is never renamed and never changes its meaning.
#[derive(Debug)]
pub struct ErrorCode {
    /// The value of the JSON field `"error"`.
    pub name: &'static str,
    /// HTTP status: 200 if an action decided the outcome, 4xx or 5xx if the gateway could not serve the request.
    pub status: u16,
    /// Default of the JSON field `msg`: short, for the people that use the mini-program.
    pub text: Text,
    /// Default of the JSON field `data.detail`, for developers; `None` if `text` says all.
    pub detail: Option<Text>,
    /// Who can resolve the error.
    pub who: Responsible,
    /// How to resolve the error.
    pub remedy: Text,
    /// Default of the header `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl ErrorCode {
    /// What the error means, for developers, admins and operators.
    pub fn meaning(&self) -> &Text {
        self.detail.as_ref().unwrap_or(&self.text)
    }
}

/// Finds an error code by its name.
pub fn find(name: &str) -> Option<&'static ErrorCode> {
    ALL.iter().copied().find(|code| code.name == name)
}

macro_rules! codes {
    ($($id:ident = $name:literal $status:literal $who:ident $(retry $seconds:literal)?
        [$zh:literal, $en:literal] $(detail [$detail_zh:literal, $detail_en:literal])?
        [$do_zh:literal, $do_en:literal];)*) => {
        $(
            #[doc = $en]
            pub static $id: ErrorCode = ErrorCode {
                name: $name,
                status: $status,
                text: Text::fixed($zh, $en),
                detail: codes!(@detail $($detail_zh $detail_en)?),
                who: Responsible::$who,
                remedy: Text::fixed($do_zh, $do_en),
                retry_after: codes!(@retry $($seconds)?),
            };
        )*
        /// All error codes, in the order of the documentation.
        pub static ALL: &[&ErrorCode] = &[$(&$id),*];
    };
    (@retry $seconds:literal) => { Some(std::time::Duration::from_secs($seconds)) };
    (@retry) => { None };
    (@detail $zh:literal $en:literal) => { Some(Text::fixed($zh, $en)) };
    (@detail) => { None };
}

pub(super) use codes;

codes! {
    // Login: outcomes decided by an action.
    INVALID_CODE = "invalid_code" 200 Client
        ["登录已失效，请重试", "The login failed; try again."]
        detail ["code 无效或已过期", "The code is invalid or has expired."]
        ["重新调用 wx.login（手机号则重新获取 phone_code），用新的 code 再请求；code 有效期 5 分钟。", "Call wx.login again (for a phone number, get a new phone_code) and send the new code. A code is valid for 5 minutes."];
    CODE_USED = "code_used" 200 Client
        ["登录已失效，请重试", "The login failed; try again."]
        detail ["code 已被使用", "The code has already been used."]
        ["每个 code 只能用一次：重新调用 wx.login。若频繁出现，检查是否有别的服务也在用同一 code 换取会话。", "Each code can be used once: call wx.login again. If this happens often, check whether another service exchanges the same codes."];
    USER_BLOCKED = "user_blocked" 200 Person
        ["账号存在风险，暂时无法登录", "Your account is at risk and cannot log in at the moment."]
        detail ["该用户被平台判定为高风险，无法登录", "The platform blocks this user as high-risk."]
        ["请用户在平台侧处理账号风险；重试无效。", "The user has to resolve the risk with the platform. Retrying does not help."];
    TEST_OPENID_REFUSED = "test_openid_refused" 200 TenantAdmin
        ["登录失败，请重试", "The login failed; try again."]
        detail ["不允许使用测试 openid", "This test openid is not allowed."]
        ["测试 openid 需要两处同时放行：网关配置 [testing] allow_test_openids = true，且租户文件 [actions.openid] test_openids 列出该 openid。生产环境请用 code。", "A test openid must be allowed in two places: [testing] allow_test_openids = true in the gateway's config, and the openid in [actions.openid] test_openids of the tenant's file. In production, send a code."];
    BAD_CREDENTIALS = "bad_credentials" 200 Person
        ["账号或密码错误", "Wrong account or password."]
        ["核对账号与密码后再试；忘记密码请联系租户管理员。", "Check the account and the password. If the password is lost, contact the tenant's admin."];
    LOGIN_REFUSED = "login_refused" 200 Person
        ["登录未被允许，请联系管理员", "The login is not permitted; contact your administrator."]
        detail ["登录服务拒绝了这次登录", "The tenant's login service rejected the login."]
        ["按登录服务的提示处理；详情见租户自己的登录服务日志。", "Follow the message of the login service. Its log has the details."];
    METHOD_NOT_ALLOWED_HERE = "method_not_allowed_here" 200 Client
        ["暂不支持这种登录方式", "This way to log in is not available."]
        detail ["该小程序未启用此登录方式", "This login method is not enabled for this mini-program."]
        ["使用已启用的登录方式，或请租户管理员在 [actions.login] methods 中加入。", "Use an enabled method, or ask the tenant's admin to add this one to [actions.login] methods."];
    INVALID_NAME = "invalid_name" 200 Person
        ["请填写看得见的姓名", "Enter a name that can be seen."]
        detail ["name 没有可见字符", "The parameter name has no visible character."]
        ["姓名须含可见字符：仅有空白、零宽或控制字符的姓名不被接受；其中的不可见字符与改变文字方向的字符会被去掉。", "A name must have visible characters: one of blanks, zero-width and control characters only is not accepted. Invisible characters, and those that change the direction of text, are removed."];
    INVALID_AVATAR_URL = "invalid_avatar_url" 200 Client
        ["头像不可用，请重新选择", "This picture cannot be used; choose another one."]
        detail ["avatar_url 不是公网的 https:// 地址", "avatar_url is not an https:// address that others can reach."]
        ["avatar_url 须为公网的 https:// 地址。chooseAvatar 得到的 http://tmp/… 与 wxfile://… 只在本机有效：先上传到自己的服务，再提交上传后的地址。", "avatar_url must be an https:// address that others can reach. What chooseAvatar returns (http://tmp/…, wxfile://…) is valid on that phone only: upload the file to your own service first and send its address."];
    DECRYPT_FAILED = "decrypt_failed" 200 Client
        ["获取信息失败，请重试", "The information could not be read; try again."]
        detail ["加密数据无法解密：会话密钥已更换，或数据不完整", "The data cannot be decrypted: the session key has changed, or the data is incomplete."]
        ["先 wx.login 并用 a=openid 登录，再重新获取 encryptedData 与 iv，立即发送。", "Call wx.login and log in with a=openid first, then get new encryptedData and iv and send them immediately."];

    // Authentication and limits of the caller.
    LOGIN_REQUIRED = "login_required" 401 Client
        ["请先登录", "Log in first."]
        detail ["没有会话令牌，或会话尚未登录账号", "There is no session token, or the session is not logged in to an account."]
        ["先用 a=openid 取得会话令牌，以 Authorization: Bearer <token> 发送；若 data.user 为 null，再调用 a=login。", "Get a session token with a=openid and send it as Authorization: Bearer <token>. If data.user is null, call a=login as well."];
    SESSION_EXPIRED = "session_expired" 401 Client
        ["登录已过期，请重新登录", "Your login has expired; log in again."]
        detail ["会话不存在或已过期", "The session does not exist or has expired."]
        ["重新调用 wx.login，再用 a=openid 取得新的会话令牌。", "Call wx.login again and get a new session token with a=openid."];
    RATE_LIMITED = "rate_limited" 429 Client retry 1
        ["请求过于频繁，请稍后再试", "Too many requests; try again shortly."]
        ["等待 Retry-After 所示秒数后再试，并减少重复请求；RateLimit 响应头说明触发了哪项限制。若限制过低，请租户管理员调整租户文件的 [limits] 或 [actions.名称.limits]。", "Wait for the number of seconds in Retry-After, and send fewer requests. The header RateLimit names the limit. If the limit is too low, ask the tenant's admin to raise it in [limits] or [actions.NAME.limits] of the tenant's file."];
    TOO_MANY_ATTEMPTS = "too_many_attempts" 429 Person retry 60
        ["尝试次数过多，请稍后再试", "Too many attempts; try again later."]
        ["等待 Retry-After 所示秒数后再试。", "Wait for the number of seconds in Retry-After."];

    // The platform and the tenant's services.
    PLATFORM_BUSY = "platform_busy" 503 Client retry 1
        ["平台繁忙，请稍后再试", "The platform is busy; try again shortly."]
        ["稍候用新的 code 重试；不要用同一 code 反复请求。", "Wait a moment and retry with a new code. Do not resend the same code."];
    PLATFORM_QUOTA = "platform_quota" 503 TenantAdmin retry 60
        ["服务繁忙，请稍后再试", "The service is busy; try again later."]
        detail ["平台调用次数已达上限", "The platform's quota for this mini-program is used up."]
        ["在平台控制台查看接口调用额度；分钟额度过一分钟恢复，日额度次日恢复，也可在控制台清零。", "See the API quotas in the platform's console. A per-minute quota recovers after one minute, a daily quota on the next day; it can also be reset in the console."];
    PLATFORM_UNREACHABLE = "platform_unreachable" 502 Operator
        ["网络繁忙，请稍后再试", "The network is busy; try again shortly."]
        detail ["暂时无法连接平台", "The platform is unreachable at the moment."]
        ["检查网关到平台（base_url）的网络、DNS 与代理；客户端用新的 code 重试。", "Check network, DNS and proxy from the gateway to the platform (base_url). Clients retry with a new code."];
    PLATFORM_ERROR = "platform_error" 502 TenantAdmin
        ["服务出错，请稍后再试", "Something went wrong; try again later."]
        detail ["平台返回了错误", "The platform returned an error."]
        ["按 data.errcode 查平台文档；联系平台支持时给出 data.rid。", "Look up data.errcode in the platform's documentation. Give data.rid to the platform's support."];
    TENANT_MISCONFIGURED = "tenant_misconfigured" 503 TenantAdmin
        ["服务暂不可用，请稍后再试", "The service is unavailable; try again later."]
        detail ["该小程序的平台配置有误", "This mini-program's platform settings are wrong."]
        ["按 data.errcode 修正：appid、secret，或把网关出口 IP 加入平台的 IP 白名单。", "Fix what data.errcode refers to: appid, secret, or the gateway's outgoing IP address in the platform's IP allowlist."];
    UPSTREAM_UNREACHABLE = "upstream_unreachable" 502 TenantAdmin
        ["服务暂不可用，请稍后再试", "The service is unavailable; try again shortly."]
        detail ["暂时无法连接租户的服务", "The tenant's service is unreachable at the moment."]
        ["检查租户文件中的服务地址，以及该服务是否正常。", "Check the address of the service in the tenant's file, and whether the service is running."];
    UPSTREAM_ERROR = "upstream_error" 502 TenantAdmin
        ["服务出错，请稍后再试", "Something went wrong; try again later."]
        detail ["租户的服务返回了无效的响应", "The tenant's service returned an invalid response."]
        ["查看该服务的日志；其响应应符合文档（登录服务：JSON；被代理的后端：规范的 HTTP）。", "See the log of the service. It must respond as documented: a login service with JSON, a proxied backend with valid HTTP."];
    UPSTREAM_TIMEOUT = "upstream_timeout" 504 TenantAdmin
        ["服务响应超时，请稍后查看结果", "The service did not respond in time; check the result later."]
        detail ["租户的服务响应超时", "The tenant's service did not respond in time."]
        ["查看该服务为何缓慢；确需更久时调大该动作的 timeout。请求可能已被执行：重试前先确认。", "Find out why the service is slow. If it needs more time, raise the action's timeout. The request may have been processed: check before retrying."];
    UPSTREAM_UNAVAILABLE = "upstream_unavailable" 503 TenantAdmin retry 1
        ["服务暂不可用，请稍后再试", "The service is unavailable; try again shortly."]
        detail ["租户的服务暂不可用，请稍后再试", "The tenant's service is unavailable; try again shortly."]
        ["该服务接连失败或健康检查未通过，网关暂不再转发；请求未被执行，可按 Retry-After 重试。服务恢复后网关自动恢复。", "The service failed several times in a row, or its health checks fail, so the gateway does not forward to it. The request was not processed: retry after Retry-After. The gateway resumes automatically when the service recovers."];

    // The request.
    MISSING_PARAMETER = "missing_parameter" 400 Client
        ["提交的内容不完整，请检查后重试", "Something is missing in what you entered; check it and try again."]
        detail ["缺少参数", "A parameter is missing."]
        ["补上 data.detail 中所说的参数；空值等同于没有给。", "Send the parameter that data.detail names. An empty value counts as missing."];
    BAD_PARAMETER = "bad_parameter" 400 Client
        ["提交的内容有误，请检查后重试", "Something in what you entered is wrong; check it and try again."]
        detail ["参数有误", "A parameter is invalid."]
        ["按 data.detail 修正该参数的类型、长度、编码，或去掉重复。", "Fix its type, length or encoding as data.detail says, or remove the duplicate."];
    BAD_BODY = "bad_body" 400 Client
        ["请求有误，请更新小程序后重试", "The request is wrong; update the app and try again."]
        detail ["请求体无法解析", "The request body cannot be parsed."]
        ["发送 JSON 对象或表单，且与 Content-Type 一致。", "Send a JSON object or a form, matching Content-Type."];
    BAD_REQUEST = "bad_request" 400 Client
        ["请求有误，请更新小程序后重试", "The request is wrong; update the app and try again."]
        detail ["请求格式有误；URL 中的非 ASCII 字符须做百分号编码", "The request is malformed. Characters of the URL that are not ASCII must be percent-encoded."]
        ["按 HTTP 规范构造请求：POST /srv/?f=租户&a=动作。URL 中的非 ASCII 字符须做百分号编码。", "Send a valid HTTP request: POST /srv/?f=<tenant>&a=<action>. Percent-encode characters of the URL that are not ASCII."];
    ORIGIN_REFUSED = "origin_refused" 403 TenantAdmin
        ["无法从这个网页访问", "This page cannot use the service."]
        detail ["不允许该来源的网页调用", "Requests from this origin are not allowed."]
        ["把网页的来源（协议、主机与端口）加入租户文件的 [cors] origins。", "Add the page's origin (scheme, host and port) to [cors] origins in the tenant's file."];
    UNKNOWN_TENANT = "unknown_tenant" 404 Client
        ["服务不存在或已停用", "The service does not exist or has been discontinued."]
        detail ["没有这个租户", "There is no such tenant."]
        ["检查 f=（或路径中的租户名）是否与租户文件名一致。", "Check that f= (or the tenant in the path) is the name of a tenant file."];
    UNKNOWN_ACTION = "unknown_action" 404 Client
        ["该功能暂不可用", "This function is unavailable at the moment."]
        detail ["没有这个动作", "There is no such action."]
        ["检查 a=；动作须在租户文件中以 [actions.名称] 启用。", "Check a=. An action must be enabled with [actions.NAME] in the tenant's file."];
    NOT_FOUND = "not_found" 404 Client
        ["请求有误，请更新小程序后重试", "The request is wrong; update the app and try again."]
        detail ["没有这个路径", "There is no such path."]
        ["网关只在 /srv/?f=…&a=… 与 /srv/{租户}/{动作} 提供服务。", "The gateway serves /srv/?f=…&a=… and /srv/{tenant}/{action} only."];
    WRONG_HTTP_METHOD = "wrong_http_method" 405 Client
        ["请求有误，请更新小程序后重试", "The request is wrong; update the app and try again."]
        detail ["请使用 POST", "Use POST."]
        ["用 POST 请求。", "Send a POST request."];
    REQUEST_TIMEOUT = "request_timeout" 408 Client
        ["网络较慢，请重试", "The network is slow; try again."]
        detail ["请求接收超时", "The request was not received in time."]
        ["检查网络后重试。", "Check the network and try again."];
    BODY_TOO_LARGE = "body_too_large" 413 Client
        ["提交的内容过大，请减少后重试", "What you sent is too large; send less and try again."]
        detail ["请求体过大", "The request body is too large."]
        ["缩小请求体，或请运维调大 [server] max_body。", "Send a smaller body, or ask the operator to raise [server] max_body."];
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type" 415 Client
        ["请求有误，请更新小程序后重试", "The request is wrong; update the app and try again."]
        detail ["Content-Type 应为 application/json 或 application/x-www-form-urlencoded（UTF-8）", "Content-Type must be application/json or application/x-www-form-urlencoded, in UTF-8."]
        ["使用 application/json 或 application/x-www-form-urlencoded（UTF-8），不要压缩请求体；上传文件请用 plugin = \"proxy\" 的动作。", "Use application/json or application/x-www-form-urlencoded, encoded in UTF-8, and do not compress the body. Upload files through an action with plugin = \"proxy\"."];

    URI_TOO_LONG = "uri_too_long" 414 Client
        ["请求有误，请更新小程序后重试", "The request is wrong; update the app and try again."]
        detail ["请求地址过长", "The URL is too long."]
        ["把参数放进请求体（JSON 或表单）。", "Send the parameters in the body, as JSON or a form."];
    HEADERS_TOO_LARGE = "headers_too_large" 431 Client
        ["请求有误，请更新小程序后重试", "The request is wrong; update the app and try again."]
        detail ["请求头过大或过多", "The request headers are too large or too many."]
        ["减少请求头；上限见 [server] max_headers 与 max_header_bytes。", "Send fewer or smaller headers. The limits are [server] max_headers and max_header_bytes."];

    // The gateway.
    OVERLOADED = "overloaded" 503 Operator retry 1
        ["服务繁忙，请稍后再试", "The service is busy; try again shortly."]
        detail ["服务繁忙，请稍后再试", "The gateway is overloaded; try again shortly."]
        ["稍候重试；持续出现时扩容，或调大 [server] max_concurrent_requests。若 menlou_requests_shed_total{reason=\"store_busy\"} 增长，说明内置的 SQLite 写入积压，请改用 Redis。若只有个别租户如此，检查租户文件的 limits.max_concurrent 与 [server] max_concurrent_requests_per_tenant。", "Retry after a moment. If it persists, add capacity or raise [server] max_concurrent_requests. If menlou_requests_shed_total{reason=\"store_busy\"} grows, the embedded SQLite cannot keep up: use Redis. If only one tenant is affected, check limits.max_concurrent in its file and [server] max_concurrent_requests_per_tenant."];
    CALL_TIMEOUT = "call_timeout" 504 Operator
        ["处理超时", "The request took too long."]
        ["稍后重试；若频繁出现，查看日志中同一 request_id 的耗时。", "Retry. If it happens often, search the log for this request_id."];
    STORE_UNAVAILABLE = "store_unavailable" 503 Operator retry 1
        ["服务暂不可用，请稍后再试", "The service is unavailable; try again shortly."]
        detail ["存储暂不可用，请稍后再试", "The store is unavailable; try again shortly."]
        ["检查 Redis、PostgreSQL 或数据库文件；恢复后网关自动恢复。会话不会因此失效。", "Check Redis, PostgreSQL or the database file. The gateway recovers automatically. Sessions stay valid."];
    PLUGIN_UNAVAILABLE = "plugin_unavailable" 503 Operator
        ["该功能暂不可用", "This function is unavailable at the moment."]
        detail ["该动作暂不可用", "This action is unavailable at the moment."]
        ["该动作的插件缺失或无法加载：用 menlou validate 查看原因。", "The action's plugin is missing or cannot be loaded: run menlou validate for the reason."];
    PLUGIN_FAILED = "plugin_failed" 500 ActionAuthor
        ["操作失败，请稍后再试", "Something went wrong; try again later."]
        detail ["该动作执行失败", "This action failed."]
        ["查看日志中同一 request_id 的插件错误（panic 或无效的响应）。", "Search the log for the plugin's error with this request_id (a panic or an invalid response)."];
    INTERNAL_ERROR = "internal_error" 500 Operator
        ["服务出错，请稍后再试", "Something went wrong; try again later."]
        detail ["网关内部错误", "Internal error in the gateway."]
        ["查看日志中同一 request_id 的原因，并报告给维护者。", "Search the log for the cause with this request_id, and report it to the maintainers."];
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_code_is_unique_and_described_in_both_languages() {
        let mut seen = HashSet::new();
        for code in ALL {
            assert!(seen.insert(code.name), "{} is defined twice", code.name);
            assert!(code.name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", code.name);
            for t in [Some(&code.text), Some(&code.remedy), code.detail.as_ref()].into_iter().flatten() {
                assert!(!t.zh.is_empty() && !t.en.is_empty(), "{}", code.name);
                assert!(t.zh.chars().any(|c| c as u32 > 0x2e80), "{} has no Chinese", code.name);
            }
            assert!(matches!(code.status, 200 | 400..=599), "{}", code.name);
            assert_eq!(find(code.name).map(|f| f.name), Some(code.name));
        }
    }

    /// A message for people is short, and names nothing that only developers know.
    #[test]
    fn messages_are_for_people() {
        for code in ALL {
            let Text { zh, en } = &code.text;
            assert!(zh.chars().count() <= 24 && en.chars().count() <= 80, "{}: {zh} {en}", code.name);
            for word in
                ["_", "token", "code", "parameter", "HTTP", "Content-Type", "POST", "openid", "gateway", "plugin"]
            {
                assert!(!zh.contains(word) && !en.contains(word), "{}: {word}", code.name);
            }
            for word in ["参数", "租户", "动作", "网关", "凭证", "令牌", "会话", "插件", "请求体", "路径", "存储"]
            {
                assert!(!zh.contains(word), "{}: {word}", code.name);
            }
        }
    }
}
