//! `a=logout`: ends the session, and with `unbind=1` removes the binding of the openid.

use menlou_plugin::prelude::*;

/// 不带参数时只结束会话。Without parameters, only the session ends.
#[derive(Deserialize, JsonSchema)]
pub struct Params {
    /// 1：同时解除 openid 与账号的绑定。1: also remove the binding of the openid.
    #[serde(default)]
    unbind: bool,
}

pub async fn logout(call: &Call, params: Params) -> Result<()> {
    // The binding first: if that fails, the client can retry with the same session.
    if params.unbind {
        call.unbind().await?;
    }
    call.end_session().await
}

#[cfg(test)]
mod tests {
    use crate::plugin;
    use menlou_plugin::{User, testing::Host};
    use serde_json::json;

    fn host() -> Host {
        let ann = User { id: 7, name: "Ann".into(), avatar_url: String::new() };
        Host::new().caller("o-ann").bound("o-ann", ann)
    }

    #[test]
    fn unbind_removes_the_binding_and_keeps_the_account() {
        let host = host();
        assert_eq!(host.call(plugin(), "logout", json!({})).error, None);
        assert!(host.user_for("o-ann").is_some());
        assert_eq!(host.call(plugin(), "logout", json!({ "unbind": "1" })).error, None);
        assert!(host.user_for("o-ann").is_none());
        assert_eq!(host.account_count(), 1);
    }
}
