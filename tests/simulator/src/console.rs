//! What a test does with one app: make codes, look at session_keys, reset the secret.

use std::sync::{Arc, Mutex};

use crate::random;
use crate::simulator::lock;
use crate::world::World;
use crate::world::phone::PhoneNumber;

/// One registered app, as its console and its people's phones see it.
pub struct AppConsole<'a> {
    pub(crate) world: &'a Mutex<World>,
    pub(crate) appid: Arc<str>,
}

impl AppConsole<'_> {
    /// The app's id.
    pub fn appid(&self) -> &str {
        &self.appid
    }

    /// What `wx.login` gives to this person: a fresh code, good for one exchange within 5 minutes.
    pub fn code(&self, person: &str) -> String {
        lock(self.world).code_for_person(&self.appid, person).0
    }

    /// A fresh code for the person with this openid.
    pub fn code_for_openid(&self, openid: &str) -> String {
        lock(self.world).code_for_openid(&self.appid, openid).0
    }

    /// The openid of this person, always the same in this app.
    pub fn openid(&self, person: &str) -> String {
        random::openid(&self.appid, person)
    }

    /// The unionid of this person, if the app is bound to an open-platform account.
    pub fn unionid(&self, person: &str) -> Option<String> {
        lock(self.world).person(&self.appid, person).unionid
    }

    /// What the getPhoneNumber button gives: a fresh code for a number, good once within 5 minutes.
    pub fn phone_code(&self, phone: PhoneNumber) -> String {
        lock(self.world).phone_code(&self.appid, phone, None)
    }

    /// As [`AppConsole::phone_code`], pressed by this person: the code is no other person's.
    pub fn phone_code_for(&self, person: &str, phone: PhoneNumber) -> String {
        lock(self.world).phone_code(&self.appid, phone, Some(self.openid(person)))
    }

    /// The session_key that is valid for this openid; none before the first exchange.
    pub fn session_key(&self, openid: &str) -> Option<String> {
        let mut world = lock(self.world);
        let person = world.people.get_mut(&self.appid, openid)?;
        person.session_key.clone()
    }

    /// Lets the person agree to `times` more messages of a template. False if the app has not met
    /// the person yet.
    pub fn agree_to_messages(&self, openid: &str, template_id: &str, times: u32) -> bool {
        let mut world = lock(self.world);
        let person = world.people.get_mut(&self.appid, openid);
        person.map(|person| person.agree(template_id, times)).is_some()
    }

    /// Resets the secret in the platform's console: the old one is wrong from now on, and all
    /// access tokens are invalid (40001).
    ///
    /// # Errors
    /// A text for people if the secret is empty or longer than 128 bytes.
    pub fn reset_secret(&self, secret: &str) -> Result<(), &'static str> {
        let mut world = lock(self.world);
        let mut app = world.app(&self.appid).cloned().unwrap_or_default();
        secret.clone_into(&mut app.secret);
        app.previous_secret = None;
        world.register(app)
    }

    /// As [`AppConsole::reset_secret`], but the old secret stays good as well, until the next reset.
    ///
    /// # Errors
    /// As there.
    pub fn reset_secret_with_overlap(&self, secret: &str) -> Result<(), &'static str> {
        let mut world = lock(self.world);
        let mut app = world.app(&self.appid).cloned().unwrap_or_default();
        app.previous_secret = Some(std::mem::replace(&mut app.secret, secret.to_owned()));
        world.register(app)
    }

    /// Lets all access tokens of the app be at their end: 42001.
    pub fn expire_tokens(&self) {
        let mut world = lock(self.world);
        let now = world.clock.now_ms();
        world.tokens.expire_all(&self.appid, now);
    }

    /// Makes all access tokens of the app invalid, as a refresh elsewhere does: 40001.
    pub fn revoke_tokens(&self) {
        let mut world = lock(self.world);
        let now = world.clock.now_ms();
        world.tokens.revoke_all(&self.appid, now);
    }
}
