//! `a=user`: reads the account, or updates its name and avatar URL.

use menlou_plugin::prelude::*;

/// 不带参数时只读取。Without parameters, the account is only read.
#[derive(Deserialize, JsonSchema)]
pub struct Params {
    /// 新的姓名，须有可见字符。The new name, with visible characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    name: Option<String>,
    /// 新的头像地址，须为 https://。The new avatar URL, `https://`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    avatar_url: Option<String>,
}

/// 当前用户。The user.
#[derive(Serialize, JsonSchema)]
pub struct Data {
    /// 当前用户。The user.
    user: User,
}

pub async fn user(call: &Call, params: Params) -> Result<Data> {
    let user = match (&params.name, &params.avatar_url) {
        (None, None) => call.user()?,
        (name, avatar_url) => call.update_user(name.as_deref(), avatar_url.as_deref()).await?,
    };
    Ok(Data { user })
}

#[cfg(test)]
mod tests {
    use crate::plugin;
    use menlou_plugin::{User, testing::Host};
    use serde_json::json;

    fn host() -> Host {
        let ann = User { id: 7, name: "Ann".into(), avatar_url: "a.png".into() };
        Host::new().caller("o-ann").bound("o-ann", ann)
    }

    #[test]
    fn user_is_read() {
        let reply = host().call(plugin(), "user", json!({}));
        assert_eq!(reply.data, json!({ "user": { "id": 7, "name": "Ann", "avatar_url": "a.png" } }));
    }

    #[test]
    fn only_given_fields_are_updated() {
        let host = host();
        let reply = host.call(plugin(), "user", json!({ "name": "安", "avatar_url": "" }));
        assert_eq!(reply.data["user"], json!({ "id": 7, "name": "安", "avatar_url": "a.png" }));
        assert_eq!(host.user_for("o-ann").map(|u| u.name).as_deref(), Some("安"));
    }

    #[test]
    fn user_requires_a_login() {
        let reply = Host::new().caller("o-bob").call(plugin(), "user", json!({}));
        assert_eq!(reply.error.as_deref(), Some("login_required"));
    }
}
