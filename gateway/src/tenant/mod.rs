//! Tenants: one live tenant, the roster that finds and swaps them, and the folder that they are built and rebuilt from.

mod activity;
mod build;
mod files;
mod folder;
mod hidden;
mod reload;
mod roster;
mod sealing;
mod swap;
mod template;
mod verify;
mod view;
mod watched;

use crate::{
    action::{Action, Configured, Plugin, Scope, Services},
    platform::{Platform, wechat::Wechat, wechat::WechatAccount},
    policy::{
        Access,
        cors::Cors,
        limits::{Limiter, Limits},
    },
};
pub use activity::{Activity, Failure, MINUTES, Minute, Usage};
pub use build::{Blueprint, check, check_folder, switched_on};
pub use files::{Files, Refused, Revision, Saved, Stored, lock, names};
pub use folder::bytes;
pub use hidden::{masked, reserved};
use metrics::{Counter, Histogram, counter, histogram};
pub use reload::Watcher;
pub use roster::{Roster, Standing};
pub use sealing::{rotate, seal};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
pub use swap::{Swap, Swapper, Swaps};
pub use template::{Facts, file as new_file};
pub use verify::{logs_in_by_phone, verify};
pub use view::{MASK, View, secrets, view};

/// A tenant that serves. A call keeps the one that it found, also through a reload.
pub struct Tenant {
    /// The `f` of its requests.
    pub name: String,
    /// Its name for people.
    pub title: String,
    /// What it has been doing lately.
    pub activity: Arc<Activity>,
    /// Which web pages may call, if any.
    pub cors: Option<Cors>,
    actions: HashMap<String, Arc<Switched>>,
}

/// An action that a tenant has switched on.
pub struct Switched {
    /// The `a` of its requests.
    pub name: String,
    /// The action; `None` where its plugin is missing or broken.
    pub action: Option<Arc<Action>>,
    /// How often it may be called.
    pub limits: Arc<Limits>,
    /// Calls of this action; there from the first on, for most of many tenants are seldom called.
    calls: OnceLock<Counter>,
    /// Those that failed, by word; kept, as a flood of refusals must be cheap.
    failures: Mutex<Vec<(&'static str, Counter)>>,
    /// How long calls took, those of other tenants' actions of this name included: by tenant too there would be more
    /// buckets than anyone could store.
    seconds: Histogram,
    /// Calls by the minute.
    usage: Arc<Usage>,
}

impl Tenant {
    /// Puts a checked tenant to work, which goes on with the activity of the one before it.
    pub fn new(
        blueprint: Blueprint,
        services: &Arc<Services>,
        limiter: &Arc<Limiter>,
        activity: Arc<Activity>,
    ) -> Self {
        let Blueprint { name, title, account, session_ttl, actions, cors, limits, mut action_limits, .. } = blueprint;
        activity.keep(|action| actions.contains_key(action));
        let wechat = Wechat::new(
            WechatAccount {
                appid: account.appid,
                secret: account.secret,
                previous_secret: account.previous_secret,
                base_url: account.base_url,
            },
            name.as_str(),
            services.http.clone(),
            services.stores.shared.clone(),
        );
        let platform: Arc<dyn Platform> = Arc::new(wechat);
        let (services, opened) = (services.clone(), activity.opened());
        let scope = Arc::new(Scope { tenant: name.clone(), session_ttl, platform, services, opened });
        let switch = |(action, configured): (String, Option<Configured>)| {
            let own = action_limits.remove(&action).unwrap_or_default();
            let needs_session = configured.as_ref().is_some_and(|c| c.access() != Access::Anyone);
            let limits = Limits::new((&name, &action), (&limits, &own), needs_session, limiter.clone());
            let switched = Switched {
                name: action.clone(),
                action: configured.map(|c| Arc::new(c.serve(scope.clone()))),
                limits,
                calls: OnceLock::new(),
                failures: Mutex::default(),
                seconds: histogram!("menlou_call_seconds", "action" => action.clone()),
                usage: activity.of(&action),
            };
            (action, Arc::new(switched))
        };
        let actions = actions.into_iter().map(switch).collect();
        Self { actions, cors: Cors::new(&cors), name: name.clone(), title, activity: activity.clone() }
    }

    /// The plugins that it uses.
    fn plugins(&self) -> Vec<Arc<Plugin>> {
        self.actions.values().filter_map(|switched| Some(switched.action.as_ref()?.plugin().clone())).collect()
    }

    /// The action of this name, if it is switched on.
    pub fn action(&self, name: &str) -> Option<&Arc<Switched>> {
        self.actions.get(name)
    }

    /// Every action that is switched on, in no order.
    pub fn actions(&self) -> impl Iterator<Item = &Arc<Switched>> {
        self.actions.values()
    }
}

impl Switched {
    /// Counts a call of this action of the tenant.
    pub fn called(&self, tenant: &str, failed: bool, took: Duration) {
        // The labels come from configuration, never from a request.
        let new = || counter!("menlou_calls_total", "tenant" => tenant.to_owned(), "action" => self.name.clone());
        self.calls.get_or_init(new).increment(1);
        self.seconds.record(took);
        self.usage.record(failed, took);
    }

    /// Counts a failure by its word.
    pub fn failed(&self, tenant: &str, word: &'static str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = failures.iter().find(|(known, _)| *known == word) {
            return counter.increment(1);
        }
        let labels = [("tenant", tenant.to_owned()), ("action", self.name.clone()), ("error", word.to_owned())];
        let counter = counter!("menlou_errors_total", &labels);
        counter.increment(1);
        failures.push((word, counter));
    }
}
