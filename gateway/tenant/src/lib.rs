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
mod switched;
mod template;
mod verify;
mod view;
mod watched;

pub use activity::{Activity, Failure, MINUTES, Minute, Usage};
pub use build::{Blueprint, check, check_folder, switched_on};
pub use files::{Files, Refused, Revision, Saved, Stored, lock, names};
pub use folder::bytes;
pub use hidden::{masked, reserved};
use menlou_action::{Configured, Plugin, Scope, Services};
use menlou_platform::{Platform, wechat::Wechat, wechat::WechatAccount};
use menlou_policy::{
    Access,
    cors::Cors,
    limits::{Limiter, Limits},
};
pub use reload::Watcher;
pub use roster::{Roster, Standing};
pub use sealing::{rotate, seal};
use smol_str::SmolStr;
use std::sync::Arc;
pub use swap::{Swap, Swapper, Swaps};
pub use switched::{Durations, Switched};
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
    pub cors: Option<Box<Cors>>,
    /// In the order of their names.
    actions: Arc<[Switched]>,
}

impl Tenant {
    /// Puts a checked tenant to work, which goes on with the activity of the one before it.
    pub fn new(
        blueprint: Blueprint,
        services: &Arc<Services>,
        limiter: &Arc<Limiter>,
        durations: &Durations,
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
            services.stores.ephemeral.clone(),
        );
        let platform: Arc<dyn Platform> = Arc::new(wechat);
        let tenant = SmolStr::new(&name);
        let switch = |(action, configured): (String, Option<Configured>)| {
            let own = action_limits.remove(&action).unwrap_or_default();
            let needs_session = configured.as_ref().is_some_and(|c| c.access() != Access::Anyone);
            let limits = Limits::new((&name, &action), (&limits, &own), needs_session, limiter.clone());
            let usage = activity.of(&action);
            let serving = configured.map(|configured| {
                let (tenant, platform, services) = (tenant.clone(), platform.clone(), services.clone());
                let scope = Scope { tenant, session_ttl, platform, services, openings: usage.clone() };
                Arc::new(configured.serve(scope))
            });
            Switched::new(&action, serving, limits, usage, durations.of(&action))
        };
        let actions = actions.into_iter().map(switch).collect();
        Self { actions, cors: Cors::new(&cors).map(Box::new), name: name.clone(), title, activity: activity.clone() }
    }

    /// The plugins that it uses.
    fn plugins(&self) -> Vec<Arc<Plugin>> {
        self.actions().filter_map(|switched| Some(switched.action.as_ref()?.plugin().clone())).collect()
    }

    /// The action of this name, if it is switched on.
    pub fn action(&self, name: &str) -> Option<&Switched> {
        self.find(name).map(|(_, switched)| switched)
    }

    /// The same, and where it stands; in this tenant, not in the one after a reload.
    pub fn find(&self, name: &str) -> Option<(usize, &Switched)> {
        let at = self.actions.binary_search_by(|switched| switched.name.as_str().cmp(name)).ok()?;
        Some((at, self.action_at(at)?))
    }

    /// The action that stands there.
    pub fn action_at(&self, at: usize) -> Option<&Switched> {
        self.actions.get(at)
    }

    /// Tells the metrics of the calls that came since they were told last.
    fn tell(&self) {
        self.actions.iter().for_each(|switched| switched.tell(&self.name));
    }

    /// Every action that is switched on, in the order of their names.
    pub fn actions(&self) -> impl Iterator<Item = &Switched> {
        self.actions.iter()
    }
}

impl Drop for Tenant {
    /// What was counted last; of a reload, the tenant after it tells what comes then.
    fn drop(&mut self) {
        self.tell();
    }
}
