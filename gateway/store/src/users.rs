//! Users and the identities bound to them, and the trait of their stores.

use crate::error::Result;
use async_trait::async_trait;
use secrecy::SecretString;
use std::sync::Arc;

/// A user account of a tenant, as clients see it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct User {
    /// Unique across all tenants; positive.
    pub id: i64,
    /// Display name; may be empty.
    pub name: String,
    /// URL of the picture; may be empty.
    pub avatar_url: String,
}

/// One openid on one platform.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// Platform of the openid, such as `wechat`.
    pub platform: String,
    /// The user's id in this mini-program.
    pub openid: String,
    /// See [`Session::unionid`](crate::Session::unionid).
    pub unionid: Option<String>,
}

/// The account that an identity is to be bound to.
#[derive(Clone, Copy, Debug)]
pub enum AccountSelector<'a> {
    /// A new account. Where the identity is bound already, its account is returned unchanged, so that a repeated request
    /// creates no second account.
    New {
        /// Display name.
        name: &'a str,
        /// URL of the picture.
        avatar_url: &'a str,
    },
    /// The account with this phone number in E.164, such as `+8613800138000`; created if there is none.
    Phone(&'a str),
    /// The account with this id in the tenant's own login service; created if there is none. Name and picture are updated.
    External {
        /// The login service's id of the account.
        id: &'a str,
        /// Display name.
        name: &'a str,
        /// URL of the picture.
        avatar_url: &'a str,
    },
    /// The account with this id. The caller has verified the user's credentials.
    Existing(i64),
}

/// What a password is verified against.
#[derive(Debug)]
pub struct PasswordCredentials {
    /// Id of the user.
    pub user: i64,
    /// Argon2id hash as a PHC string.
    pub password_hash: SecretString,
}

/// User accounts and the identities bound to them. An account may have several identities; an identity has at most one
/// account per tenant.
#[async_trait]
pub trait UserStore: Send + Sync {
    /// The account that this openid is bound to.
    async fn find(&self, tenant: &str, platform: &str, openid: &str) -> Result<Option<Arc<User>>>;
    /// Binds the identity to the account in one transaction, and returns the account. An existing binding is replaced,
    /// except for [`AccountSelector::New`]. Returns `None` only where [`AccountSelector::Existing`] names no account of this
    /// tenant. Concurrent calls for the same phone number, external id or openid end with one account.
    async fn bind(&self, tenant: &str, identity: &Identity, account: AccountSelector<'_>) -> Result<Option<Arc<User>>>;
    /// Removes the binding of this openid; the account stays. Returns false where there is no binding.
    async fn unbind(&self, tenant: &str, platform: &str, openid: &str) -> Result<bool>;
    /// Changes the fields that are given. Returns `None` where the tenant has no such user.
    async fn update(
        &self,
        tenant: &str,
        user: i64,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<Option<Arc<User>>>;
    /// The password hash of an account name.
    async fn credentials(&self, tenant: &str, account: &str) -> Result<Option<PasswordCredentials>>;
    /// Creates an account with a password. Returns `None` where the tenant has an account of this name.
    async fn add(
        &self,
        tenant: &str,
        account: &str,
        password_hash: &SecretString,
        name: &str,
        avatar_url: &str,
    ) -> Result<Option<Arc<User>>>;
    /// Checks that the store can be written, for readiness.
    async fn ping(&self) -> Result<()>;
}
