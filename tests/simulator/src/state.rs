//! The state of the platform: apps, codes, users, tokens and queued failures.

mod bounded_map;
mod clock;
pub(crate) mod login;
pub(crate) mod phone;
pub(crate) mod tokens;
pub(crate) mod users;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::app::App;
use crate::failure::FailureQueue;
use bounded_map::BoundedMap;
use clock::Clock;
use login::LoginCode;
use phone::PhoneCode;
use tokens::Tokens;
use users::Users;

/// Maximum number of registered apps.
const MAX_APPS: usize = 10_000;
/// Maximum number of codes of each kind. The oldest is dropped first.
const MAX_CODES: usize = 200_000;
/// Validity of a login or phone code.
pub(crate) const CODE_TTL_MS: u64 = 5 * 60 * 1000;

/// The whole state of the simulator, which one lock protects.
pub(crate) struct PlatformState {
    pub(crate) clock: Clock,
    pub(crate) failures: FailureQueue,
    pub(crate) users: Users,
    pub(crate) tokens: Tokens,
    apps: HashMap<Arc<str>, App>,
    first_app: Arc<str>,
    login_codes: BoundedMap<String, LoginCode>,
    phone_codes: BoundedMap<String, PhoneCode>,
    calls: BTreeMap<&'static str, u64>,
}

impl PlatformState {
    /// A state with one registered app.
    pub(crate) fn new(first: App) -> Self {
        let appid: Arc<str> = first.appid.as_str().into();
        Self {
            clock: Clock::default(),
            failures: FailureQueue::default(),
            users: Users::default(),
            tokens: Tokens::default(),
            apps: HashMap::from([(appid.clone(), first)]),
            first_app: appid,
            login_codes: BoundedMap::new(MAX_CODES),
            phone_codes: BoundedMap::new(MAX_CODES),
            calls: BTreeMap::new(),
        }
    }

    /// Registers an app, or replaces a registered one. A new secret revokes the access tokens.
    ///
    /// # Errors
    /// A message if the app is invalid or if the maximum number of apps is registered.
    pub(crate) fn register(&mut self, app: App) -> Result<(), &'static str> {
        app.validate()?;
        let Some(known) = self.apps.get_mut(app.appid.as_str()) else {
            if self.apps.len() >= MAX_APPS {
                return Err("too many apps");
            }
            self.apps.insert(app.appid.as_str().into(), app);
            return Ok(());
        };
        if known.secret != app.secret {
            self.tokens.revoke_all(&app.appid, self.clock.now_ms());
        }
        *known = app;
        Ok(())
    }

    /// The app with this appid.
    pub(crate) fn app(&self, appid: &str) -> Option<&App> {
        self.apps.get(appid)
    }

    /// The stored copy of a registered appid, which is shared instead of copied.
    pub(crate) fn known_appid(&self, appid: &str) -> Option<Arc<str>> {
        self.apps.get_key_value(appid).map(|(known, _)| known.clone())
    }

    /// The default app.
    pub(crate) fn first_app(&self) -> Arc<str> {
        self.first_app.clone()
    }

    /// All registered appids, sorted.
    pub(crate) fn appids(&self) -> Vec<Arc<str>> {
        let mut appids: Vec<_> = self.apps.keys().cloned().collect();
        appids.sort();
        appids
    }

    /// Counts a call of an endpoint.
    pub(crate) fn count(&mut self, endpoint: &'static str) {
        *self.calls.entry(endpoint).or_default() += 1;
    }

    /// The number of calls of each endpoint.
    pub(crate) fn calls(&self) -> &BTreeMap<&'static str, u64> {
        &self.calls
    }

    /// Resets the counters.
    pub(crate) fn reset_calls(&mut self) {
        self.calls.clear();
    }

    /// Lets a login or phone code expire. False if the code is unknown.
    pub(crate) fn expire_code(&mut self, code: &str) -> bool {
        let login = self.login_codes.get_mut(code);
        let phone = self.phone_codes.get_mut(code);
        let known = login.is_some() || phone.is_some();
        login.into_iter().for_each(|code| code.expires_ms = 0);
        phone.into_iter().for_each(|code| code.expires_ms = 0);
        known
    }
}
