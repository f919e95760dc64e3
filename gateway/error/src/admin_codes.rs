//! The error words of the admin API, beside those of the calls that it shares.

use super::codes::{ErrorCode, Responsible, codes};
use crate::text::Text;

/// The word of this name.
pub fn find(name: &str) -> Option<&'static ErrorCode> {
    ALL.iter().copied().find(|w| w.name == name)
}

codes! {
    // Responsible is asking.
    ADMIN_TOKEN_REQUIRED = "admin_token_required" 401 Operator
        ["需要管理令牌", "An admin token is needed."]
        ["以 Authorization: Bearer mla_… 发送；令牌用 menlou admin token new 生成。", "Send it as Authorization: Bearer mla_…; menlou admin token new makes one."];
    ADMIN_TOKEN_INVALID = "admin_token_invalid" 401 Operator
        ["管理令牌无效：不存在、已过期或已吊销", "The admin token is not valid: unknown, expired or revoked."]
        ["用 menlou admin token list 查看令牌，用 menlou admin token new 生成新的。", "menlou admin token list shows the tokens, menlou admin token new makes another."];
    FORBIDDEN = "forbidden" 403 Operator
        ["该令牌的角色无权这样做", "This token's role may not do that."]
        ["使用角色合适的令牌：operator 可做一切，viewer 只读且看不到个人信息，tenant:名称 仅限该租户。", "Use a token of a fitting role: operator may do all, viewer reads all but people's data, tenant:NAME has to do with that tenant only."];
    SETTING_RESERVED = "setting_reserved" 403 TenantAdmin
        ["其中有只能由运维修改的设置", "Some of this is for an operator to set."]
        ["租户管理员不能新增 env:、file: 引用，不能改 wechat.base_url，也不能设置网关要连接的地址（[admin] allowed_upstream_hosts 允许的主机除外）：它们会读到、连到网关所在之处他人的东西。请直接填写密钥，或请运维修改。", "A tenant's admin can't add references (env:, file:), change wechat.base_url or set an address that the gateway connects to (but of hosts under [admin] allowed_upstream_hosts): these reach what is others' on the gateway's host and around it. Give the secret itself, or ask an operator."];

    // What is there.
    UNKNOWN_USER = "unknown_user" 404 TenantAdmin
        ["该租户没有这个用户", "The tenant has no such user."]
        ["核对用户 ID；可按 openid、手机号、账号或外部 ID 查找。", "Check the id; users are found by openid, phone number, account name or external id."];
    UNKNOWN_BINDING = "unknown_binding" 404 TenantAdmin
        ["该用户没有绑定这个 openid", "This openid is not bound to the user."]
        ["先读取该用户，查看其绑定。", "Read the user to see the bindings."];
    UNKNOWN_SESSION = "unknown_session" 404 TenantAdmin
        ["没有这个会话，或已结束", "There is no such session, or it has ended."]
        ["按 openid 或用户查找会话。", "Sessions are found by openid or user."];

    // Responsible was faster.
    PRECONDITION_REQUIRED = "precondition_required" 428 TenantAdmin
        ["请用 If-Match 说明依据的版本", "Say by If-Match which version this is based on."]
        ["先读取，把回答的 ETag 放进 If-Match；新建租户用 If-None-Match: *；不论版本用 If-Match: *。", "Read it first and send its ETag as If-Match; If-None-Match: * for a new tenant; If-Match: * for whichever version."];
    CHANGED_MEANWHILE = "changed_meanwhile" 412 TenantAdmin
        ["在此期间已被他人修改，未作改动", "It was changed in the meantime; nothing was done."]
        ["重新读取，再在新版本上修改。", "Read it again and make the change to that version."];
    TENANT_EXISTS = "tenant_exists" 412 TenantAdmin
        ["该租户已存在，未作改动", "There is such a tenant already; nothing was done."]
        ["换一个名称，或读取后用 If-Match 替换。", "Take another name, or read it and replace it with If-Match."];

    // What can't be saved.
    TENANT_FAULTY = "tenant_faulty" 422 TenantAdmin
        ["租户文件有误，未保存", "The tenant's file is faulty and was not saved."]
        ["按 data.faults 逐处修正，每处都有行、列与说明。", "Mend each of data.faults, which tell line, column and what is wrong."];
    NOT_SAVED = "not_saved" 503 Operator
        ["无法保存租户文件", "The tenant's file can't be saved."]
        ["检查租户文件夹：磁盘是否已满或只读，网关用户是否有写权限；由配置系统下发的文件夹应在源头修改。", "Look at the tenants' folder: is the disk full or read-only, may the gateway's user write there? What comes from a config map is changed at its source."];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn no_word_stands_in_both_tables() {
        for code in ALL {
            assert!(codes::find(code.name).is_none(), "{}", code.name);
            assert_eq!(find(code.name).map(|w| w.status), Some(code.status));
        }
    }
}
