//! The table of WeChat's error codes: for each the word we answer with, what it means, who has to act, and what to do.

use menlou_error::text::Text;
use menlou_error::{ErrorCode, Responsible, codes};
use std::time::Duration;

/// One error code of WeChat's; its meaning is that of WeChat's published documentation (developers.weixin.qq.com).
#[derive(Debug)]
pub struct Errcode {
    /// The number in `errcode`.
    pub code: i64,
    /// The word that we answer with.
    pub error: &'static ErrorCode,
    /// What it means.
    pub meaning: Text,
    /// Who has to act.
    pub responsible: Responsible,
    /// What to do.
    pub remedy: Text,
    /// Where in WeChat's console it is mended, where it is there.
    pub location: Option<Text>,
    /// When it is worth trying again, where that is not as the word says.
    pub retry_after: Option<Duration>,
}

/// What is known of this code. The set is open: what is not listed is answered as `platform_error` and keeps its number.
pub fn find(code: i64) -> Option<&'static Errcode> {
    ALL.iter().find(|e| e.code == code)
}

/// An error in words: what it is, who can mend it, how, and where.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// What it means.
    pub meaning: Text,
    /// Who has to act.
    pub responsible: Responsible,
    /// What to do.
    pub remedy: Text,
    /// Where in WeChat's console, where it is mended there.
    pub location: Option<Text>,
}

/// This code in words, for whoever has to mend it; `None` where it is not known.
pub fn explain(code: i64) -> Option<Explanation> {
    find(code).map(|e| Explanation {
        meaning: e.meaning.clone(),
        responsible: e.responsible,
        remedy: e.remedy.clone(),
        location: e.location.clone(),
    })
}

/// The pages of WeChat's console. Parts of it move from time to time, most lately to the platform for developers.
mod places {
    use menlou_error::text::Text;

    pub const CREDENTIALS: Text = Text::fixed(
        "小程序后台 mp.weixin.qq.com：开发管理 → 开发设置 → 开发者 ID（已迁移的账号在 developers.weixin.qq.com 的“开发密钥”）",
        "mp.weixin.qq.com: 开发管理 (development) → 开发设置 (settings) → 开发者 ID; of accounts that have moved, 开发密钥 (keys) at developers.weixin.qq.com",
    );
    pub const ADDRESSES: Text = Text::fixed(
        "小程序后台 mp.weixin.qq.com：开发管理 → 开发设置 → IP 白名单（不是“小程序代码上传”的 IP 白名单；已迁移的账号在 developers.weixin.qq.com 的“API IP 白名单”）",
        "mp.weixin.qq.com: 开发管理 (development) → 开发设置 (settings) → IP 白名单 (IP list), not the one of 小程序代码上传 (code upload); of accounts that have moved, API IP 白名单 at developers.weixin.qq.com",
    );
    pub const GRANTS: Text = Text::fixed(
        "小程序后台 mp.weixin.qq.com：开发管理 → 接口设置；认证在“设置 → 基本设置”",
        "mp.weixin.qq.com: 开发管理 (development) → 接口设置 (APIs); verification is under 设置 → 基本设置 (settings)",
    );
    pub const USAGE: Text = Text::fixed(
        "小程序后台 mp.weixin.qq.com：开发管理 → 接口设置，查看与清零调用次数",
        "mp.weixin.qq.com: 开发管理 (development) → 接口设置 (APIs) shows and resets the counts",
    );
    pub const STANDING: Text = Text::fixed(
        "小程序后台 mp.weixin.qq.com：首页的通知中心，以及“违规记录”",
        "mp.weixin.qq.com: 通知中心 (notices) on the first page, and 违规记录 (violations)",
    );
    pub const CONFIRMATION: Text = Text::fixed(
        "小程序管理员的微信：“公众平台安全助手”的消息",
        "the admin's own WeChat: the message of 公众平台安全助手 (security assistant)",
    );
}

macro_rules! errcodes {
    ($($code:literal $word:ident $who:ident $(at $place:ident)? $(retry $seconds:literal)?
        [$zh:literal, $en:literal] [$do_zh:literal, $do_en:literal];)*) => {
        /// Every known code, in ascending order.
        pub static ALL: &[Errcode] = &[$(Errcode {
            code: $code,
            error: &codes::$word,
            meaning: Text::fixed($zh, $en),
            responsible: Responsible::$who,
            remedy: Text::fixed($do_zh, $do_en),
            location: errcodes!(@at $($place)?),
            retry_after: errcodes!(@retry $($seconds)?),
        }),*];
    };
    (@retry $seconds:literal) => { Some(Duration::from_secs($seconds)) };
    (@retry) => { None };
    (@at $place:ident) => { Some(places::$place) };
    (@at) => { None };
}

