//! Accounts and bindings in the SQLite file. One writer at a time: what races here comes one after the other.

use super::{
    super::{Account, Credentials, Identity, Result, User, Users, cache::IdentityRef, clock},
    Sqlite,
    writer::{Durability, work},
};
use async_trait::async_trait;
use futures_util::FutureExt;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{FromRow, SqliteConnection};
use std::sync::Arc;

#[derive(FromRow)]
struct UserRow {
    id: i64,
    name: String,
    avatar_url: String,
}

impl From<UserRow> for Arc<User> {
    fn from(UserRow { id, name, avatar_url }: UserRow) -> Self {
        Self::new(User { id, name, avatar_url })
    }
}

#[async_trait]
impl Users for Sqlite {
    async fn find(&self, tenant: &str, platform: &str, openid: &str) -> Result<Option<Arc<User>>> {
        let identity = IdentityRef { tenant, platform, openid };
        if let Some(user) = self.users.get(&identity) {
            return Ok(Some(user));
        }
        let ticket = self.users.ticket(&identity);
        let query = sqlx::query_as::<_, UserRow>(BOUND).bind(tenant).bind(platform).bind(openid);
        let user: Option<Arc<User>> = self.read(query.fetch_optional(&self.readers)).await?.map(Into::into);
        if let Some(user) = &user {
            self.users.keep(ticket, &identity, user);
        }
        Ok(user)
    }

    async fn bind(&self, tenant: &str, identity: &Identity, account: Account<'_>) -> Result<Option<Arc<User>>> {
        let binding = Binding { tenant: tenant.to_owned(), identity: identity.clone() };
        let wish = Wish::from(account);
        let (users, owner, person) = (Arc::clone(&self.users), tenant.to_owned(), identity.clone());
        let forget = move |bound: Option<&Option<Arc<User>>>| {
            users.forget_binding(&IdentityRef { tenant: &owner, platform: &person.platform, openid: &person.openid });
            if let Some(Some(user)) = bound {
                users.forget_user(user.id);
            }
        };
        let work = work(move |connection| binding.make(connection, wish).boxed());
        self.writer.run_then(Durability::Machine, work, forget).await
    }

    async fn unbind(&self, tenant: &str, platform: &str, openid: &str) -> Result<bool> {
        let (owner, site, person) = (tenant.to_owned(), platform.to_owned(), openid.to_owned());
        let binding = (owner.clone(), site.clone(), person.clone());
        let users = Arc::clone(&self.users);
        let forget = move |_: Option<&bool>| {
            let (tenant, platform, openid) = (&*binding.0, &*binding.1, &*binding.2);
            users.forget_binding(&IdentityRef { tenant, platform, openid });
        };
        let work = work(move |connection| {
            async move {
                let sql = "DELETE FROM bindings WHERE tenant = ? AND platform = ? AND openid = ?";
                let query = sqlx::query(sql).bind(owner).bind(site).bind(person);
                Ok(query.execute(connection).await?.rows_affected() == 1)
            }
            .boxed()
        });
        self.writer.run_then(Durability::Machine, work, forget).await
    }

    async fn update(
        &self,
        tenant: &str,
        user: i64,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<Option<Arc<User>>> {
        let (tenant, name, avatar_url) = (tenant.to_owned(), name.map(str::to_owned), avatar_url.map(str::to_owned));
        let users = Arc::clone(&self.users);
        let forget = move |_: Option<&Option<Arc<User>>>| users.forget_user(user);
        let work = work(move |connection| {
            async move {
                let sql = "UPDATE users SET name = coalesce(?, name), avatar_url = coalesce(?, avatar_url),
                    updated_at = ?, version = version + 1 WHERE id = ? AND tenant = ? RETURNING id, name, avatar_url";
                let query = sqlx::query_as::<_, UserRow>(sql).bind(name).bind(avatar_url).bind(clock::millis());
                Ok(query.bind(user).bind(tenant).fetch_optional(connection).await?.map(Into::into))
            }
            .boxed()
        });
        self.writer.run_then(Durability::Machine, work, forget).await
    }

    async fn credentials(&self, tenant: &str, account: &str) -> Result<Option<Credentials>> {
        let sql = "SELECT id, password_hash FROM users WHERE tenant = ? AND account = ? AND password_hash IS NOT NULL";
        let query = sqlx::query_as::<_, (i64, String)>(sql).bind(tenant).bind(account);
        let row = self.read(query.fetch_optional(&self.readers)).await?;
        Ok(row.map(|(user, hash)| Credentials { user, password_hash: SecretString::from(hash) }))
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
            Box::pin(async move {
                let sql = "INSERT INTO users (tenant, account, password_hash, name, avatar_url, created_at, updated_at)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6) ON CONFLICT (tenant, account) DO NOTHING
                    RETURNING id, name, avatar_url";
                let query = sqlx::query_as::<_, UserRow>(sql).bind(tenant).bind(account);
                let query = query.bind(password_hash.expose_secret()).bind(name).bind(avatar_url).bind(clock::millis());
                Ok(query.fetch_optional(connection).await?.map(Into::into))
            })
        });
        added.await
    }

    async fn ping(&self) -> Result<()> {
        self.ping().await
    }
}

