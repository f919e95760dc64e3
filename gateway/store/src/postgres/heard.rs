//! Who is told of each change: the cache, which forgets, and the replica, which is not asked about it for a while.

use super::replica::Replica;
use crate::cache::{IdentityRef, UserCache};
use std::sync::Arc;

/// Who is told.
pub(super) struct Heard {
    pub cache: UserCache,
    pub replica: Option<Arc<Replica>>,
}

impl Heard {
    /// This openid's binding has changed.
    pub fn binding(&self, identity: &IdentityRef<'_>) {
        if let Some(replica) = &self.replica {
            replica.binding_changed(identity);
        }
        self.cache.forget_binding(identity);
    }

    /// This account has changed.
    pub fn user(&self, id: i64) {
        if let Some(replica) = &self.replica {
            replica.user_changed(id);
        }
        self.cache.forget_user(id);
    }

    /// Something has changed.
    pub fn something(&self) {
        if let Some(replica) = &self.replica {
            replica.all_changed();
        }
        self.cache.clear();
    }

    /// Changes are not heard of until [`Heard::resume`].
    pub fn pause(&self) {
        if let Some(replica) = &self.replica {
            replica.is_deaf();
        }
        self.cache.pause();
    }

    /// Changes are heard of from now on.
    pub fn resume(&self) {
        if let Some(replica) = &self.replica {
            replica.hears();
        }
        self.cache.resume();
    }
}
