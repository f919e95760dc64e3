//! The test interface of one app: create codes, read session_keys, reset the secret.

use std::sync::{Arc, Mutex};

use crate::random;
use crate::simulator::lock;
use crate::state::PlatformState;
use crate::state::phone::PhoneNumber;

/// One registered app, with what its owner does in the console and what its users do in the client.
pub struct AppConsole<'a> {
    pub(crate) state: &'a Mutex<PlatformState>,
    pub(crate) appid: Arc<str>,
}

impl AppConsole<'_> {
    /// The appid.
    pub fn appid(&self) -> &str {
        &self.appid
    }

    /// A new login code of this user, as from `wx.login`. It is valid for one exchange within 5 minutes.
    pub fn code(&self, person: &str) -> String {
        lock(self.state).code_for_person(&self.appid, person).0
    }

    /// A new login code of the user with this openid.
    pub fn code_for_openid(&self, openid: &str) -> String {
        lock(self.state).code_for_openid(&self.appid, openid).0
    }

    /// The openid of this user, which is always the same in this app.
    pub fn openid(&self, person: &str) -> String {
        random::openid(&self.appid, person)
    }

    /// The unionid of this user, if the app belongs to an open-platform account.
    pub fn unionid(&self, person: &str) -> Option<String> {
        lock(self.state).user(&self.appid, person).unionid
    }

    /// A new phone code for a number, as from the getPhoneNumber button. It is valid once within 5 minutes.
    pub fn phone_code(&self, phone: PhoneNumber) -> String {
        lock(self.state).phone_code(&self.appid, phone, None)
    }

    /// Like [`AppConsole::phone_code`], but the code is valid for this user only.
    pub fn phone_code_for(&self, person: &str, phone: PhoneNumber) -> String {
        lock(self.state).phone_code(&self.appid, phone, Some(self.openid(person)))
    }

    /// The valid session_key of this openid. `None` before the first exchange.
    pub fn session_key(&self, openid: &str) -> Option<String> {
        let mut state = lock(self.state);
        let user = state.users.get_mut(&self.appid, openid)?;
        user.session_key.clone()
    }

    /// Records that the user subscribes to `times` more messages of a template. False if the app does
    /// not know the user yet.
    pub fn agree_to_messages(&self, openid: &str, template_id: &str, times: u32) -> bool {
        let mut state = lock(self.state);
        let user = state.users.get_mut(&self.appid, openid);
        user.map(|user| user.subscribe(template_id, times)).is_some()
    }

    /// Resets the secret, as in the console of the platform: the old secret is wrong from now on, and
    /// all access tokens are invalid (40001).
    ///
    /// # Errors
    /// A message if the secret is empty or longer than 128 bytes.
    pub fn reset_secret(&self, secret: &str) -> Result<(), &'static str> {
        let mut state = lock(self.state);
        let mut app = state.app(&self.appid).cloned().unwrap_or_default();
        secret.clone_into(&mut app.secret);
        app.previous_secret = None;
        state.register(app)
    }

    /// Like [`AppConsole::reset_secret`], but the old secret remains valid until the next reset.
    ///
    /// # Errors
    /// As for [`AppConsole::reset_secret`].
    pub fn reset_secret_with_overlap(&self, secret: &str) -> Result<(), &'static str> {
        let mut state = lock(self.state);
        let mut app = state.app(&self.appid).cloned().unwrap_or_default();
        app.previous_secret = Some(std::mem::replace(&mut app.secret, secret.to_owned()));
        state.register(app)
    }

    /// Lets all access tokens of the app expire: 42001.
    pub fn expire_tokens(&self) {
        let mut state = lock(self.state);
        let now = state.clock.now_ms();
        state.tokens.expire_all(&self.appid, now);
    }

    /// Revokes all access tokens of the app, as a refresh by another client does: 40001.
    pub fn revoke_tokens(&self) {
        let mut state = lock(self.state);
        let now = state.clock.now_ms();
        state.tokens.revoke_all(&self.appid, now);
    }
}
