//! `[actions.login]`: the enabled login methods and the tenant's own login service.

use menlou_plugin::prelude::*;

/// A login method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// 手机号：getPhoneNumber 的 phone_code。Phone number: the phone_code of getPhoneNumber.
    Phone,
    /// 账号和密码。Account name and password.
    Password,
    /// 新账号，姓名和头像由用户填写。A new account with the name and avatar that the user entered.
    Profile,
    /// 由租户自己的登录服务判定。The tenant's own login service decides.
    Delegate,
}

/// 租户文件的 `[actions.login]` 表。The table `[actions.login]` of a tenant file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginSettings {
    /// 启用的登录方式。The enabled login methods.
    #[schemars(length(min = 1))]
    pub methods: Vec<Method>,
    /// 租户登录服务的地址；methods 含 delegate 时必填。URL of the tenant's login service; required by the method delegate.
    #[serde(default)]
    #[schemars(regex(pattern = r"^https?://[^\s]+$"))]
    pub delegate_url: Option<Address>,
    /// 与登录服务共享的签名密钥，至少 16 字节；methods 含 delegate 时必填。The signing key shared with the login service, at
    /// least 16 bytes; required by the method delegate.
    #[serde(default)]
    pub delegate_secret: Option<Secret>,
    /// 哪个参数是账号名，按它限制尝试次数，默认 account；没有该参数的请求只按 openid 与地址计数。The parameter that names the
    /// account, by which attempts are limited; default account. Without it, a request is counted by openid and address only.
    #[serde(default)]
    #[schemars(length(min = 1, max = 64))]
    pub delegate_account: Option<String>,
    /// 登录服务的超时，默认 5s。Timeout of the login service; default 5s.
    #[serde(default)]
    pub delegate_timeout: Option<ConfigDuration>,
}

impl Settings for LoginSettings {
    fn check(&self, errors: &mut ConfigErrors) {
        if self.methods.contains(&Method::Delegate) {
            if self.delegate_url.is_none() {
                errors.add(
                    "",
                    "缺少 delegate_url：methods 含 delegate 时必填",
                    "The method delegate requires delegate_url.",
                );
            }
            match &self.delegate_secret {
                None => {
                    let en = "The method delegate requires delegate_secret.";
                    errors.add("", "缺少 delegate_secret：methods 含 delegate 时必填", en);
                }
                Some(secret) if secret.expose().len() < 16 => {
                    errors.add("/delegate_secret", "密钥至少 16 字节", "The key must have at least 16 bytes.");
                }
                Some(_) => {}
            }
        }
    }
}
