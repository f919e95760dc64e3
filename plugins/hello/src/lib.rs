//! `a=hello`: returns a greeting. The gateway derives documentation and validation from the types of this file.

use menlou_plugin::prelude::*;

/// 参数。The parameters.
#[derive(Deserialize, JsonSchema)]
struct Params {
    /// 问候的对象。The name to greet.
    #[schemars(length(min = 1, max = 64))]
    name: String,
}

/// 租户文件的 [actions.hello] 表。The table [actions.hello] of a tenant file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct ActionSettings {
    /// 问候语。The greeting.
    greeting: String,
}

impl Default for ActionSettings {
    fn default() -> Self {
        Self { greeting: "你好".into() }
    }
}

impl Settings for ActionSettings {}

/// 响应的 data。The data of the response.
#[derive(Serialize, JsonSchema)]
struct Data {
    /// 完整的问候语。The complete greeting.
    text: String,
}

async fn handle(call: &Call<ActionSettings>, params: Params) -> Result<Data> {
    if params.name.trim().is_empty() {
        return Err(Error::new("empty_name").with_message("名字不能为空", "The name must not be empty."));
    }
    Ok(Data { text: format!("{} {}", call.settings().greeting, params.name) })
}

menlou_plugin::plugin! {
    name: "hello",
    actions: [Action::new("hello", handle).title("问候", "Greet")],
}

#[cfg(test)]
mod tests {
    use super::*;
    use menlou_plugin::testing::Host;
    use serde_json::json;

    #[test]
    fn greeting_of_the_tenant_is_used() {
        let host = Host::new().settings(json!({ "greeting": "Good morning" }));
        let reply = host.call(plugin(), "hello", json!({ "name": "Ann" }));
        assert_eq!(reply.data, json!({ "text": "Good morning Ann" }));
    }

    #[test]
    fn empty_name_is_rejected() {
        let reply = Host::new().call(plugin(), "hello", json!({ "name": " " }));
        assert_eq!(reply.error.as_deref(), Some("empty_name"));
    }
}
