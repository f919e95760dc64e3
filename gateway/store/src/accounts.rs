//! Accounts and their bindings as those see them who look after them.

use super::Result;
use async_trait::async_trait;

/// An account with everything that is known of the person, but the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// See [`User::id`](super::User::id).
    pub id: i64,
    /// The name to show.
    pub name: String,
    /// The picture to show.
    pub avatar_url: String,
    /// The name that the person logs in by with a password.
    pub account: Option<String>,
    /// E.164.
    pub phone: Option<String>,
    /// The id at the tenant's own login service.
    pub external_id: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
    /// Counts the changes of name and picture.
    pub version: i64,
    /// The openids that are bound to it.
    pub bindings: Vec<BoundIdentity>,
}

/// An openid that is bound to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundIdentity {
    /// `wechat`.
    pub platform: String,
    /// The person's id in this mini-program.
    pub openid: String,
    /// See [`Session::unionid`](super::Session::unionid).
    pub unionid: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
}

/// Which accounts are meant.
#[derive(Clone, Copy, Debug)]
pub enum ProfileQuery<'a> {
    /// The one with this id.
    Id(i64),
    /// The one that this openid is bound to.
    Openid {
        /// `wechat`.
        platform: &'a str,
        /// The openid.
        openid: &'a str,
    },
    /// The one with this phone number.
    Phone(&'a str),
    /// The one with this account name.
    Account(&'a str),
    /// The one with this id at the tenant's own login service.
    External(&'a str),
    /// All whose id is greater.
    After(i64),
}

/// What came of a change that was bound to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// It is done.
    Done,
    /// The account has changed in the meantime; nothing was done.
    VersionMismatch,
    /// The tenant has no such account.
    NotFound,
}

/// The same accounts as [`UserStore`](super::Users), past any cache.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// Those that are sought, by ascending id, `most` at most.
    async fn profiles(&self, tenant: &str, seek: ProfileQuery<'_>, most: u32) -> Result<Vec<Profile>>;
    /// Changes what is given, if the account is of this version (or whichever it is of).
    async fn update_profile(
        &self,
        tenant: &str,
        user: i64,
        version: Option<i64>,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<UpdateOutcome>;
    /// Takes the account with all its bindings away, if it is of this version (or whichever it is of).
    async fn delete_account(&self, tenant: &str, user: i64, version: Option<i64>) -> Result<UpdateOutcome>;
}
