//! The table of WeChat's error codes: the error code of the response, the meaning, who has to act, and what to do.

use menlou_error::text::Text;
use menlou_error::{ErrorCode, Responsible, codes};
use std::time::Duration;

/// One of WeChat's error codes, with its meaning from WeChat's documentation (developers.weixin.qq.com).
#[derive(Debug)]
pub struct Errcode {
    /// The number in `errcode`.
    pub code: i64,
    /// The error code of the gateway's response.
    pub error: &'static ErrorCode,
    /// What it means.
    pub meaning: Text,
    /// Who has to act.
    pub responsible: Responsible,
    /// What to do.
    pub remedy: Text,
    /// Where in WeChat's console it can be fixed, if there.
    pub location: Option<Text>,
    /// When to try again, if that differs from the default of the error code.
    pub retry_after: Option<Duration>,
}

/// The entry of this code. WeChat may return other codes too; those become `platform_error` and keep their number.
pub fn find(code: i64) -> Option<&'static Errcode> {
    ALL.iter().find(|e| e.code == code)
}

/// The explanation of an error: what it means, who can fix it, how, and where.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What it means.
    pub meaning: Text,
    /// Who has to act.
    pub responsible: Responsible,
    /// What to do.
    pub remedy: Text,
    /// Where in WeChat's console, if it can be fixed there.
    pub location: Option<Text>,
}

/// The explanation of this code; `None` if the code is unknown.
pub fn explain(code: i64) -> Option<Explanation> {
    find(code).map(|e| Explanation {
        meaning: e.meaning.clone(),
        responsible: e.responsible,
        remedy: e.remedy.clone(),
        location: e.location.clone(),
    })
}

/// The pages of WeChat's console. WeChat is moving parts of it to developers.weixin.qq.com.
mod pages {
    use menlou_error::text::Text;

    pub const CREDENTIALS: Text = Text::fixed(
        "小程序后台 mp.weixin.qq.com：开发管理 → 开发设置 → 开发者 ID（已迁移的账号在 developers.weixin.qq.com 的“开发密钥”）",
        "mp.weixin.qq.com: 开发管理 (development) → 开发设置 (settings) → 开发者 ID; for migrated accounts: 开发密钥 (keys) at developers.weixin.qq.com",
    );
    pub const IP_LIST: Text = Text::fixed(
        "小程序后台 mp.weixin.qq.com：开发管理 → 开发设置 → IP 白名单（不是“小程序代码上传”的 IP 白名单；已迁移的账号在 developers.weixin.qq.com 的“API IP 白名单”）",
        "mp.weixin.qq.com: 开发管理 (development) → 开发设置 (settings) → IP 白名单 (IP allowlist), not the one of 小程序代码上传 (code upload); for migrated accounts: API IP 白名单 at developers.weixin.qq.com",
    );
    pub const PERMISSIONS: Text = Text::fixed(
        "小程序后台 mp.weixin.qq.com：开发管理 → 接口设置；认证在“设置 → 基本设置”",
        "mp.weixin.qq.com: 开发管理 (development) → 接口设置 (APIs); for verification: 设置 → 基本设置 (settings)",
    );
    pub const USAGE: Text = Text::fixed(
        "小程序后台 mp.weixin.qq.com：开发管理 → 接口设置，查看与清零调用次数",
        "mp.weixin.qq.com: 开发管理 (development) → 接口设置 (APIs), which shows and resets the request counts",
    );
    pub const NOTICES: Text = Text::fixed(
        "小程序后台 mp.weixin.qq.com：首页的通知中心，以及“违规记录”",
        "mp.weixin.qq.com: 通知中心 (notices) on the first page, and 违规记录 (violations)",
    );
    pub const CONFIRMATION: Text = Text::fixed(
        "小程序管理员的微信：“公众平台安全助手”的消息",
        "the administrator's own WeChat: the message of 公众平台安全助手 (security assistant)",
    );
}

macro_rules! errcodes {
    ($($code:literal $error:ident $responsible:ident $(at $page:ident)? $(retry $seconds:literal)?
        [$zh:literal, $en:literal] [$remedy_zh:literal, $remedy_en:literal];)*) => {
        /// Every known code, in ascending order.
        pub static ALL: &[Errcode] = &[$(Errcode {
            code: $code,
            error: &codes::$error,
            meaning: Text::fixed($zh, $en),
            responsible: Responsible::$responsible,
            remedy: Text::fixed($remedy_zh, $remedy_en),
            location: errcodes!(@at $($page)?),
            retry_after: errcodes!(@retry $($seconds)?),
        }),*];
    };
    (@retry $seconds:literal) => { Some(Duration::from_secs($seconds)) };
    (@retry) => { None };
    (@at $page:ident) => { Some(pages::$page) };
    (@at) => { None };
}

