//! The people of each app: their session_key, when they were last seen, what they subscribed to.

use std::collections::HashMap;
use std::sync::Arc;

use super::bounded::Bounded;
use crate::random;

/// People beyond this number push out the ones first met.
const MOST_PEOPLE: usize = 200_000;
/// Templates that one person can have subscribed to.
const MOST_TEMPLATES: usize = 100;

/// Who has used which app.
pub(crate) struct People(Bounded<(Arc<str>, String), Person>);

/// What the platform keeps on one person in one app.
#[derive(Default)]
pub(crate) struct Person {
    /// The one session_key that is valid; none before the first login.
    pub(crate) session_key: Option<String>,
    /// When they last logged in, in milliseconds since 1970.
    pub(crate) last_seen_ms: u64,
    /// Messages that they agreed to, by template: each agreement is good for one message.
    agreed: HashMap<String, u32>,
}

impl Default for People {
    fn default() -> Self {
        Self(Bounded::new(MOST_PEOPLE))
    }
}

impl People {
    /// Makes the person known to the app.
    pub(super) fn met(&mut self, appid: &Arc<str>, openid: &str) {
        let key = (appid.clone(), openid.to_owned());
        if self.0.get(&key).is_none() {
            self.0.insert(key, Person::default());
        }
    }

    /// The person, if the app knows them.
    pub(crate) fn get_mut(&mut self, appid: &Arc<str>, openid: &str) -> Option<&mut Person> {
        self.0.get_mut(&(appid.clone(), openid.to_owned()))
    }

    /// Gives the person a new session_key; the one before is no longer valid.
    pub(crate) fn renew_session_key(&mut self, appid: &Arc<str>, openid: &str, now_ms: u64) -> String {
        self.met(appid, openid);
        let session_key = random::session_key();
        if let Some(person) = self.get_mut(appid, openid) {
            person.session_key = Some(session_key.clone());
            person.last_seen_ms = now_ms;
        }
        session_key
    }
}

impl Person {
    /// Agrees to `times` more messages of a template.
    pub(crate) fn agree(&mut self, template: &str, times: u32) {
        if self.agreed.len() < MOST_TEMPLATES || self.agreed.contains_key(template) {
            let agreed = self.agreed.entry(template.to_owned()).or_default();
            *agreed = agreed.saturating_add(times);
        }
    }

    /// Uses one agreement up; whether there was one.
    pub(crate) fn use_agreement(&mut self, template: &str) -> bool {
        match self.agreed.get_mut(template) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}
