//! Rows of accounts, and texts that PostgreSQL accepts.

use crate::users::User;
use std::{borrow::Cow, sync::Arc};

/// The account that an openid is bound to; parameters are tenant, platform and openid.
pub(super) const BOUND_USER: &str = "SELECT users.id, users.name, users.avatar_url FROM bindings
    JOIN users ON users.id = user_id WHERE bindings.tenant = $1 AND platform = $2 AND openid = $3";

/// A row with id, name and picture of an account.
#[derive(sqlx::FromRow)]
pub(super) struct UserRow {
    pub id: i64,
    pub name: String,
    pub avatar_url: String,
}

impl From<UserRow> for Arc<User> {
    fn from(UserRow { id, name, avatar_url }: UserRow) -> Self {
        Self::new(User { id, name, avatar_url })
    }
}

/// The text without NUL, which PostgreSQL's text type cannot hold: each is replaced by U+FFFD.
pub(super) fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}
