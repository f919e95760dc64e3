//! The platform's state: apps, codes, people, tokens, and what tests have ordered.

mod bounded;
mod clock;
pub(crate) mod login;
pub(crate) mod people;
pub(crate) mod phone;
pub(crate) mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::app::App;
use crate::failure::Ordered;
use bounded::Bounded;
use clock::Clock;
use login::LoginCode;
use people::People;
use phone::PhoneCode;
use tokens::Tokens;

/// Apps beyond this number are refused.
const MOST_APPS: usize = 10_000;
/// Codes beyond this number push out the oldest.
const MOST_CODES: usize = 200_000;
/// A login or phone code lives five minutes.
pub(crate) const CODE_TTL_MS: u64 = 5 * 60 * 1000;

/// Everything that the simulator knows; one lock around it all.
pub(crate) struct World {
    pub(crate) clock: Clock,
    pub(crate) failures: Ordered,
    pub(crate) people: People,
    pub(crate) tokens: Tokens,
    apps: HashMap<Arc<str>, App>,
    first_app: Arc<str>,
    login_codes: Bounded<String, LoginCode>,
    phone_codes: Bounded<String, PhoneCode>,
    calls: BTreeMap<&'static str, u64>,
}

impl World {
    /// A world in which one app is registered.
    pub(crate) fn new(first: App) -> Self {
        let appid: Arc<str> = first.appid.as_str().into();
        Self {
            clock: Clock::default(),
            failures: Ordered::default(),
            people: People::default(),
            tokens: Tokens::default(),
            apps: HashMap::from([(appid.clone(), first)]),
            first_app: appid,
            login_codes: Bounded::new(MOST_CODES),
            phone_codes: Bounded::new(MOST_CODES),
            calls: BTreeMap::new(),
        }
    }

    /// Registers an app, or gives a registered one a new secret: its access tokens are then dead.
    ///
    /// # Errors
    /// A text for people if the app is faulty, or one too many.
    pub(crate) fn register(&mut self, app: App) -> Result<(), &'static str> {
        if let Some(fault) = app.fault() {
            return Err(fault);
        }
        let Some(known) = self.apps.get_mut(app.appid.as_str()) else {
            if self.apps.len() >= MOST_APPS {
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

    /// The app under this id.
    pub(crate) fn app(&self, appid: &str) -> Option<&App> {
        self.apps.get(appid)
    }

    /// The registered id that equals this one, to be shared rather than copied.
    pub(crate) fn known_appid(&self, appid: &str) -> Option<Arc<str>> {
        self.apps.get_key_value(appid).map(|(known, _)| known.clone())
    }

    /// The app that is meant where none is named.
    pub(crate) fn first_app(&self) -> Arc<str> {
        self.first_app.clone()
    }

    /// All registered ids, in order.
    pub(crate) fn appids(&self) -> Vec<Arc<str>> {
        let mut appids: Vec<_> = self.apps.keys().cloned().collect();
        appids.sort();
        appids
    }

    /// Counts a call of an endpoint.
    pub(crate) fn count(&mut self, endpoint: &'static str) {
        *self.calls.entry(endpoint).or_default() += 1;
    }

    /// How often each endpoint was called.
    pub(crate) fn calls(&self) -> &BTreeMap<&'static str, u64> {
        &self.calls
    }

    /// Starts counting from zero.
    pub(crate) fn reset_calls(&mut self) {
        self.calls.clear();
    }

    /// Lets a login or phone code be as old as it can get; whether there was one.
    pub(crate) fn expire_code(&mut self, code: &str) -> bool {
        let login = self.login_codes.get_mut(code);
        let phone = self.phone_codes.get_mut(code);
        let known = login.is_some() || phone.is_some();
        login.into_iter().for_each(|code| code.expires_ms = 0);
        phone.into_iter().for_each(|code| code.expires_ms = 0);
        known
    }
}
