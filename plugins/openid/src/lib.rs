//! `a=openid`: exchanges a login code for a session, and logs the user in if the openid is bound to an account.

use menlou_plugin::{Session, prelude::*};
use std::time::Duration;

/// code 与 openid 二选一。Either a code or, for tests, an openid.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [{ "required": ["code"] }, { "required": ["openid"] }]))]
struct Params {
    /// wx.login 返回的 code。The code of wx.login.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    code: Option<String>,
    /// 测试用 openid，须网关配置与租户文件都允许。A test openid, which the gateway's config and the tenant file must allow.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    openid: Option<String>,
}

/// 租户文件的 `[actions.openid]` 表。The table `[actions.openid]` of a tenant file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct OpenidSettings {
    /// 允许的测试 openid，还须网关配置 [testing] allow_test_openids = true。Allowed test openids. The gateway's config must
    /// also set [testing] allow_test_openids = true.
    test_openids: Vec<String>,
    /// 同一 code 在此时间内重复提交，返回第一次的结果；0s 为关闭，最长 5m。Time in which a repeated code gets the first result
    /// again; 0s disables it, at most 5m.
    replay_window: ConfigDuration,
}

impl Default for OpenidSettings {
    fn default() -> Self {
        Self { test_openids: Vec::new(), replay_window: ConfigDuration(Duration::from_secs(10)) }
    }
}

impl Settings for OpenidSettings {
    fn check(&self, errors: &mut ConfigErrors) {
        for (i, openid) in self.test_openids.iter().enumerate() {
            if openid.is_empty() || openid.len() > 256 {
                let pointer = format!("/test_openids/{i}");
                errors.add(pointer, "openid 的长度应为 1 到 256 字节", "An openid has 1 to 256 bytes.");
            }
        }
        if self.replay_window.0 > Duration::from_secs(300) {
            let (zh, en) =
                ("最长 5m：code 的有效期为 5 分钟", "This must be at most 5m: a code is valid for 5 minutes.");
            errors.add("/replay_window", zh, en);
        }
    }
}

/// 会话，以及 openid 绑定的用户。The session, and the user that the openid is bound to.
#[derive(Serialize, JsonSchema)]
struct Data {
    /// openid 绑定的用户；为 null 时需调用 a=login。The user that the openid is bound to. If null, call a=login.
    user: Option<User>,
    /// 新会话。The new session.
    session: Session,
}

async fn openid(call: &Call<OpenidSettings>, params: Params) -> Result<Data> {
    let identity = match (&params.openid, &params.code) {
        (Some(openid), _) => {
            if !call.settings().test_openids.contains(openid) {
                call.log(
                    Level::Warn,
                    "test openid rejected: add it to test_openids of [actions.openid] to allow it",
                    &[],
                );
                return Err(Error::new("test_openid_refused"));
            }
            call.test_identity(openid).await?
        }
        (None, Some(code)) => call.exchange(code, call.settings().replay_window.0).await?,
        (None, None) => {
            return Err(Error::new("missing_parameter").with_message("缺少参数 code", "The parameter code is missing."));
        }
    };
    let user = call.find_user(&identity.openid).await?;
    let session = call.open_session(&identity).await?;
    Ok(Data { user, session })
}

menlou_plugin::plugin! {
    name: "openid",
    actions: [
        Action::new("openid", openid)
            .title("小程序登录", "Log in by code")
            .description(
                "用 wx.login 的 code 换取会话。user 不为空表示已登录 openid 绑定的账号；为空则需调用 a=login。",
                "Exchanges the code of wx.login for a session. If user is not null, the user is logged in to the account that \
                 the openid is bound to. If it is null, call a=login.",
            ),
    ],
}

#[cfg(test)]
mod tests {
    use super::*;
    use menlou_plugin::testing::Host;
    use serde_json::{Value, json};

    fn ann() -> User {
        User { id: 7, name: "Ann".into(), avatar_url: "https://example.com/ann.png".into() }
    }

    #[test]
    fn code_of_a_bound_openid_logs_the_user_in() {
        let host = Host::new().code("c", "o-ann").bound("o-ann", ann());
        let reply = host.call(plugin(), "openid", json!({ "code": "c" }));
        assert_eq!(reply.error, None);
        assert_eq!(reply.data["user"], json!(ann()));
        assert_eq!(reply.data["session"]["expires_in"], 604_800);
        assert_eq!(host.sessions(), ["o-ann"]);
    }

    #[test]
    fn code_of_an_unbound_openid_opens_a_session_without_a_user() {
        let host = Host::new().code("c", "o-bob");
        let reply = host.call(plugin(), "openid", json!({ "code": "c" }));
        assert_eq!((reply.error, &reply.data["user"]), (None, &Value::Null));
        assert_eq!(host.sessions(), ["o-bob"]);
    }

    #[test]
    fn errors_of_the_platform_are_passed_on() {
        let host = Host::new().reject_code("blocked", "user_blocked");
        for (code, error) in [("blocked", "user_blocked"), ("made-up", "invalid_code")] {
            assert_eq!(host.call(plugin(), "openid", json!({ "code": code })).error.as_deref(), Some(error));
        }
        assert!(host.sessions().is_empty());
    }

    #[test]
    fn test_openid_needs_the_tenant_list_and_the_gateway_config() {
        let listed = json!({ "test_openids": ["o-test"] });
        let params = json!({ "openid": "o-test", "code": "" });
        let error = |host: Host| host.call(plugin(), "openid", params.clone()).error;
        assert_eq!(error(Host::new().allow_test_openids().settings(listed.clone())), None);
        assert_eq!(error(Host::new().settings(listed)).as_deref(), Some("test_openid_refused"));
        assert_eq!(error(Host::new().allow_test_openids()).as_deref(), Some("test_openid_refused"));
    }

    #[test]
    fn request_without_code_and_openid_misses_a_parameter() {
        let reply = Host::new().call(plugin(), "openid", json!({ "code": "", "openid": "" }));
        assert_eq!(reply.error.as_deref(), Some("missing_parameter"));
    }

    #[test]
    fn call_can_be_cancelled_at_each_await() {
        let host = Host::new().code("c", "o-ann");
        assert_eq!(host.cancel_at_each_await(plugin(), "openid", json!({ "code": "c" })), 3);
    }

    #[test]
    fn every_invalid_setting_is_reported_at_its_pointer() {
        let pointers = |settings| {
            let errors = Host::new().settings(settings).config_errors(plugin(), "openid");
            errors.into_iter().map(|(pointer, ..)| pointer).collect::<Vec<_>>()
        };
        assert_eq!(
            pointers(json!({ "test_openids": ["ok", ""], "replay_window": "1h" })),
            ["/test_openids/1", "/replay_window"]
        );
        assert_eq!(pointers(json!({ "replay_window": "soon" })), ["/replay_window"]);
        assert!(pointers(json!({})).is_empty());
    }
}