const BOUND: &str = "SELECT users.id, users.name, users.avatar_url FROM bindings JOIN users ON users.id = user_id
    WHERE bindings.tenant = ? AND platform = ? AND openid = ?";

/// [`Account`], owned.
enum Wish {
    New { name: String, avatar_url: String },
    Phone(String),
    External { id: String, name: String, avatar_url: String },
    Existing(i64),
}

impl From<Account<'_>> for Wish {
    fn from(account: Account<'_>) -> Self {
        match account {
            Account::New { name, avatar_url } => Self::New { name: name.into(), avatar_url: avatar_url.into() },
            Account::Phone(phone) => Self::Phone(phone.into()),
            Account::External { id, name, avatar_url } => {
                Self::External { id: id.into(), name: name.into(), avatar_url: avatar_url.into() }
            }
            Account::Existing(id) => Self::Existing(id),
        }
    }
}

struct Binding {
    tenant: String,
    identity: Identity,
}

impl Binding {
    async fn make(self, connection: &mut SqliteConnection, wish: Wish) -> sqlx::Result<Option<Arc<User>>> {
        if matches!(wish, Wish::New { .. }) {
            let query = sqlx::query_as::<_, UserRow>(BOUND).bind(&self.tenant);
            let query = query.bind(&self.identity.platform).bind(&self.identity.openid);
            if let Some(row) = query.fetch_optional(&mut *connection).await? {
                return Ok(Some(row.into()));
            }
        }
        let Some(user) = self.account(connection, wish).await? else { return Ok(None) };
        let sql = "INSERT INTO bindings (tenant, platform, openid, unionid, user_id, created_at)
            VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET
                created_at = CASE WHEN user_id = excluded.user_id THEN created_at ELSE excluded.created_at END,
                user_id = excluded.user_id, unionid = coalesce(excluded.unionid, unionid)";
        let Identity { platform, openid, unionid } = self.identity;
        let query = sqlx::query(sql).bind(self.tenant).bind(platform).bind(openid).bind(unionid);
        query.bind(user.id).bind(clock::millis()).execute(connection).await?;
        Ok(Some(user.into()))
    }

    /// The account to bind to, made where it may be.
    async fn account(&self, connection: &mut SqliteConnection, wish: Wish) -> sqlx::Result<Option<UserRow>> {
        let now = clock::millis();
        let query = match wish {
            Wish::New { name, avatar_url } => {
                let sql = "INSERT INTO users (tenant, name, avatar_url, created_at, updated_at)
                    VALUES (?1, ?2, ?3, ?4, ?4) RETURNING id, name, avatar_url";
                sqlx::query_as(sql).bind(&self.tenant).bind(name).bind(avatar_url).bind(now)
            }
            Wish::Phone(phone) => {
                // The update changes nothing: it is there for the row to be returned.
                let sql = "INSERT INTO users (tenant, phone, name, avatar_url, created_at, updated_at)
                    VALUES (?1, ?2, '', '', ?3, ?3) ON CONFLICT (tenant, phone) DO UPDATE SET phone = excluded.phone
                    RETURNING id, name, avatar_url";
                sqlx::query_as(sql).bind(&self.tenant).bind(phone).bind(now)
            }
            Wish::External { id, name, avatar_url } => {
                let sql = "INSERT INTO users (tenant, external_id, name, avatar_url, created_at, updated_at)
                    VALUES (?1, ?2, ?3, ?4, ?5, ?5) ON CONFLICT (tenant, external_id) DO UPDATE
                    SET name = excluded.name, avatar_url = excluded.avatar_url, updated_at = excluded.updated_at,
                        version = users.version + 1
                    RETURNING id, name, avatar_url";
                sqlx::query_as(sql).bind(&self.tenant).bind(id).bind(name).bind(avatar_url).bind(now)
            }
            Wish::Existing(id) => {
                let sql = "SELECT id, name, avatar_url FROM users WHERE tenant = ? AND id = ?";
                sqlx::query_as(sql).bind(&self.tenant).bind(id)
            }
        };
        query.fetch_optional(connection).await
    }
}
