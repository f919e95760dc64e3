//! Login codes: what `wx.login` gives to the client.

use std::sync::Arc;

use super::{CODE_TTL_MS, World};
use crate::random;
use crate::wechat::WechatError;

/// A code that was given out, and what it stands for.
pub(crate) struct LoginCode {
    appid: Arc<str>,
    who: Who,
    used: bool,
    pub(super) expires_ms: u64,
}

/// A person as one app sees them.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) openid: String,
    pub(crate) unionid: Option<String>,
}

impl World {
    /// The openid and unionid of a named person in a registered app.
    pub(crate) fn person(&self, appid: &str, person: &str) -> Who {
        self.who(appid, random::openid(appid, person), person)
    }

    /// A fresh code for a named person.
    pub(crate) fn code_for_person(&mut self, appid: &Arc<str>, person: &str) -> (String, Who) {
        let who = self.person(appid, person);
        self.issue(appid, who)
    }

    /// A fresh code for a given openid.
    pub(crate) fn code_for_openid(&mut self, appid: &Arc<str>, openid: &str) -> (String, Who) {
        let who = self.who(appid, openid.to_owned(), openid);
        self.issue(appid, who)
    }

    /// Uses a code up: the person, and their new session_key.
    ///
    /// # Errors
    /// 40163 if it was used before; 40029 if it is unknown, expired or another app's.
    pub(crate) fn exchange(&mut self, appid: &str, code: &str) -> Result<(Who, String), WechatError> {
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
        let (appid, who) = (code.appid.clone(), code.who.clone());
        let session_key = self.people.renew_session_key(&appid, &who.openid, now);
        Ok((who, session_key))
    }

    fn who(&self, appid: &str, openid: String, person: &str) -> Who {
        let account = self.app(appid).and_then(|app| app.open_platform.as_deref());
        Who { openid, unionid: account.map(|account| random::unionid(account, person)) }
    }

    fn issue(&mut self, appid: &Arc<str>, who: Who) -> (String, Who) {
        let code = random::login_code();
        self.people.met(appid, &who.openid);
        self.login_codes.insert(
            code.clone(),
            LoginCode {
                appid: appid.clone(),
                who: who.clone(),
                used: false,
                expires_ms: self.clock.now_ms() + CODE_TTL_MS,
            },
        );
        (code, who)
    }
}
