//! User accounts as admins see them, and the trait of their stores.

use crate::error::Result;
use async_trait::async_trait;

/// A user account with all its data except the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// See [`User::id`](crate::User::id).
    pub id: i64,
    /// Display name.
    pub name: String,
    /// URL of the picture.
    pub avatar_url: String,
    /// Account name for password logins.
    pub account: Option<String>,
    /// Phone number in E.164.
    pub phone: Option<String>,
    /// Id in the tenant's own login service.
    pub external_id: Option<String>,
    /// Unix milliseconds.
    pub created_at: i64,
    /// Unix milliseconds.
    pub updated_at: i64,
    /// Number of the account's current version; each change of name or picture increments it.
    pub version: i64,
    /// The identities that are bound to the account.
    pub bindings: Vec<BoundIdentity>,
}

/// An identity that is bound to an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundIdentity {
    /// Platform of the openid, such as `wechat`.
    pub platform: String,
    /// The user's id in this mini-program.
    pub openid: String,
    /// See [`Session::unionid`](crate::Session::unionid).
    pub unionid: Option<String>,
    /// When it was bound, in Unix milliseconds.
    pub created_at: i64,
}

/// Which accounts to find.
#[derive(Clone, Copy, Debug)]
pub enum ProfileQuery<'a> {
    /// The account with this id.
    Id(i64),
    /// The account that this openid is bound to.
    Openid {
        /// Platform of the openid, such as `wechat`.
        platform: &'a str,
        /// The openid.
        openid: &'a str,
    },
    /// The account with this phone number.
    Phone(&'a str),
    /// The account with this account name.
    Account(&'a str),
    /// The account with this id in the tenant's own login service.
    External(&'a str),
    /// All accounts with a greater id.
    After(i64),
}

/// The outcome of a change that may depend on the account's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// The change was made.
    Done,
    /// The account has another version; nothing was changed.
    VersionMismatch,
    /// The tenant has no such account.
    NotFound,
}

/// The accounts of a [`UserStore`](crate::UserStore), never cached.
#[async_trait]
pub trait AccountStore: Send + Sync {
    /// The accounts that match, by ascending id, at most `limit`.
    async fn profiles(&self, tenant: &str, query: ProfileQuery<'_>, limit: u32) -> Result<Vec<Profile>>;
    /// Changes the fields that are given. Where `version` is given, the account must have that version.
    async fn update_profile(
        &self,
        tenant: &str,
        user: i64,
        version: Option<i64>,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<UpdateOutcome>;
    /// Deletes the account with all its bindings. Where `version` is given, the account must have that version.
    async fn delete_account(&self, tenant: &str, user: i64, version: Option<i64>) -> Result<UpdateOutcome>;
}
