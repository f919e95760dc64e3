//! `a=openid`: the code of `wx.login` becomes a session, and the person is logged in if the openid is bound to an account.

use menlou_plugin::{Session, prelude::*};
use std::time::Duration;

/// 参数：code 与 openid 二选一。Either a code or, for tests, an openid.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("anyOf" = [{ "required": ["code"] }, { "required": ["openid"] }]))]
struct Params {
    /// wx.login 得到的 code。The code of wx.login.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    code: Option<String>,
    /// 指定一个 openid 用来测试；须网关与租户都放行。An openid to test with; gateway and tenant must both allow it.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    openid: Option<String>,
}

/// 租户文件中的 `[actions.openid]`。The table `[actions.openid]` of a tenant's file.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct OpenidSettings {
    /// 允许用来测试的 openid（还须网关配置 [testing] allow_test_openids = true）。Openids to test with (the gateway's
    /// own config must allow it too).
    test_openids: Vec<String>,
    /// 同一 code 在此时间内重复提交，得到与第一次相同的回答；0s 关闭，至多 5m。How long a code sent again is answered as
    /// the first time; 0s switches that off, 5m at most.
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
                errors.add(pointer, "openid 应为 1 到 256 个字节", "An openid has 1 to 256 bytes.");
            }
        }
        if self.replay_window.0 > Duration::from_secs(300) {
            let (zh, en) = ("code 只在 5 分钟内有效，最长 5m", "A code lives 5 minutes, so this is 5m at most.");
            errors.add("/replay_window", zh, en);
        }
    }
}

/// 会话，以及 openid 绑定的用户。The session, and the user that the openid is bound to.
#[derive(Serialize, JsonSchema)]
struct Data {
    /// openid 绑定的用户；为 null 时须再调用 a=login。The user that the openid is bound to; null: call a=login.
    user: Option<User>,
    /// 新会话。A new session.
    session: Session,
}

async fn openid(call: &Call<OpenidSettings>, params: Params) -> Result<Data> {
    let identity = match (&params.openid, &params.code) {
        (Some(openid), _) => {
            if !call.settings().test_openids.contains(openid) {
                call.log(Level::Warn, "a test openid that the tenant does not list was refused", &[]);
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
            .title("小程序授权", "Log in by code")
            .description(
                "用 wx.login 的 code 换取会话。返回的 user 非空表示已按 openid 绑定的账号自动登录；为空则需再调用 a=login。",
                "Exchanges the code of wx.login for a session. Where user is not null, the person is logged in to the \
                 account that the openid is bound to; where it is null, call a=login.",
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
    fn a_bound_openid_is_logged_in_by_its_code() {
        let host = Host::new().code("c", "o-ann").bound("o-ann", ann());
        let reply = host.call(plugin(), "openid", json!({ "code": "c" }));
        assert_eq!(reply.error, None);
        assert_eq!(reply.data["user"], json!(ann()));
        assert_eq!(reply.data["session"]["expires_in"], 604_800);
        assert_eq!(host.sessions(), ["o-ann"]);
    }

    #[test]
    fn an_unbound_openid_gets_a_session_and_no_user() {
        let host = Host::new().code("c", "o-bob");
        let reply = host.call(plugin(), "openid", json!({ "code": "c" }));
        assert_eq!((reply.error, &reply.data["user"]), (None, &Value::Null));
        assert_eq!(host.sessions(), ["o-bob"]);
    }

    #[test]
    fn the_platforms_refusal_goes_to_the_caller() {
        let host = Host::new().reject_code("blocked", "user_blocked");
        for (code, word) in [("blocked", "user_blocked"), ("made-up", "invalid_code")] {
            assert_eq!(host.call(plugin(), "openid", json!({ "code": code })).error.as_deref(), Some(word));
        }
        assert!(host.sessions().is_empty());
    }

    #[test]
    fn a_test_openid_needs_the_tenants_list_and_the_gateways_permission() {
        let listed = json!({ "test_openids": ["o-test"] });
        let ask = json!({ "openid": "o-test", "code": "" });
        let word = |host: Host| host.call(plugin(), "openid", ask.clone()).error;
        assert_eq!(word(Host::new().allow_test_openids().settings(listed.clone())), None);
        assert_eq!(word(Host::new().settings(listed)).as_deref(), Some("test_openid_refused"));
        assert_eq!(word(Host::new().allow_test_openids()).as_deref(), Some("test_openid_refused"));
    }

    #[test]
    fn neither_code_nor_openid_is_a_missing_parameter() {
        let reply = Host::new().call(plugin(), "openid", json!({ "code": "", "openid": "" }));
        assert_eq!(reply.error.as_deref(), Some("missing_parameter"));
    }

    #[test]
    fn the_client_may_hang_up_at_any_moment() {
        let host = Host::new().code("c", "o-ann");
        assert_eq!(host.cancel_at_each_await(plugin(), "openid", json!({ "code": "c" })), 3);
    }

    #[test]
    fn faulty_settings_are_all_told_at_their_place() {
        let faults = |settings| {
            let told = Host::new().settings(settings).config_errors(plugin(), "openid");
            told.into_iter().map(|(pointer, ..)| pointer).collect::<Vec<_>>()
        };
        assert_eq!(
            faults(json!({ "test_openids": ["ok", ""], "replay_window": "1h" })),
            ["/test_openids/1", "/replay_window"]
        );
        assert_eq!(faults(json!({ "replay_window": "soon" })), ["/replay_window"]);
        assert!(faults(json!({})).is_empty());
    }
}
