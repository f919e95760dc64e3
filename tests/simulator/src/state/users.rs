//! The users of each app: session_key, last login, subscriptions.

use std::collections::HashMap;
use std::sync::Arc;

use super::bounded_map::BoundedMap;
use crate::random;

/// Maximum number of users. The oldest is dropped first.
const MAX_USERS: usize = 200_000;
/// Maximum number of templates to which one user can subscribe.
const MAX_TEMPLATES: usize = 100;

/// The users of all apps, by appid and openid.
pub(crate) struct Users(BoundedMap<(Arc<str>, String), User>);

/// The record of one user in one app.
#[derive(Default)]
pub(crate) struct User {
    /// The valid session_key. `None` before the first login.
    pub(crate) session_key: Option<String>,
    /// Time of the last login in milliseconds since 1970.
    pub(crate) last_seen_ms: u64,
    /// The number of messages to which the user is subscribed, by template.
    subscriptions: HashMap<String, u32>,
}

impl Default for Users {
    fn default() -> Self {
        Self(BoundedMap::new(MAX_USERS))
    }
}

impl Users {
    /// Adds the user to the app, unless the app knows the user.
    pub(super) fn register(&mut self, appid: &Arc<str>, openid: &str) {
        let key = (appid.clone(), openid.to_owned());
        if self.0.get(&key).is_none() {
            self.0.insert(key, User::default());
        }
    }

    /// The user, if the app knows the user.
    pub(crate) fn get_mut(&mut self, appid: &Arc<str>, openid: &str) -> Option<&mut User> {
        self.0.get_mut(&(appid.clone(), openid.to_owned()))
    }

    /// Replaces the session_key. The previous one is no longer valid.
    pub(crate) fn renew_session_key(&mut self, appid: &Arc<str>, openid: &str, now_ms: u64) -> String {
        self.register(appid, openid);
        let session_key = random::session_key();
        if let Some(user) = self.get_mut(appid, openid) {
            user.session_key = Some(session_key.clone());
            user.last_seen_ms = now_ms;
        }
        session_key
    }
}

impl User {
    /// Subscribes to `times` more messages of a template.
    pub(crate) fn subscribe(&mut self, template: &str, times: u32) {
        if self.subscriptions.len() < MAX_TEMPLATES || self.subscriptions.contains_key(template) {
            let count = self.subscriptions.entry(template.to_owned()).or_default();
            *count = count.saturating_add(times);
        }
    }

    /// Uses one subscription. False if there is none.
    pub(crate) fn use_subscription(&mut self, template: &str) -> bool {
        match self.subscriptions.get_mut(template) {
            Some(left) if *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }
}
