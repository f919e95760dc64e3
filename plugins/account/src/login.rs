//! `a=login`: binds the session's openid to an account, by the method that the client chooses among the tenant's.

use crate::{
    delegate,
    settings::{LoginSettings, Method},
};
use menlou_plugin::{Session, prelude::*};

/// 参数随 method 而定。Which parameters are needed depends on the method.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("allOf" = [
    { "if": { "required": ["method"], "properties": { "method": { "const": "phone" } } }, "then": { "required": ["phone_code"] } },
    { "if": { "required": ["method"], "properties": { "method": { "const": "password" } } }, "then": { "required": ["account", "password"] } },
    { "if": { "required": ["method"], "properties": { "method": { "const": "profile" } } }, "then": { "required": ["name"] } },
]))]
pub struct Params {
    /// 登录方式。How to log in.
    method: Method,
    /// method=phone：getPhoneNumber 得到的 code。The code of getPhoneNumber.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    phone_code: Option<String>,
    /// method=password：账号。The account.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    account: Option<String>,
    /// method=password：密码。The password.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    password: Option<String>,
    /// method=profile：姓名。The name to show.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    name: Option<String>,
    /// method=profile：头像。The picture to show.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    avatar_url: Option<String>,
}

/// 登录后的用户与当前会话。The user now logged in, and the session.
#[derive(Serialize, JsonSchema)]
pub struct Data {
    /// 已登录的用户。The user now logged in.
    user: User,
    /// 当前会话（与请求所带的相同）。The session, the one that the request came with.
    session: Session,
}

pub async fn login(call: &Call<LoginSettings>, params: Params) -> Result<Data> {
    if !call.settings().methods.contains(&params.method) {
        return Err(Error::new("method_not_allowed_here"));
    }
    let user = match params.method {
        Method::Phone => {
            let phone = call.phone_number(needed("phone_code", &params.phone_code)?).await?;
            call.bind_phone(&phone).await?
        }
        Method::Password => {
            let (account, password) = (needed("account", &params.account)?, needed("password", &params.password)?);
            call.bind_password(account, password).await?
        }
        Method::Profile => {
            let name = needed("name", &params.name)?;
            call.bind_new(name, params.avatar_url.as_deref().unwrap_or_default()).await?
        }
        Method::Delegate => {
            let account = delegate::ask(call).await?;
            call.bind_external(&account.id, &account.name, &account.avatar_url).await?
        }
    };
    Ok(Data { user, session: call.session().await? })
}

fn needed<'a>(name: &str, given: &'a Option<String>) -> Result<&'a str> {
    given.as_deref().ok_or_else(|| {
        Error::new("missing_parameter")
            .with_message(format!("缺少参数 {name}"), format!("The parameter {name} is missing."))
    })
}

#[cfg(test)]
mod tests {
    use crate::plugin;
    use menlou_plugin::{User, testing::Host};
    use serde_json::{Value, json};

    fn host(methods: &[&str]) -> Host {
        Host::new().caller("o-ann").settings(json!({ "methods": methods }))
    }

    fn word(host: &Host, params: Value) -> Option<String> {
        host.call(plugin(), "login", params).error
    }

    #[test]
    fn the_same_phone_is_the_same_account() {
        let host = host(&["phone"]).phone_code("p1", "+8613800138000").phone_code("p2", "+8613800138000");
        let first = host.call(plugin(), "login", json!({ "method": "phone", "phone_code": "p1" }));
        let again = host.call(plugin(), "login", json!({ "method": "phone", "phone_code": "p2" }));
        assert_eq!((first.error, &first.data["user"]["id"]), (None, &again.data["user"]["id"]));
        assert_eq!(first.data["session"]["token"], "the-callers-token");
        assert_eq!(host.account_count(), 1);
    }

    #[test]
    fn a_password_binds_the_account_that_exists() {
        let ann = User { id: 7, name: "Ann".into(), avatar_url: String::new() };
        let host = host(&["password"]).account("ann", "correct", ann.clone());
        let login = |password| json!({ "method": "password", "account": "ann", "password": password });
        assert_eq!(word(&host, login("wrong")).as_deref(), Some("bad_credentials"));
        assert_eq!(host.user_for("o-ann"), None);
        assert_eq!(word(&host, login("correct")), None);
        assert_eq!(host.user_for("o-ann"), Some(ann));
        assert_eq!(host.account_count(), 1);
    }

    #[test]
    fn a_profile_sent_twice_makes_one_account() {
        let host = host(&["profile"]);
        for _ in 0..2 {
            let reply = host.call(plugin(), "login", json!({ "method": "profile", "name": "安", "avatar_url": "" }));
            assert_eq!((reply.error, &reply.data["user"]["name"]), (None, &json!("安")));
        }
        assert_eq!(host.account_count(), 1);
    }

    #[test]
    fn a_method_that_is_not_on_is_refused() {
        let refused = word(&host(&["phone"]), json!({ "method": "profile", "name": "Ann" }));
        assert_eq!(refused.as_deref(), Some("method_not_allowed_here"));
        assert_eq!(word(&host(&["phone"]), json!({ "method": "magic" })).as_deref(), Some("bad_parameter"));
    }

    #[test]
    fn a_method_names_the_parameter_that_it_misses() {
        let host = host(&["phone", "password", "profile"]);
        for (params, missing) in [
            (json!({}), "method"),
            (json!({ "method": "phone" }), "phone_code"),
            (json!({ "method": "password", "account": "ann" }), "password"),
            (json!({ "method": "profile" }), "name"),
        ] {
            let reply = host.call(plugin(), "login", params);
            assert_eq!(reply.error.as_deref(), Some("missing_parameter"));
            assert!(reply.msg.is_some_and(|(zh, en)| zh.contains(missing) && en.contains(missing)), "{missing}");
        }
    }

    #[test]
    fn without_a_session_there_is_no_login() {
        let host = Host::new().settings(json!({ "methods": ["profile"] }));
        assert_eq!(word(&host, json!({ "method": "profile", "name": "Ann" })).as_deref(), Some("login_required"));
    }

    #[test]
    fn delegate_needs_a_url_and_a_key() {
        let faults = |settings| Host::new().settings(settings).config_errors(plugin(), "login").len();
        assert_eq!(faults(json!({ "methods": ["delegate"] })), 2);
        assert_eq!(
            faults(json!({ "methods": ["delegate"], "delegate_url": "http://x/", "delegate_secret": "short" })),
            1
        );
    }
}
