//! The error codes of the admin API. It also uses some codes of [`crate::codes`].

use super::codes::{ErrorCode, Responsible, codes};
use crate::text::Text;

/// Finds an error code of the admin API by its name.
pub fn find(name: &str) -> Option<&'static ErrorCode> {
    ALL.iter().copied().find(|w| w.name == name)
}

codes! {
    // Authentication and permissions.
    ADMIN_TOKEN_REQUIRED = "admin_token_required" 401 Operator
        ["需要管理令牌", "An admin token is required."]
        ["以 Authorization: Bearer mla_… 发送；用 menlou admin token new 创建令牌。", "Send it as Authorization: Bearer mla_…. Create a token with menlou admin token new."];
    ADMIN_TOKEN_INVALID = "admin_token_invalid" 401 Operator
        ["管理令牌无效：不存在、已过期或已吊销", "The admin token is invalid: unknown, expired or revoked."]
        ["用 menlou admin token list 查看令牌，或用 menlou admin token new 创建新令牌。", "List the tokens with menlou admin token list, or create one with menlou admin token new."];
    FORBIDDEN = "forbidden" 403 Operator
        ["该令牌的角色无权这样做", "The role of this token does not permit this."]
        ["使用角色合适的令牌：operator 拥有全部权限，viewer 只读且看不到个人信息，tenant:名称 仅限该租户。", "Use a token with a suitable role: operator may do everything, viewer may read everything except personal data, tenant:NAME is limited to that tenant."];
    SETTING_RESERVED = "setting_reserved" 403 TenantAdmin
        ["其中有只能由运维修改的设置", "Some of these settings can only be changed by an operator."]
        ["租户管理员不能新增 env:、file: 引用，不能修改 wechat.base_url，也不能设置网关要连接的地址（[admin] allowed_upstream_hosts 允许的主机除外），因为这些设置可能读取或连接不属于该租户的资源。请直接填写密钥，或请运维修改。", "A tenant's admin cannot add references (env:, file:), change wechat.base_url, or set an address that the gateway connects to (except hosts in [admin] allowed_upstream_hosts), because these settings could read or reach resources of others. Enter the secret itself, or ask an operator."];

    WRONG_HOST = "wrong_host" 421 Operator
        ["管理端不接受这个主机", "The admin side does not serve this host."]
        ["用网关监听的地址访问；经域名访问时，把该域名加入 [admin] allowed_hosts。", "Use the gateway's own address. To use a name, add it to [admin] allowed_hosts."];

    // Missing objects.
    UNKNOWN_USER = "unknown_user" 404 TenantAdmin
        ["该租户没有这个用户", "The tenant has no such user."]
        ["核对用户 ID；可按 openid、手机号、账号或外部 ID 查找。", "Check the user id. Users can be found by openid, phone number, account name or external id."];
    UNKNOWN_BINDING = "unknown_binding" 404 TenantAdmin
        ["该用户没有绑定这个 openid", "This openid is not bound to the user."]
        ["先读取该用户，查看其绑定。", "Read the user first to see its bindings."];
    UNKNOWN_SESSION = "unknown_session" 404 TenantAdmin
        ["没有这个会话，或已结束", "There is no such session, or it has ended."]
        ["按 openid 或用户查找会话。", "Find sessions by openid or user."];

    // Conflicting changes.
    PRECONDITION_REQUIRED = "precondition_required" 428 TenantAdmin
        ["请用 If-Match 说明依据的版本", "State the version that the change is based on, with If-Match."]
        ["先读取，把响应的 ETag 放进 If-Match；新建租户用 If-None-Match: *；不论版本用 If-Match: *。", "Read it first and send its ETag as If-Match. Use If-None-Match: * for a new tenant, and If-Match: * for any version."];
    CHANGED_MEANWHILE = "changed_meanwhile" 412 TenantAdmin
        ["在此期间已被他人修改，未作改动", "It has been changed in the meantime; nothing was saved."]
        ["重新读取，再在新版本上修改。", "Read it again and apply the change to the new version."];
    WEAK_ETAG = "weak_etag" 412 TenantAdmin
        ["If-Match 中是弱 ETag（W/…），无法用来修改，未作改动", "If-Match has a weak ETag (W/…), which never matches; nothing was saved."]
        ["网关只发送强 ETag：中间的代理（通常因为压缩）把它改成了弱的。去掉 W/ 后重新发送，或让代理不要压缩管理接口。", "The gateway sends strong ETags only: a proxy in between has weakened it, usually because it compresses. Send it without W/, or do not compress the admin API there."];
    TENANT_EXISTS = "tenant_exists" 412 TenantAdmin
        ["该租户已存在，未作改动", "This tenant already exists; nothing was saved."]
        ["换一个名称，或读取后用 If-Match 替换。", "Choose another name, or read the tenant and replace it with If-Match."];

    // Failed saves.
    TENANT_FAULTY = "tenant_faulty" 422 TenantAdmin
        ["租户文件有误，未保存", "The tenant's file has errors and was not saved."]
        ["按 data.faults 逐处修正，每处都有行、列与说明。", "Fix each entry in data.faults; each has a line, a column and an explanation."];
    NOT_SAVED = "not_saved" 503 Operator
        ["无法保存租户文件", "The tenant's file could not be saved."]
        ["检查租户文件夹：磁盘是否已满或只读，网关用户是否有写权限；由配置系统下发的文件夹应在源头修改。", "Check the tenants' folder: whether the disk is full or read-only, and whether the gateway's user may write there. A folder that a configuration system provides must be changed at its source."];
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;

    #[test]
    fn no_code_is_in_both_tables() {
        for code in ALL {
            assert!(codes::find(code.name).is_none(), "{}", code.name);
            assert_eq!(find(code.name).map(|w| w.status), Some(code.status));
        }
    }
}
