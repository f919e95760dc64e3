//! Login codes, which the client gets from `wx.login`.

use std::sync::Arc;

use super::{CODE_TTL_MS, PlatformState};
use crate::random;
use crate::wechat::WechatError;

/// An issued code and its user.
pub(crate) struct LoginCode {
    appid: Arc<str>,
    user: UserIds,
    used: bool,
    pub(super) expires_ms: u64,
}

/// The identifiers of a user in one app.
#[derive(Clone)]
pub(crate) struct UserIds {
    pub(crate) openid: String,
    pub(crate) unionid: Option<String>,
}

impl PlatformState {
    /// The openid and unionid of a named user in a registered app.
    pub(crate) fn user(&self, appid: &str, person: &str) -> UserIds {
        self.user_ids(appid, random::openid(appid, person), person)
    }

    /// A new code for a named user.
    pub(crate) fn code_for_person(&mut self, appid: &Arc<str>, person: &str) -> (String, UserIds) {
        let user = self.user(appid, person);
        self.issue(appid, user)
    }

    /// A new code for a given openid.
    pub(crate) fn code_for_openid(&mut self, appid: &Arc<str>, openid: &str) -> (String, UserIds) {
        let user = self.user_ids(appid, openid.to_owned(), openid);
        self.issue(appid, user)
    }

    /// Redeems a code for its user and a new session_key.
    ///
    /// # Errors
    /// 40163 if the code is used; 40029 if it is unknown, expired or of another app.
    pub(crate) fn exchange(&mut self, appid: &str, code: &str) -> Result<(UserIds, String), WechatError> {
        let now = self.clock.now_ms();
        let Some(code) = self.login_codes.get_mut(code).filter(|code| *code.appid == *appid) else {
            return Err(WechatError::new(40029));
        };
        if code.used {
            return Err(WechatError::new(40163));
        }
        if now >= code.expires_ms {
            return Err(WechatError::new(40029));
        }
        code.used = true;
        let (appid, user) = (code.appid.clone(), code.user.clone());
        let session_key = self.users.renew_session_key(&appid, &user.openid, now);
        Ok((user, session_key))
    }

    fn user_ids(&self, appid: &str, openid: String, person: &str) -> UserIds {
        let account = self.app(appid).and_then(|app| app.open_platform.as_deref());
        UserIds { openid, unionid: account.map(|account| random::unionid(account, person)) }
    }

    fn issue(&mut self, appid: &Arc<str>, user: UserIds) -> (String, UserIds) {
        let code = random::login_code();
        self.users.register(appid, &user.openid);
        self.login_codes.insert(
            code.clone(),
            LoginCode {
                appid: appid.clone(),
                user: user.clone(),
                used: false,
                expires_ms: self.clock.now_ms() + CODE_TTL_MS,
            },
        );
        (code, user)
    }
}
