//! `[actions.login]`: which log-in methods are on, and where the tenant's own login service is.

use menlou_plugin::prelude::*;

/// A way to log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// 手机号：getPhoneNumber 的 phone_code。By phone number: the phone_code of getPhoneNumber.
    Phone,
    /// 账号密码。By account and password.
    Password,
    /// 用户自己填写的姓名与头像：新账号。A new account, with the name and picture that the person filled in.
    Profile,
    /// 由租户自己的登录服务判定。By the tenant's own login service.
    Delegate,
}

/// 租户文件中的 `[actions.login]`。The table `[actions.login]` of a tenant's file.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginSettings {
    /// 开启的登录方式。The methods that are switched on.
    #[schemars(length(min = 1))]
    pub methods: Vec<Method>,
    /// 租户登录服务的地址；methods 含 delegate 时必填。Where the tenant's login service is; needed where methods has delegate.
    #[serde(default)]
    #[schemars(regex(pattern = r"^https?://[^\s]+$"))]
    pub delegate_url: Option<Address>,
    /// 与登录服务共享的签名密钥，至少 16 字节；methods 含 delegate 时必填。The key shared with the login service, for signing,
    /// at least 16 bytes; needed where methods has delegate.
    #[serde(default)]
    pub delegate_secret: Option<Secret>,
    /// 等待登录服务的时间，缺省 5s。How long to wait for the login service; 5s if not given.
    #[serde(default)]
    pub delegate_timeout: Option<ConfigDuration>,
}

impl Settings for LoginSettings {
    fn check(&self, errors: &mut ConfigErrors) {
        if self.methods.contains(&Method::Delegate) {
            if self.delegate_url.is_none() {
                errors.add("", "methods 含 delegate，须给出 delegate_url", "The method delegate needs delegate_url.");
            }
            match &self.delegate_secret {
                None => {
                    let en = "The method delegate needs delegate_secret.";
                    errors.add("", "methods 含 delegate，须给出 delegate_secret", en);
                }
                Some(secret) if secret.expose().len() < 16 => {
                    errors.add("/delegate_secret", "密钥至少 16 字节", "The key has at least 16 bytes.");
                }
                Some(_) => {}
            }
        }
    }
}
