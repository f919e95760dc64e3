//! Accounts as those see them who look after them, in the SQLite file.

use super::{
    super::{
        Accounts, Amended, Profile, Result, Seek,
        accounts::{Binding, Row},
        cache::IdentityRef,
        clock,
    },
    Sqlite,
    writer::{Durability, work},
};
use async_trait::async_trait;
use futures_util::FutureExt;
use sqlx::{AssertSqlSafe, SqliteConnection};
use std::sync::Arc;

#[async_trait]
impl Accounts for Sqlite {
    async fn profiles(&self, tenant: &str, seek: Seek<'_>, most: u32) -> Result<Vec<Profile>> {
        let (condition, values): (&str, Vec<&str>) = match &seek {
            Seek::Id(_) => ("users.id = ?", Vec::new()),
            Seek::Openid { platform, openid } => (
                "users.id IN (SELECT user_id FROM bindings WHERE tenant = users.tenant AND platform = ? AND openid = ?)",
                vec![platform, openid],
            ),
            Seek::Phone(phone) => ("phone = ?", vec![phone]),
            Seek::Account(account) => ("account = ?", vec![account]),
            Seek::External(id) => ("external_id = ?", vec![id]),
            Seek::After(_) => ("users.id > ?", Vec::new()),
        };
        // The conditions are ours, as they stand above.
        let sql = AssertSqlSafe(format!(
            "SELECT id, name, avatar_url, account, phone, external_id, created_at, updated_at, version FROM users
            WHERE tenant = ? AND {condition} ORDER BY id LIMIT ?"
        ));
        let mut query = sqlx::query_as::<_, Row>(sql).bind(tenant);
        query = match seek {
            Seek::Id(id) | Seek::After(id) => query.bind(id),
            _ => values.into_iter().fold(query, |query, value| query.bind(value)),
        };
        let rows = self.read(query.bind(most).fetch_all(&self.readers)).await?;
        let ids = serde_json::Value::from(rows.iter().map(|row| row.id).collect::<Vec<_>>()).to_string();
        let sql = "SELECT user_id, platform, openid, unionid, created_at FROM bindings
            WHERE user_id IN (SELECT value FROM json_each(?)) ORDER BY created_at, openid";
        let bindings = self.read(sqlx::query_as::<_, Binding>(sql).bind(ids).fetch_all(&self.readers)).await?;
        Ok(rows.into_iter().map(|row| row.with(&bindings)).collect())
    }

    async fn amend(
        &self,
        tenant: &str,
        user: i64,
        version: Option<i64>,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<Amended> {
        let (tenant, name, avatar_url) = (tenant.to_owned(), name.map(str::to_owned), avatar_url.map(str::to_owned));
        let users = Arc::clone(&self.users);
        let work = work(move |connection| {
            async move {
                let outcome = compare(connection, &tenant, user, version).await?;
                if outcome == Amended::Done {
                    let sql = "UPDATE users SET name = coalesce(?, name), avatar_url = coalesce(?, avatar_url),
                        updated_at = ?, version = version + 1 WHERE id = ?";
                    let query = sqlx::query(sql).bind(name).bind(avatar_url).bind(clock::millis());
                    query.bind(user).execute(connection).await?;
                }
                Ok(outcome)
            }
            .boxed()
        });
        self.writer.run_then(Durability::Machine, work, move |_| users.forget_user(user)).await
    }

    async fn erase(&self, tenant: &str, user: i64, version: Option<i64>) -> Result<Amended> {
        let (tenant, owner) = (tenant.to_owned(), tenant.to_owned());
        let users = Arc::clone(&self.users);
        let work = work(move |connection| {
            async move {
                let outcome = compare(connection, &tenant, user, version).await?;
                if outcome != Amended::Done {
                    return Ok((outcome, Vec::new()));
                }
                let sql = "DELETE FROM bindings WHERE user_id = ? RETURNING platform, openid";
                let query = sqlx::query_as::<_, (String, String)>(sql).bind(user);
                let bound = query.fetch_all(&mut *connection).await?;
                sqlx::query("DELETE FROM users WHERE id = ?").bind(user).execute(connection).await?;
                Ok((outcome, bound))
            }
            .boxed()
        });
        let forget = move |erased: Option<&(Amended, Vec<(String, String)>)>| {
            users.forget_user(user);
            for (platform, openid) in erased.into_iter().flat_map(|(_, bound)| bound) {
                users.forget_binding(&IdentityRef { tenant: &owner, platform, openid });
            }
        };
        self.writer.run_then(Durability::Machine, work, forget).await.map(|(outcome, _)| outcome)
    }
}

/// Whether the account is there, and of this version.
async fn compare(
    connection: &mut SqliteConnection,
    tenant: &str,
    user: i64,
    version: Option<i64>,
) -> sqlx::Result<Amended> {
    let query = sqlx::query_scalar::<_, i64>("SELECT version FROM users WHERE tenant = ? AND id = ?");
    Ok(match query.bind(tenant).bind(user).fetch_optional(connection).await? {
        None => Amended::Missing,
        Some(current) if version.is_some_and(|version| version != current) => Amended::Stale,
        Some(_) => Amended::Done,
    })
}