errcodes! {
    -1 PLATFORM_BUSY Client
        ["微信系统繁忙", "WeChat is busy"]
        ["稍候用新的 code 重试；同一 code 可能已被消费，不要重复提交。", "Wait a moment and retry with a new code. The old one may be used up, so do not send it again."];
    40001 PLATFORM_ERROR TenantAdmin at CREDENTIALS
        ["access_token 无效或不是最新的，或 AppSecret 有误", "The access_token is invalid or not the latest, or the AppSecret is wrong"]
        ["网关已自动刷新并重试过一次；若持续出现，检查是否有别的服务用同一 AppSecret 强制刷新 access_token。", "The gateway has already renewed the token and retried once. If it persists, check for another service that forces refreshes with the same AppSecret."];
    40002 INTERNAL_ERROR Operator
        ["grant_type 不合法", "The grant_type is invalid"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a bug in the gateway: report it to the maintainers with data.rid."];
    40003 PLATFORM_ERROR ActionAuthor
        ["openid 不合法，或不属于该小程序", "The openid is invalid, or belongs to another mini-program"]
        ["检查 openid 是否由同一 AppID 取得。", "Check that the openid was obtained with the same AppID."];
    40013 TENANT_MISCONFIGURED TenantAdmin at CREDENTIALS
        ["AppID 不合法", "The AppID is invalid"]
        ["核对租户文件 [wechat] appid 与小程序后台的 AppID 是否一致。", "Check that appid under [wechat] in the tenant file equals the AppID in the mini-program's console."];
    40014 PLATFORM_ERROR TenantAdmin
        ["access_token 不合法", "The access_token is invalid"]
        ["网关已自动刷新并重试过一次；若持续出现，检查 base_url 是否指向正确的环境。", "The gateway has already renewed the token and retried once. If it persists, check that base_url points to the right environment."];
    40029 INVALID_CODE Client
        ["code 无效或已过期，或属于另一个小程序，或不是登录用的 code", "The code is invalid or expired, belongs to another mini-program, or is not a login code"]
        ["重新调用 wx.login；getPhoneNumber 的 code 不能用于登录，反之亦然；确认 f= 所指租户的 AppID 就是该小程序。", "Call wx.login again. Do not use a code of getPhoneNumber for login, or a login code for phone numbers. Check that the tenant in f= has the AppID of this mini-program."];
    40037 PLATFORM_ERROR ActionAuthor
        ["template_id 不合法", "The template_id is invalid"]
        ["在小程序后台核对订阅消息模板的编号。", "Check the template's id in the mini-program's console."];
    40097 PLATFORM_ERROR ActionAuthor
        ["参数错误", "A parameter is wrong"]
        ["对照微信文档检查该接口的参数。", "Check the parameters of the request against WeChat's documentation."];
    40125 TENANT_MISCONFIGURED TenantAdmin at CREDENTIALS
        ["AppSecret 不正确", "The AppSecret is wrong"]
        ["核对租户文件 [wechat] secret；若在小程序后台重置过 AppSecret，更新为新值。", "Check secret under [wechat] in the tenant file. If the AppSecret was reset in the console, enter the new one."];
    40129 PLATFORM_ERROR ActionAuthor
        ["scene 参数不正确", "The scene is wrong"]
        ["对照微信文档检查 scene 的取值、长度与字符。", "Check the value, length and characters of scene against WeChat's documentation."];
    40163 CODE_USED Client
        ["code 已被使用", "The code has been used"]
        ["重新调用 wx.login；若频繁出现，检查是否重复提交，或有别的服务在用同一 code。", "Call wx.login again. If it happens often, check for duplicate requests or another service that uses the same codes."];
    40164 TENANT_MISCONFIGURED TenantAdmin at IP_LIST
        ["网关的出口 IP 不在小程序的 IP 白名单中", "The gateway's outgoing IP address is not in the mini-program's IP allowlist"]
        ["在小程序后台的 IP 白名单中加入网关的出口 IP，每行一个（menlou tenant verify 与网关日志会说明微信看到的 IP）。", "Add the gateway's outgoing IP address to the IP allowlist in the console, one address per line. menlou tenant verify and the gateway's log show the address that WeChat saw."];
    40169 PLATFORM_ERROR ActionAuthor
        ["scene 过长，或数据不是 JSON", "The scene is too long, or the data is not JSON"]
        ["scene 最长 32 个字符；请求体须为 JSON。", "A scene has at most 32 characters. The body must be JSON."];
    40226 USER_BLOCKED Person
        ["高风险用户，登录被拦截", "High-risk user: the login is blocked"]
        ["请用户在微信侧处理账号风险；重试没有用。", "The user has to resolve the account risk in WeChat. Retrying does not help."];
    40243 TENANT_MISCONFIGURED TenantAdmin at CREDENTIALS
        ["AppSecret 已被冻结", "The AppSecret is frozen"]
        ["登录小程序后台解冻 AppSecret。", "Unfreeze the AppSecret in the mini-program's console."];
    41001 INTERNAL_ERROR Operator
        ["缺少 access_token", "The access_token is missing"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a bug in the gateway: report it to the maintainers with data.rid."];
    41002 INTERNAL_ERROR Operator
        ["缺少 appid", "The appid is missing"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a bug in the gateway: report it to the maintainers with data.rid."];
    41004 INTERNAL_ERROR Operator
        ["缺少 secret", "The secret is missing"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a bug in the gateway: report it to the maintainers with data.rid."];
    41008 INTERNAL_ERROR Operator
        ["缺少 code", "The code is missing"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a bug in the gateway: report it to the maintainers with data.rid."];
    41030 PLATFORM_ERROR ActionAuthor
        ["page 路径不正确，或页面尚未发布", "The path of the page is wrong, or the page is not published"]
        ["page 须是已发布版本中存在的页面，开头不加 /。", "The page must exist in the published version. Write its path without a leading slash."];
    42001 PLATFORM_ERROR TenantAdmin
        ["access_token 已过期", "The access_token has expired"]
        ["网关已自动刷新并重试过一次；若持续出现，检查网关主机的时钟。", "The gateway has already renewed the token and retried once. If it persists, check the clock of the gateway's host."];
    42003 INVALID_CODE Client
        ["code 已过期", "The code has expired"]
        ["重新调用 wx.login；code 有效期 5 分钟。", "Call wx.login again. A code is valid for 5 minutes."];
    43002 INTERNAL_ERROR Operator
        ["该接口须用 POST 调用", "This API requires POST"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a bug in the gateway: report it to the maintainers with data.rid."];
    43101 PLATFORM_ERROR Person
        ["用户拒绝接收该消息", "The user declined this message"]
        ["用户须先在小程序内订阅该消息。", "The user has to subscribe to the message in the mini-program first."];
    43104 PLATFORM_ERROR ActionAuthor
        ["AppID 与 openid 不匹配", "AppID and openid do not match"]
        ["检查 openid 是否由同一 AppID 取得。", "Check that the openid was obtained with the same AppID."];
    43107 PLATFORM_ERROR TenantAdmin at NOTICES
        ["订阅消息能力已被封禁", "Subscription messages are banned for this mini-program"]
        ["在小程序后台查看违规与封禁情况。", "Check the violations and bans in the mini-program's console."];
    43108 PLATFORM_ERROR ActionAuthor
        ["正在并发地向同一用户下发消息", "Messages are being sent to the same user concurrently"]
        ["对同一用户逐条下发。", "Send messages to one user one after another."];
    44991 PLATFORM_QUOTA TenantAdmin at USAGE
        ["超出接口调用频率限制", "The rate limit of this API is exceeded"]
        ["降低调用频率，或在小程序后台申请提高额度。", "Send requests less often, or request a higher quota in the console."];
    45009 PLATFORM_QUOTA TenantAdmin at USAGE retry 600
        ["接口当日调用次数已达上限", "The daily quota of this API is used up"]
        ["次日恢复；也可在小程序后台查看用量并清零。", "It recovers the next day. You can also check and reset the usage in the console."];
    45011 PLATFORM_BUSY Client retry 60
        ["调用太频繁，超出每分钟限制", "Too many requests: the limit per minute is exceeded"]
        ["一分钟后再试；检查客户端是否在循环调用。", "Try again in a minute. Check for clients that send requests in a loop."];
    45168 PLATFORM_ERROR ActionAuthor
        ["内容命中敏感词", "The content contains forbidden words"]
        ["修改消息内容。", "Change the message."];
    47001 INTERNAL_ERROR Operator
        ["请求体不是合法的 JSON", "The request body is not valid JSON"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a bug in the gateway: report it to the maintainers with data.rid."];
    47003 PLATFORM_ERROR ActionAuthor
        ["模板参数不准确", "The data does not match the template"]
        ["对照模板检查各字段的名称、长度与格式。", "Check the names, lengths and formats of the fields against the template."];
    48001 TENANT_MISCONFIGURED TenantAdmin at PERMISSIONS
        ["该小程序没有此接口的权限", "The mini-program has no permission for this API"]
        ["确认小程序已认证，并在小程序后台开通该接口（如获取手机号）。", "Make sure that the mini-program is verified, and enable the API (such as phone numbers) in the console."];
    48004 TENANT_MISCONFIGURED TenantAdmin at NOTICES
        ["该接口因违规被封禁", "This API is banned because of violations"]
        ["在小程序后台查看封禁原因与期限，整改后申诉。", "Check the reason and duration in the console, correct the violation, and appeal."];
    50002 TENANT_MISCONFIGURED TenantAdmin at NOTICES
        ["该小程序被限制使用接口，通常因违规或账号被冻结", "The mini-program may not use WeChat's APIs, usually because of violations or a frozen account"]
        ["在小程序后台查看账号状态、封禁原因与期限，解除后自动恢复。", "Check the status of the account, the reason and the duration in the console. It recovers when the restriction is lifted."];
    50004 TENANT_MISCONFIGURED TenantAdmin at NOTICES
        ["该小程序被禁止使用 token 接口", "The mini-program may not use the token API"]
        ["在小程序后台查看账号状态与处罚。", "Check the status and penalties of the account in the console."];
    50007 TENANT_MISCONFIGURED TenantAdmin at NOTICES
        ["小程序账号已被冻结", "The mini-program's account is frozen"]
        ["在小程序后台解冻账号。", "Unfreeze the account in the console."];
    61010 PLATFORM_ERROR Client
        ["用户近两小时内未访问小程序", "The user has not used the mini-program in the last two hours"]
        ["只能检查近两小时内访问过的用户所发的内容。", "Only content of users who were active in the last two hours can be checked."];
    85096 PLATFORM_ERROR ActionAuthor
        ["scancode_time 是系统保留参数", "scancode_time is a reserved parameter"]
        ["从 scene 或 page 中去掉 scancode_time。", "Remove scancode_time from scene or page."];
    87007 SESSION_EXPIRED Client
        ["session_key 不存在或已过期", "The session_key does not exist or has expired"]
        ["重新调用 wx.login，再用 a=openid 登录。", "Call wx.login again and log in with a=openid."];
    87008 INTERNAL_ERROR Operator
        ["sig_method 不合法", "The sig_method is invalid"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a bug in the gateway: report it to the maintainers with data.rid."];
    87009 SESSION_EXPIRED Client
        ["签名无效：session_key 已更换", "The signature is invalid: the session_key has changed"]
        ["重新调用 wx.login，再用 a=openid 登录。", "Call wx.login again and log in with a=openid."];
    89501 TENANT_MISCONFIGURED TenantAdmin at CONFIRMATION
        ["此 IP 正在等待管理员确认", "This IP address is waiting for the administrator's confirmation"]
        ["请管理员在微信中确认。", "Ask the administrator to confirm it in WeChat."];
    89503 TENANT_MISCONFIGURED TenantAdmin at CONFIRMATION
        ["此次调用须由小程序管理员确认", "The mini-program's administrator must confirm this request"]
        ["请管理员在微信中确认，再等待片刻。", "Ask the administrator to confirm it in WeChat, then wait a moment."];
    89506 TENANT_MISCONFIGURED TenantAdmin at CONFIRMATION
        ["管理员拒绝了该 IP 的调用，24 小时内不可用", "The administrator rejected this IP address: it is blocked for 24 hours"]
        ["24 小时后再试，并请管理员确认。", "Try again after 24 hours, and ask the administrator to confirm."];
    89507 TENANT_MISCONFIGURED TenantAdmin at CONFIRMATION
        ["管理员拒绝了该 IP 的调用，1 小时内不可用", "The administrator rejected this IP address: it is blocked for one hour"]
        ["1 小时后再试，并请管理员确认。", "Try again after one hour, and ask the administrator to confirm."];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_and_described_in_both_languages() {
        for pair in ALL.windows(2) {
            assert!(pair[0].code < pair[1].code, "{} stands before {}", pair[0].code, pair[1].code);
        }
        for e in ALL {
            assert_eq!(find(e.code).map(|f| f.code), Some(e.code));
            for t in [&e.meaning, &e.remedy] {
                assert!(t.zh.chars().any(|c| c as u32 > 0x2e80), "{} has no Chinese", e.code);
                assert!(t.en.is_ascii() && t.en.len() > 10, "{} has no English", e.code);
            }
        }
        assert!(find(1).is_none());
    }
}
