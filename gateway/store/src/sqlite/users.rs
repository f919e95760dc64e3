//! Users and bindings in the SQLite file. There is one writer, so that concurrent changes run one after another.

use super::{Sqlite, writer::Durability};
use crate::{
    cache::IdentityRef,
    error::Result,
    users::{AccountSelector, Identity, PasswordCredentials, User, UserStore},
};
use async_trait::async_trait;
use menlou_clock::unix_millis_i64;
use rusqlite::{Connection, OptionalExtension, Row};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;

#[async_trait]
impl UserStore for Sqlite {
    async fn find(&self, tenant: &str, platform: &str, openid: &str) -> Result<Option<Arc<User>>> {
        let identity = IdentityRef { tenant, platform, openid };
        if let Some(user) = self.users.get(&identity) {
            return Ok(Some(user));
        }
        let version = self.users.version(&identity);
        let values = (tenant.to_owned(), platform.to_owned(), openid.to_owned());
        let found = self
            .reader
            .run(move |connection| connection.prepare_cached(BOUND_USER)?.query_row(values, user).optional());
        let user = found.await?;
        if let Some(user) = &user {
            self.users.insert(version, &identity, user);
        }
        Ok(user)
    }

    async fn bind(&self, tenant: &str, identity: &Identity, account: AccountSelector<'_>) -> Result<Option<Arc<User>>> {
        let binding = Binding { tenant: tenant.to_owned(), identity: identity.clone() };
        let selector = OwnedSelector::from(account);
        let (users, owned_tenant, identity) = (Arc::clone(&self.users), tenant.to_owned(), identity.clone());
        let invalidate = move |bound: Option<&Option<Arc<User>>>| {
            let Identity { platform, openid, .. } = &identity;
            users.invalidate_binding(&IdentityRef { tenant: &owned_tenant, platform, openid });
            if let Some(Some(user)) = bound {
                users.invalidate_user(user.id);
            }
        };
        let work = move |connection: &Connection| binding.bind(connection, selector);
        self.writer.run_then(Durability::Machine, work, invalidate).await
    }

    async fn unbind(&self, tenant: &str, platform: &str, openid: &str) -> Result<bool> {
        let values = (tenant.to_owned(), platform.to_owned(), openid.to_owned());
        let (tenant, platform, openid) = values.clone();
        let users = Arc::clone(&self.users);
        let invalidate = move |_: Option<&bool>| {
            let (tenant, platform, openid) = (&*tenant, &*platform, &*openid);
            users.invalidate_binding(&IdentityRef { tenant, platform, openid });
        };
        let work = move |connection: &Connection| {
            let sql = "DELETE FROM bindings WHERE tenant = ? AND platform = ? AND openid = ?";
            Ok(connection.prepare_cached(sql)?.execute(values)? == 1)
        };
        self.writer.run_then(Durability::Machine, work, invalidate).await
    }

    async fn update(
        &self,
        tenant: &str,
        id: i64,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<Option<Arc<User>>> {
        let (tenant, name, avatar_url) = (tenant.to_owned(), name.map(str::to_owned), avatar_url.map(str::to_owned));
        let users = Arc::clone(&self.users);
        let invalidate = move |_: Option<&Option<Arc<User>>>| users.invalidate_user(id);
        let work = move |connection: &Connection| {
            let sql = "UPDATE users SET name = coalesce(?, name), avatar_url = coalesce(?, avatar_url),
                updated_at = ?, version = version + 1 WHERE id = ? AND tenant = ? RETURNING id, name, avatar_url";
            let mut query = connection.prepare_cached(sql)?;
            query.query_row((name, avatar_url, unix_millis_i64(), id, tenant), user).optional()
        };
        self.writer.run_then(Durability::Machine, work, invalidate).await
    }

    async fn credentials(&self, tenant: &str, account: &str) -> Result<Option<PasswordCredentials>> {
        let (tenant, account) = (tenant.to_owned(), account.to_owned());
        let found = self.reader.run(move |connection| {
            let sql =
                "SELECT id, password_hash FROM users WHERE tenant = ? AND account = ? AND password_hash IS NOT NULL";
            let credentials = |row: &Row<'_>| {
                let password_hash = SecretString::from(row.get::<_, String>(1)?);
                Ok(PasswordCredentials { user: row.get(0)?, password_hash })
            };
            connection.prepare_cached(sql)?.query_row((tenant, account), credentials).optional()
        });
        found.await
    }

    async fn add(
        &self,
        tenant: &str,
        account: &str,
        password_hash: &SecretString,
        name: &str,
        avatar_url: &str,
    ) -> Result<Option<Arc<User>>> {
        let (tenant, account, password_hash) = (tenant.to_owned(), account.to_owned(), password_hash.clone());
        let (name, avatar_url) = (name.to_owned(), avatar_url.to_owned());
        let added = self.writer.run(Durability::Machine, move |connection| {
            let sql = "INSERT INTO users (tenant, account, password_hash, name, avatar_url, created_at, updated_at)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (tenant, account) DO NOTHING
                RETURNING id, name, avatar_url";
            let values = (tenant, account, password_hash.expose_secret(), name, avatar_url, unix_millis_i64());
            connection.prepare_cached(sql)?.query_row(values, user).optional()
        });
        added.await
    }

