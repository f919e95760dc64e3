//! Binds an identity to an account in PostgreSQL, in one transaction, also under concurrent calls.

use super::{
    notice::Notice,
    rows::{BOUND_USER, UserRow, without_nul},
};
use crate::{
    cache::IdentityRef,
    users::{AccountSelector, Identity},
};
use sqlx::{PgConnection, PgPool};

/// A concurrent transaction made a conflicting change between two statements. The next attempt sees that change.
struct Conflict;

type Attempt<T> = sqlx::Result<Result<T, Conflict>>;

/// See [`UserStore::bind`](crate::UserStore::bind). Retries after conflicts until the caller's deadline ends it.
pub(super) async fn bind(
    pool: &PgPool,
    tenant: &str,
    identity: &Identity,
    account: AccountSelector<'_>,
) -> sqlx::Result<Option<UserRow>> {
    loop {
        let mut transaction = pool.begin().await?;
        match attempt(&mut transaction, tenant, identity, account).await? {
            Ok(user) => {
                transaction.commit().await?;
                return Ok(user);
            }
            Err(Conflict) => transaction.rollback().await?,
        }
    }
}

async fn attempt(
    connection: &mut PgConnection,
    tenant: &str,
    identity: &Identity,
    account: AccountSelector<'_>,
) -> Attempt<Option<UserRow>> {
    let openid = without_nul(&identity.openid);
    let is_new = matches!(account, AccountSelector::New { .. });
    if is_new {
        let query = sqlx::query_as::<_, UserRow>(BOUND_USER).bind(tenant).bind(&identity.platform).bind(&openid);
        if let Some(bound) = query.fetch_optional(&mut *connection).await? {
            return Ok(Ok(Some(bound)));
        }
    }
    let user = match self::account(connection, tenant, account).await? {
        Ok(Some(user)) => user,
        none_or_conflict => return Ok(none_or_conflict),
    };
    let sql = if is_new {
        // Where a concurrent call has bound this openid, the rollback also undoes the new account.
        "INSERT INTO bindings (tenant, platform, openid, unionid, user_id) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT DO NOTHING RETURNING false"
    } else {
        // The xmax of a row is 0 only where it was inserted: it shows whether a binding was replaced.
        "INSERT INTO bindings AS b (tenant, platform, openid, unionid, user_id) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant, platform, openid) DO UPDATE SET
                created_at = CASE WHEN b.user_id = excluded.user_id THEN b.created_at ELSE now() END,
                user_id = excluded.user_id, unionid = coalesce(excluded.unionid, b.unionid)
            RETURNING xmax <> 0"
    };
    let query = sqlx::query_scalar::<_, bool>(sql).bind(tenant).bind(&identity.platform).bind(openid);
    let query = query.bind(identity.unionid.as_deref().map(without_nul)).bind(user.id);
    let Some(replaced) = query.fetch_optional(&mut *connection).await? else { return Ok(Err(Conflict)) };
    if replaced {
        let replaced_binding = IdentityRef { tenant, platform: &identity.platform, openid: &identity.openid };
        Notice::Binding(replaced_binding).send(connection).await?;
    }
    Ok(Ok(Some(user)))
}

/// The selected account; created where the selector permits. It is looked up first, since an insertion that finds it uses
/// up an id.
async fn account(
    connection: &mut PgConnection,
    tenant: &str,
    account: AccountSelector<'_>,
) -> Attempt<Option<UserRow>> {
    match account {
        AccountSelector::New { name, avatar_url } => {
            let sql = "INSERT INTO users (tenant, name, avatar_url) VALUES ($1, $2, $3) RETURNING id, name, avatar_url";
            let query = sqlx::query_as(sql).bind(tenant).bind(without_nul(name)).bind(without_nul(avatar_url));
            Ok(Ok(Some(query.fetch_one(connection).await?)))
        }
        AccountSelector::Phone(phone) => {
            let phone = without_nul(phone);
            let sql = "SELECT id, name, avatar_url FROM users WHERE tenant = $1 AND phone = $2";
            let known = sqlx::query_as(sql).bind(tenant).bind(&phone).fetch_optional(&mut *connection).await?;
            if known.is_some() {
                return Ok(Ok(known));
            }
            let sql = "INSERT INTO users (tenant, phone, name, avatar_url) VALUES ($1, $2, '', '')
                ON CONFLICT (tenant, phone) DO NOTHING RETURNING id, name, avatar_url";
            let created = sqlx::query_as(sql).bind(tenant).bind(&phone).fetch_optional(connection).await?;
            Ok(created.map(Some).ok_or(Conflict))
        }
        AccountSelector::External { id, name, avatar_url } => {
            let (id, name, avatar_url) = (without_nul(id), without_nul(name), without_nul(avatar_url));
            let sql = "SELECT id, name, avatar_url FROM users WHERE tenant = $1 AND external_id = $2 FOR UPDATE";
            let query = sqlx::query_as::<_, UserRow>(sql).bind(tenant).bind(&id);
            let Some(known) = query.fetch_optional(&mut *connection).await? else {
                let sql = "INSERT INTO users (tenant, external_id, name, avatar_url) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (tenant, external_id) DO NOTHING RETURNING id, name, avatar_url";
                let query = sqlx::query_as(sql).bind(tenant).bind(&id).bind(name).bind(avatar_url);
                return Ok(query.fetch_optional(connection).await?.map(Some).ok_or(Conflict));
            };
            if known.name == name && known.avatar_url == avatar_url {
                return Ok(Ok(Some(known)));
            }
            let sql =
                "UPDATE users SET name = $1, avatar_url = $2, updated_at = now(), version = version + 1 WHERE id = $3
                RETURNING id, name, avatar_url";
            let query = sqlx::query_as(sql).bind(name).bind(avatar_url).bind(known.id);
            let user = query.fetch_one(&mut *connection).await?;
            Notice::User(known.id).send(connection).await?;
            Ok(Ok(Some(user)))
        }
        AccountSelector::Existing(id) => {
            let sql = "SELECT id, name, avatar_url FROM users WHERE tenant = $1 AND id = $2";
            Ok(Ok(sqlx::query_as(sql).bind(tenant).bind(id).fetch_optional(connection).await?))
        }
    }
}
