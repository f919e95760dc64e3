//! `a=logout`: ends the session, and with `unbind=1` the openid's binding to the account.

use menlou_plugin::prelude::*;

/// 都不给则只结束会话。With nothing, only the session ends.
#[derive(Deserialize, JsonSchema)]
pub struct Params {
    /// 1：同时解除 openid 与账号的绑定。1: take the openid's binding away too.
    #[serde(default)]
    unbind: bool,
}

pub async fn logout(call: &Call, params: Params) -> Result<()> {
    // The binding first: where that fails, the session is still there to try again with.
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
    fn the_binding_stays_unless_it_is_to_go() {
        let host = host();
        assert_eq!(host.call(plugin(), "logout", json!({})).error, None);
        assert!(host.user_for("o-ann").is_some());
        assert_eq!(host.call(plugin(), "logout", json!({ "unbind": "1" })).error, None);
        assert!(host.user_for("o-ann").is_none());
        assert_eq!(host.account_count(), 1);
    }
}