errcodes! {
    -1 PLATFORM_BUSY Client
        ["微信系统繁忙", "WeChat is busy"]
        ["稍候用新的 code 重试；同一 code 可能已被消费，不要重复提交。", "Wait a moment and try with a new code; the old one may be spent, so do not send it again."];
    40001 PLATFORM_ERROR TenantAdmin at CREDENTIALS
        ["access_token 无效或不是最新的，或 AppSecret 有误", "The access_token is invalid or not the latest, or the AppSecret is wrong"]
        ["网关已自动刷新并重试过一次；若持续出现，检查是否有别的服务用同一 AppSecret 强制刷新 access_token。", "The gateway has renewed it and tried again once; if it lasts, look for another service that forces refreshes with the same AppSecret."];
    40002 INTERNAL_ERROR Operator
        ["grant_type 不合法", "The grant_type is invalid"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a fault of the gateway: report it to the maintainers with data.rid."];
    40003 PLATFORM_ERROR ActionAuthor
        ["openid 不合法，或不属于该小程序", "The openid is invalid, or not of this mini-program"]
        ["检查 openid 是否由同一 AppID 取得。", "Check that the openid was obtained under the same AppID."];
    40013 TENANT_MISCONFIGURED TenantAdmin at CREDENTIALS
        ["AppID 不合法", "The AppID is invalid"]
        ["核对租户文件 [wechat] appid 与小程序后台的 AppID 是否一致。", "Compare appid under [wechat] in the tenant's file with the AppID in the mini-program's console."];
    40014 PLATFORM_ERROR TenantAdmin
        ["access_token 不合法", "The access_token is invalid"]
        ["网关已自动刷新并重试过一次；若持续出现，检查 base_url 是否指向正确的环境。", "The gateway has renewed it and tried again once; if it lasts, check that base_url points to the right place."];
    40029 INVALID_CODE Client
        ["code 无效或已过期，或属于另一个小程序，或不是登录用的 code", "The code is invalid or expired, or of another mini-program, or of another kind"]
        ["重新调用 wx.login；getPhoneNumber 的 code 不能用于登录，反之亦然；确认 f= 所指租户的 AppID 就是该小程序。", "Call wx.login again; a code of getPhoneNumber is no login code, nor the other way round; check that the tenant of f= has this mini-program's AppID."];
    40037 PLATFORM_ERROR ActionAuthor
        ["template_id 不合法", "The template_id is invalid"]
        ["在小程序后台核对订阅消息模板的编号。", "Check the template's id in the mini-program's console."];
    40097 PLATFORM_ERROR ActionAuthor
        ["参数错误", "A parameter is wrong"]
        ["对照微信文档检查该接口的参数。", "Check the call's parameters against WeChat's documentation."];
    40125 TENANT_MISCONFIGURED TenantAdmin at CREDENTIALS
        ["AppSecret 不正确", "The AppSecret is wrong"]
        ["核对租户文件 [wechat] secret；若在小程序后台重置过 AppSecret，更新为新值。", "Check secret under [wechat] in the tenant's file; if the AppSecret was reset in the console, put the new one there."];
    40129 PLATFORM_ERROR ActionAuthor
        ["scene 参数不正确", "The scene is wrong"]
        ["对照微信文档检查 scene 的取值、长度与字符。", "Check value, length and characters of scene against WeChat's documentation."];
    40163 CODE_USED Client
        ["code 已被使用", "The code has been used"]
        ["重新调用 wx.login；若频繁出现，检查是否重复提交，或有别的服务在用同一 code。", "Call wx.login again; if it happens often, look for double submits or another service that uses the same codes."];
    40164 TENANT_MISCONFIGURED TenantAdmin at ADDRESSES
        ["网关的出口 IP 不在小程序的 IP 白名单中", "The gateway's outgoing address is not in the mini-program's IP list"]
        ["在小程序后台的 IP 白名单中加入网关的出口 IP，每行一个（menlou tenant verify 与网关日志会说明微信看到的 IP）。", "Add the gateway's outgoing address to the IP list in the console, one a line (menlou tenant verify and the gateway's log tell which one WeChat saw)."];
    40169 PLATFORM_ERROR ActionAuthor
        ["scene 过长，或数据不是 JSON", "The scene is too long, or the data is not JSON"]
        ["scene 最长 32 个字符；请求体须为 JSON。", "A scene has at most 32 characters; the body must be JSON."];
    40226 USER_BLOCKED Person
        ["高风险用户，登录被拦截", "A high-risk user: the log-in is blocked"]
        ["请用户在微信侧处理账号风险；重试没有用。", "The person has to clear the risk with WeChat; trying again is of no use."];
    40243 TENANT_MISCONFIGURED TenantAdmin at CREDENTIALS
        ["AppSecret 已被冻结", "The AppSecret is frozen"]
        ["登录小程序后台解冻 AppSecret。", "Unfreeze the AppSecret in the mini-program's console."];
    41001 INTERNAL_ERROR Operator
        ["缺少 access_token", "The access_token is missing"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a fault of the gateway: report it to the maintainers with data.rid."];
    41002 INTERNAL_ERROR Operator
        ["缺少 appid", "The appid is missing"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a fault of the gateway: report it to the maintainers with data.rid."];
    41004 INTERNAL_ERROR Operator
        ["缺少 secret", "The secret is missing"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a fault of the gateway: report it to the maintainers with data.rid."];
    41008 INTERNAL_ERROR Operator
        ["缺少 code", "The code is missing"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a fault of the gateway: report it to the maintainers with data.rid."];
    41030 PLATFORM_ERROR ActionAuthor
        ["page 路径不正确，或页面尚未发布", "The page's path is wrong, or the page is not published"]
        ["page 须是已发布版本中存在的页面，开头不加 /。", "The page must exist in the published version; write it without a leading slash."];
    42001 PLATFORM_ERROR TenantAdmin
        ["access_token 已过期", "The access_token has expired"]
        ["网关已自动刷新并重试过一次；若持续出现，检查网关主机的时钟。", "The gateway has renewed it and tried again once; if it lasts, check the clock of the gateway's host."];
    42003 INVALID_CODE Client
        ["code 已过期", "The code has expired"]
        ["重新调用 wx.login；code 有效期 5 分钟。", "Call wx.login again; a code lives 5 minutes."];
    43002 INTERNAL_ERROR Operator
        ["该接口须用 POST 调用", "This call must be a POST"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a fault of the gateway: report it to the maintainers with data.rid."];
    43101 PLATFORM_ERROR Person
        ["用户拒绝接收该消息", "The person declines this message"]
        ["用户须先在小程序内订阅该消息。", "The person has to subscribe to it in the mini-program first."];
    43104 PLATFORM_ERROR ActionAuthor
        ["AppID 与 openid 不匹配", "AppID and openid do not belong together"]
        ["检查 openid 是否由同一 AppID 取得。", "Check that the openid was obtained under the same AppID."];
    43107 PLATFORM_ERROR TenantAdmin at STANDING
        ["订阅消息能力已被封禁", "Subscription messages are banned for this mini-program"]
        ["在小程序后台查看违规与封禁情况。", "See the violations and bans in the mini-program's console."];
    43108 PLATFORM_ERROR ActionAuthor
        ["正在并发地向同一用户下发消息", "Messages are being sent to the same person at the same time"]
        ["对同一用户逐条下发。", "Send to one person one message after the other."];
    44991 PLATFORM_QUOTA TenantAdmin at USAGE
        ["超出接口调用频率限制", "This call is made too often"]
        ["降低调用频率，或在小程序后台申请提高额度。", "Call less often, or ask for a higher quota in the console."];
    45009 PLATFORM_QUOTA TenantAdmin at USAGE retry 600
        ["接口当日调用次数已达上限", "The day's quota of this call is used up"]
        ["次日恢复；也可在小程序后台查看用量并清零。", "It returns the next day; or see the usage in the console and reset it there."];
    45011 PLATFORM_BUSY Client retry 60
        ["调用太频繁，超出每分钟限制", "Called too often: the minute's limit is reached"]
        ["一分钟后再试；检查客户端是否在循环调用。", "Try again in a minute; look for a client that calls in a loop."];
    45168 PLATFORM_ERROR ActionAuthor
        ["内容命中敏感词", "The content holds forbidden words"]
        ["修改消息内容。", "Change the message."];
    47001 INTERNAL_ERROR Operator
        ["请求体不是合法的 JSON", "The body is not proper JSON"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a fault of the gateway: report it to the maintainers with data.rid."];
    47003 PLATFORM_ERROR ActionAuthor
        ["模板参数不准确", "The template's data is not as the template asks"]
        ["对照模板检查各字段的名称、长度与格式。", "Check names, lengths and formats of the fields against the template."];
    48001 TENANT_MISCONFIGURED TenantAdmin at GRANTS
        ["该小程序没有此接口的权限", "This call is not granted to the mini-program"]
        ["确认小程序已认证，并在小程序后台开通该接口（如获取手机号）。", "See that the mini-program is verified, and have the call (such as phone numbers) granted in the console."];
    48004 TENANT_MISCONFIGURED TenantAdmin at STANDING
        ["该接口因违规被封禁", "This call is banned for violations"]
        ["在小程序后台查看封禁原因与期限，整改后申诉。", "See reason and term in the console, mend what is criticised, and appeal."];
    50002 TENANT_MISCONFIGURED TenantAdmin at STANDING
        ["该小程序被限制使用接口，通常因违规或账号被冻结", "The mini-program may not call WeChat at present, mostly for violations or because its account is frozen"]
        ["在小程序后台查看账号状态、封禁原因与期限，解除后自动恢复。", "See the account's state, reason and term in the console; it works again once that is lifted."];
    50004 TENANT_MISCONFIGURED TenantAdmin at STANDING
        ["该小程序被禁止使用 token 接口", "The mini-program may not ask for tokens"]
        ["在小程序后台查看账号状态与处罚。", "See the account's state and penalties in the console."];
    50007 TENANT_MISCONFIGURED TenantAdmin at STANDING
        ["小程序账号已被冻结", "The mini-program's account is frozen"]
        ["在小程序后台解冻账号。", "Unfreeze the account in the console."];
    61010 PLATFORM_ERROR Client
        ["用户近两小时内未访问小程序", "The person has not used the mini-program in the last two hours"]
        ["只能检查近两小时内访问过的用户所发的内容。", "Only what recently active people send can be checked."];
    85096 PLATFORM_ERROR ActionAuthor
        ["scancode_time 是系统保留参数", "scancode_time is a reserved parameter"]
        ["从 scene 或 page 中去掉 scancode_time。", "Take scancode_time out of scene or page."];
    87007 SESSION_EXPIRED Client
        ["session_key 不存在或已过期", "The session_key does not exist or has expired"]
        ["重新调用 wx.login，再用 a=openid 登录。", "Call wx.login again and log in with a=openid."];
    87008 INTERNAL_ERROR Operator
        ["sig_method 不合法", "The sig_method is invalid"]
        ["这是网关的缺陷：请带上 data.rid 报告给维护者。", "This is a fault of the gateway: report it to the maintainers with data.rid."];
    87009 SESSION_EXPIRED Client
        ["签名无效：session_key 已更换", "The signature is invalid: the session_key has changed"]
        ["重新调用 wx.login，再用 a=openid 登录。", "Call wx.login again and log in with a=openid."];
    89501 TENANT_MISCONFIGURED TenantAdmin at CONFIRMATION
        ["此 IP 正在等待管理员确认", "This address waits for the admin's confirmation"]
        ["请管理员在微信中确认。", "Have the admin confirm it in WeChat."];
    89503 TENANT_MISCONFIGURED TenantAdmin at CONFIRMATION
        ["此次调用须由小程序管理员确认", "The mini-program's admin must confirm this call"]
        ["请管理员在微信中确认，再等待片刻。", "Have the admin confirm it in WeChat, then wait a moment."];
    89506 TENANT_MISCONFIGURED TenantAdmin at CONFIRMATION
        ["管理员拒绝了该 IP 的调用，24 小时内不可用", "The admin refused this address: it can't be used for 24 hours"]
        ["24 小时后再试，并请管理员确认。", "Try again after 24 hours, and have the admin confirm."];
    89507 TENANT_MISCONFIGURED TenantAdmin at CONFIRMATION
        ["管理员拒绝了该 IP 的调用，1 小时内不可用", "The admin refused this address: it can't be used for an hour"]
        ["1 小时后再试，并请管理员确认。", "Try again after an hour, and have the admin confirm."];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_say_everything_in_both_languages() {
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
