//! `a=hello`: greets. The types are its documentation and its checks: change them, and the gateway follows.

use menlou_plugin::prelude::*;

/// 调用方传入的参数。What the caller sends.
#[derive(Deserialize, JsonSchema)]
struct Params {
    /// 问候谁。Whom to greet.
    #[schemars(length(min = 1, max = 64))]
    name: String,
}

/// 租户文件中的 [actions.hello]。The table [actions.hello] of a tenant's file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Texts {
    /// 问候语。The greeting.
    greeting: String,
}

impl Default for Texts {
    fn default() -> Self {
        Self { greeting: "你好".into() }
    }
}

impl Settings for Texts {}

/// 回答的 data。The answer's data.
#[derive(Serialize, JsonSchema)]
struct Data {
    /// 整句问候。The whole sentence.
    text: String,
}

async fn answer(call: &Call<Texts>, params: Params) -> Result<Data> {
    if params.name.trim().is_empty() {
        return Err(Error::new("nobody_to_greet").with_message("不知道该问候谁", "There is nobody to greet."));
    }
    Ok(Data { text: format!("{} {}", call.settings().greeting, params.name) })
}

menlou_plugin::plugin! {
    name: "hello",
    actions: [Action::new("hello", answer).title("问候", "Greet")],
}

#[cfg(test)]
mod tests {
    use super::*;
    use menlou_plugin::testing::Host;
    use serde_json::json;

    #[test]
    fn the_tenants_own_greeting_is_used() {
        let host = Host::new().settings(json!({ "greeting": "Good morning" }));
        let reply = host.call(plugin(), "hello", json!({ "name": "Ann" }));
        assert_eq!(reply.data, json!({ "text": "Good morning Ann" }));
    }

    #[test]
    fn nobody_is_not_greeted() {
        let reply = Host::new().call(plugin(), "hello", json!({ "name": " " }));
        assert_eq!(reply.error.as_deref(), Some("nobody_to_greet"));
    }
}