    async fn ping(&self) -> Result<()> {
        self.ping().await
    }
}

/// The account that an openid is bound to.
const BOUND_USER: &str = "SELECT users.id, users.name, users.avatar_url FROM bindings JOIN users ON users.id = user_id
    WHERE bindings.tenant = ? AND platform = ? AND openid = ?";

/// Reads a row with id, name and picture.
fn user(row: &Row<'_>) -> rusqlite::Result<Arc<User>> {
    Ok(Arc::new(User { id: row.get(0)?, name: row.get(1)?, avatar_url: row.get(2)? }))
}

/// An [`AccountSelector`] that owns its texts.
enum OwnedSelector {
    New { name: String, avatar_url: String },
    Phone(String),
    External { id: String, name: String, avatar_url: String },
    Existing(i64),
}

impl From<AccountSelector<'_>> for OwnedSelector {
    fn from(account: AccountSelector<'_>) -> Self {
        match account {
            AccountSelector::New { name, avatar_url } => Self::New { name: name.into(), avatar_url: avatar_url.into() },
            AccountSelector::Phone(phone) => Self::Phone(phone.into()),
            AccountSelector::External { id, name, avatar_url } => {
                Self::External { id: id.into(), name: name.into(), avatar_url: avatar_url.into() }
            }
            AccountSelector::Existing(id) => Self::Existing(id),
        }
    }
}

/// An identity of a tenant that is to be bound.
struct Binding {
    tenant: String,
    identity: Identity,
}

impl Binding {
    /// Binds the identity to the selected account; see [`UserStore::bind`].
    fn bind(self, connection: &Connection, selector: OwnedSelector) -> rusqlite::Result<Option<Arc<User>>> {
        let Identity { platform, openid, unionid } = &self.identity;
        if matches!(selector, OwnedSelector::New { .. }) {
            let mut query = connection.prepare_cached(BOUND_USER)?;
            let bound = query.query_row((&self.tenant, platform, openid), user).optional()?;
            if bound.is_some() {
                return Ok(bound);
            }
        }
        let Some(user) = self.account(connection, selector)? else { return Ok(None) };
        let sql = "INSERT INTO bindings (tenant, platform, openid, unionid, user_id, created_at)
            VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                created_at = CASE WHEN user_id = excluded.user_id THEN created_at ELSE excluded.created_at END,
                user_id = excluded.user_id, unionid = coalesce(excluded.unionid, unionid)";
        let values = (&self.tenant, platform, openid, unionid, user.id, unix_millis_i64());
        connection.prepare_cached(sql)?.execute(values)?;
        Ok(Some(user))
    }

    /// The selected account; created where the selector permits.
    fn account(&self, connection: &Connection, selector: OwnedSelector) -> rusqlite::Result<Option<Arc<User>>> {
        let (tenant, now) = (&self.tenant, unix_millis_i64());
        let account = match selector {
            OwnedSelector::New { name, avatar_url } => {
                let sql = "INSERT INTO users (tenant, name, avatar_url, created_at, updated_at)
                    VALUES (?1, ?2, ?3, ?4, ?4) RETURNING id, name, avatar_url";
                connection.prepare_cached(sql)?.query_row((tenant, name, avatar_url, now), user)
            }
            OwnedSelector::Phone(phone) => {
                // The update changes nothing; without it the existing row would not be returned.
                let sql = "INSERT INTO users (tenant, phone, name, avatar_url, created_at, updated_at)
                    VALUES (?1, ?2, '', '', ?3, ?3) ON CONFLICT (tenant, phone) DO UPDATE SET phone = excluded.phone
                    RETURNING id, name, avatar_url";
                connection.prepare_cached(sql)?.query_row((tenant, phone, now), user)
            }
            OwnedSelector::External { id, name, avatar_url } => {
                let sql = "INSERT INTO users (tenant, external_id, name, avatar_url, created_at, updated_at)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (tenant, external_id) DO UPDATE
                    SET name = excluded.name, avatar_url = excluded.avatar_url, updated_at = excluded.updated_at,
                        version = users.version + 1
                    RETURNING id, name, avatar_url";
                connection.prepare_cached(sql)?.query_row((tenant, id, name, avatar_url, now), user)
            }
            OwnedSelector::Existing(id) => {
                let sql = "SELECT id, name, avatar_url FROM users WHERE tenant = ? AND id = ?";
                connection.prepare_cached(sql)?.query_row((tenant, id), user)
            }
        };
        account.optional()
    }
}
