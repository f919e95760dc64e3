//! Binds an openid to an account in PostgreSQL, in one transaction, whatever races.

use super::{
    super::{AccountSelector, Identity, cache::IdentityRef},
    UserRow,
    link::{CHANNEL, Notice},
};
use sqlx::{PgConnection, PgPool};
use std::borrow::Cow;

/// The account that an openid is bound to.
pub(super) const BOUND: &str = "SELECT users.id, users.name, users.avatar_url FROM bindings
    JOIN users ON users.id = user_id WHERE bindings.tenant = $1 AND platform = $2 AND openid = $3";

/// Someone else was faster between two statements; what they did is seen at the next attempt.
struct Overtaken;

type Attempt<T> = sqlx::Result<Result<T, Overtaken>>;

/// `None` only where [`AccountSelector::Existing`] is no account of this tenant. Tries until nobody is faster; the caller's
/// deadline ends it.
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
            Err(Overtaken) => transaction.rollback().await?,
        }
    }
}

async fn attempt(
    connection: &mut PgConnection,
    tenant: &str,
    identity: &Identity,
    account: AccountSelector<'_>,
) -> Attempt<Option<UserRow>> {
    let openid = plain(&identity.openid);
    let fresh = matches!(account, AccountSelector::New { .. });
    if fresh {
        let query = sqlx::query_as::<_, UserRow>(BOUND).bind(tenant).bind(&identity.platform).bind(&openid);
        if let Some(bound) = query.fetch_optional(&mut *connection).await? {
            return Ok(Ok(Some(bound)));
        }
    }
    let user = match self::account(connection, tenant, account).await? {
        Ok(Some(user)) => user,
        none_or_overtaken => return Ok(none_or_overtaken),
    };
    let sql = if fresh {
        // Where another bound this openid meanwhile, the account just made goes with the transaction.
        "INSERT INTO bindings (tenant, platform, openid, unionid, user_id) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT DO NOTHING RETURNING false"
    } else {
        // A row's xmax is 0 only where it was inserted: it says whether there was a binding before.
        "INSERT INTO bindings AS b (tenant, platform, openid, unionid, user_id) VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (tenant, platform, openid) DO UPDATE SET
                created_at = CASE WHEN b.user_id = excluded.user_id THEN b.created_at ELSE now() END,
                user_id = excluded.user_id, unionid = coalesce(excluded.unionid, b.unionid)
            RETURNING xmax <> 0"
    };
    let query = sqlx::query_scalar::<_, bool>(sql).bind(tenant).bind(&identity.platform).bind(openid);
    let query = query.bind(identity.unionid.as_deref().map(plain)).bind(user.id);
    let Some(replaced) = query.fetch_optional(&mut *connection).await? else { return Ok(Err(Overtaken)) };
    if replaced {
        let notice = IdentityRef { tenant, platform: &identity.platform, openid: &identity.openid };
        notify(connection, Notice::Binding(notice)).await?;
    }
    Ok(Ok(Some(user)))
}

/// The account to bind to, made where it may be. It is looked for before it is made: an insertion that finds it there
/// would use up an id each time.
async fn account(
    connection: &mut PgConnection,
    tenant: &str,
    account: AccountSelector<'_>,
) -> Attempt<Option<UserRow>> {
    match account {
        AccountSelector::New { name, avatar_url } => {
            let sql = "INSERT INTO users (tenant, name, avatar_url) VALUES ($1, $2, $3) RETURNING id, name, avatar_url";
            let query = sqlx::query_as(sql).bind(tenant).bind(plain(name)).bind(plain(avatar_url));
            Ok(Ok(Some(query.fetch_one(connection).await?)))
        }
        AccountSelector::Phone(phone) => {
            let phone = plain(phone);
            let sql = "SELECT id, name, avatar_url FROM users WHERE tenant = $1 AND phone = $2";
            let known = sqlx::query_as(sql).bind(tenant).bind(&phone).fetch_optional(&mut *connection).await?;
            if known.is_some() {
                return Ok(Ok(known));
            }
            let sql = "INSERT INTO users (tenant, phone, name, avatar_url) VALUES ($1, $2, '', '')
                ON CONFLICT (tenant, phone) DO NOTHING RETURNING id, name, avatar_url";
            let made = sqlx::query_as(sql).bind(tenant).bind(&phone).fetch_optional(connection).await?;
            Ok(made.map(Some).ok_or(Overtaken))
        }
        AccountSelector::External { id, name, avatar_url } => {
            let (id, name, avatar_url) = (plain(id), plain(name), plain(avatar_url));
            let sql = "SELECT id, name, avatar_url FROM users WHERE tenant = $1 AND external_id = $2 FOR UPDATE";
            let query = sqlx::query_as::<_, UserRow>(sql).bind(tenant).bind(&id);
            let Some(known) = query.fetch_optional(&mut *connection).await? else {
                let sql = "INSERT INTO users (tenant, external_id, name, avatar_url) VALUES ($1, $2, $3, $4)
                    ON CONFLICT (tenant, external_id) DO NOTHING RETURNING id, name, avatar_url";
                let query = sqlx::query_as(sql).bind(tenant).bind(&id).bind(name).bind(avatar_url);
                return Ok(query.fetch_optional(connection).await?.map(Some).ok_or(Overtaken));
            };
            if known.name == name && known.avatar_url == avatar_url {
                return Ok(Ok(Some(known)));
            }
            let sql =
                "UPDATE users SET name = $1, avatar_url = $2, updated_at = now(), version = version + 1 WHERE id = $3
                RETURNING id, name, avatar_url";
            let query = sqlx::query_as(sql).bind(name).bind(avatar_url).bind(known.id);
            let user = query.fetch_one(&mut *connection).await?;
            notify(connection, Notice::User(known.id)).await?;
            Ok(Ok(Some(user)))
        }
        AccountSelector::Existing(id) => {
            let sql = "SELECT id, name, avatar_url FROM users WHERE tenant = $1 AND id = $2";
            Ok(Ok(sqlx::query_as(sql).bind(tenant).bind(id).fetch_optional(connection).await?))
        }
    }
}

/// Tells all replicas, when the transaction is committed.
async fn notify(connection: &mut PgConnection, notice: Notice<'_>) -> sqlx::Result<()> {
    sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(notice.text()).execute(connection).await?;
    Ok(())
}

/// PostgreSQL's text can't hold a NUL: it is replaced, as any other character that can't be shown.
pub(super) fn plain(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { Cow::Owned(text.replace('\0', "\u{fffd}")) } else { Cow::Borrowed(text) }
}
