//! Applies changes of users and bindings: to the cache, and to the replica, which is not read for a while after a change.

use super::replica::Replica;
use crate::cache::{IdentityRef, UserCache};
use std::sync::Arc;

/// What has to know of each change.
pub(super) struct Invalidation {
    pub cache: UserCache,
    pub replica: Option<Arc<Replica>>,
}

impl Invalidation {
    /// The binding of this openid has changed.
    pub fn binding(&self, identity: &IdentityRef<'_>) {
        if let Some(replica) = &self.replica {
            replica.binding_changed(identity);
        }
        self.cache.invalidate_binding(identity);
    }

    /// This account has changed.
    pub fn user(&self, id: i64) {
        if let Some(replica) = &self.replica {
            replica.user_changed(id);
        }
        self.cache.invalidate_user(id);
    }

    /// Anything may have changed.
    pub fn all(&self) {
        if let Some(replica) = &self.replica {
            replica.all_changed();
        }
        self.cache.clear();
    }

    /// Notifications do not arrive until [`Invalidation::notifications_up`].
    pub fn notifications_down(&self) {
        if let Some(replica) = &self.replica {
            replica.notifications_down();
        }
        self.cache.pause();
    }

    /// Notifications arrive from now on.
    pub fn notifications_up(&self) {
        if let Some(replica) = &self.replica {
            replica.notifications_up();
        }
        self.cache.resume();
    }

    /// Applies the payload of a notification; see [`Notice::payload`](super::notice::Notice::payload).
    pub fn on_notice(&self, payload: &str) {
        if let Some(id) = payload.strip_prefix('u').and_then(|id| id.parse().ok()) {
            self.user(id);
        } else if let Some(names) = payload.strip_prefix('b')
            && let Ok([tenant, platform, openid]) = serde_json::from_str::<[String; 3]>(names)
        {
            self.binding(&IdentityRef { tenant: &tenant, platform: &platform, openid: &openid });
        } else {
            // The payload of another release: everything is invalidated.
            self.all();
        }
    }
}
