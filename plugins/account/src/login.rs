//! `a=login`: binds the session's openid to an account by one of the tenant's login methods.

use crate::{
    delegate,
    settings::{LoginSettings, Method},
};
use menlou_plugin::{Session, prelude::*};

/// 所需参数取决于 method。The required parameters depend on the method.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("allOf" = [
    { "if": { "required": ["method"], "properties": { "method": { "const": "phone" } } }, "then": { "required": ["phone_code"] } },
    { "if": { "required": ["method"], "properties": { "method": { "const": "password" } } }, "then": { "required": ["account", "password"] } },
    { "if": { "required": ["method"], "properties": { "method": { "const": "profile" } } }, "then": { "required": ["name"] } },
]))]
pub struct Params {
    /// 登录方式。The login method.
    method: Method,
    /// method=phone：getPhoneNumber 返回的 code。The code of getPhoneNumber.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    phone_code: Option<String>,
    /// method=password：账号。The account name.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    account: Option<String>,
    /// method=password：密码。The password.
    #[serde(default)]
    #[schemars(length(min = 1, max = 256))]
    password: Option<String>,
    /// method=profile：姓名，须有可见字符。The display name, with visible characters.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    name: Option<String>,
    /// method=profile：头像地址，须为 https://。The avatar URL, `https://`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    avatar_url: Option<String>,
}

/// 已登录的用户与当前会话。The logged-in user and the session.
#[derive(Serialize, JsonSchema)]
pub struct Data {
    /// 已登录的用户。The logged-in user.
    user: User,
    /// 当前会话，与请求所带的相同。The session of the request.
    session: Session,
}

pub async fn login(call: &Call<LoginSettings>, params: Params) -> Result<Data> {
    if !call.settings().methods.contains(&params.method) {
        return Err(Error::new("method_not_allowed_here"));
    }
    let user = match params.method {
        Method::Phone => {
            let phone = call.phone_number(required("phone_code", &params.phone_code)?).await?;
            call.bind_phone(&phone).await?
        }
        Method::Password => {
            let (account, password) = (required("account", &params.account)?, required("password", &params.password)?);
            call.bind_password(account, password).await?
        }
        Method::Profile => {
            let name = required("name", &params.name)?;
            call.bind_new(name, params.avatar_url.as_deref().unwrap_or_default()).await?
        }
        Method::Delegate => {
            let account = delegate::request_account(call).await?;
            call.bind_external(&account.id, &account.name, &account.avatar_url).await?
        }
    };
    Ok(Data { user, session: call.session().await? })
}

fn required<'a>(name: &str, given: &'a Option<String>) -> Result<&'a str> {
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

    fn error(host: &Host, params: Value) -> Option<String> {
        host.call(plugin(), "login", params).error
    }

    #[test]
    fn the_same_phone_number_binds_the_same_account() {
        let host = host(&["phone"]).phone_code("p1", "+8613800138000").phone_code("p2", "+8613800138000");
        let first = host.call(plugin(), "login", json!({ "method": "phone", "phone_code": "p1" }));
        let again = host.call(plugin(), "login", json!({ "method": "phone", "phone_code": "p2" }));
        assert_eq!((first.error, &first.data["user"]["id"]), (None, &again.data["user"]["id"]));
        assert_eq!(first.data["session"]["token"], "the-callers-token");
        assert_eq!(host.account_count(), 1);
    }

    #[test]
    fn a_correct_password_binds_the_existing_account() {
        let ann = User { id: 7, name: "Ann".into(), avatar_url: String::new() };
        let host = host(&["password"]).account("ann", "correct", ann.clone());
        let login = |password| json!({ "method": "password", "account": "ann", "password": password });
        assert_eq!(error(&host, login("wrong")).as_deref(), Some("bad_credentials"));
        assert_eq!(host.user_for("o-ann"), None);
        assert_eq!(error(&host, login("correct")), None);
        assert_eq!(host.user_for("o-ann"), Some(ann));
        assert_eq!(host.account_count(), 1);
    }

    #[test]
    fn a_repeated_profile_creates_one_account() {
        let host = host(&["profile"]);
        for _ in 0..2 {
            let reply = host.call(plugin(), "login", json!({ "method": "profile", "name": "安", "avatar_url": "" }));
            assert_eq!((reply.error, &reply.data["user"]["name"]), (None, &json!("安")));
        }
        assert_eq!(host.account_count(), 1);
    }

    #[test]
    fn a_disabled_method_is_rejected() {
        let rejected = error(&host(&["phone"]), json!({ "method": "profile", "name": "Ann" }));
        assert_eq!(rejected.as_deref(), Some("method_not_allowed_here"));
        assert_eq!(error(&host(&["phone"]), json!({ "method": "magic" })).as_deref(), Some("bad_parameter"));
    }

    #[test]
    fn a_missing_parameter_of_a_method_is_named() {
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
    fn login_requires_a_session() {
        let host = Host::new().settings(json!({ "methods": ["profile"] }));
        assert_eq!(error(&host, json!({ "method": "profile", "name": "Ann" })).as_deref(), Some("login_required"));
    }

    #[test]
    fn delegate_requires_a_url_and_a_key() {
        let errors = |settings| Host::new().settings(settings).config_errors(plugin(), "login").len();
        assert_eq!(errors(json!({ "methods": ["delegate"] })), 2);
        assert_eq!(
            errors(json!({ "methods": ["delegate"], "delegate_url": "http://x/", "delegate_secret": "short" })),
            1
        );
    }
}
