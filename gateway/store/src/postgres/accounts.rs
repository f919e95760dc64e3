//! User accounts as admins see them, in PostgreSQL.

use super::{
    Postgres,
    notice::{CHANNEL, Notice},
    rows::without_nul,
};
use crate::{
    accounts::{AccountStore, BoundIdentity, Profile, ProfileQuery, UpdateOutcome},
    cache::IdentityRef,
    error::Result,
};
use async_trait::async_trait;
use sqlx::{AssertSqlSafe, PgConnection};

/// Selects a timestamp column as Unix milliseconds.
macro_rules! millis {
    ($column:literal) => {
        concat!("(extract(epoch FROM ", $column, ") * 1000)::bigint AS ", $column)
    };
}

#[async_trait]
impl AccountStore for Postgres {
    async fn profiles(&self, tenant: &str, query: ProfileQuery<'_>, limit: u32) -> Result<Vec<Profile>> {
        let (condition, values): (&str, Vec<&str>) = match &query {
            ProfileQuery::Id(_) => ("users.id = $2", Vec::new()),
            ProfileQuery::Openid { platform, openid } => (
                "users.id IN (SELECT user_id FROM bindings WHERE tenant = $1 AND platform = $2 AND openid = $4)",
                vec![platform, openid],
            ),
            ProfileQuery::Phone(phone) => ("phone = $2", vec![phone]),
            ProfileQuery::Account(account) => ("account = $2", vec![account]),
            ProfileQuery::External(id) => ("external_id = $2", vec![id]),
            ProfileQuery::After(_) => ("users.id > $2", Vec::new()),
        };
        let (created, updated) = (millis!("created_at"), millis!("updated_at"));
        // The condition is one of the constants above.
        let sql = AssertSqlSafe(format!(
            "SELECT id, name, avatar_url, account, phone, external_id, {created}, {updated}, version FROM users
            WHERE tenant = $1 AND {condition} ORDER BY id LIMIT $3"
        ));
        let mut values = values.into_iter().map(without_nul);
        let select = sqlx::query_as::<_, AccountRow>(sql).bind(tenant);
        let select = match query {
            ProfileQuery::Id(id) | ProfileQuery::After(id) => select.bind(id),
            _ => select.bind(values.next()),
        };
        let mut select = select.bind(i64::from(limit));
        if let Some(openid) = values.next() {
            select = select.bind(openid);
        }
        let found = self.query(|pool| async move {
            let rows = select.fetch_all(&pool).await?;
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            let sql = concat!(
                "SELECT user_id, platform, openid, unionid, ",
                millis!("created_at"),
                " FROM bindings WHERE user_id = ANY ($1) ORDER BY bindings.created_at, openid"
            );
            let bindings = sqlx::query_as::<_, BindingRow>(sql).bind(ids).fetch_all(&pool).await?;
            Ok((rows, bindings))
        });
        let (rows, bindings) = found.await?;
        Ok(rows.into_iter().map(|row| row.with_bindings(&bindings)).collect())
    }

    async fn update_profile(
        &self,
        tenant: &str,
        user: i64,
        version: Option<i64>,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<UpdateOutcome> {
        let updated = self.query(|pool| async move {
            let mut transaction = pool.begin().await?;
            let outcome = compare(&mut transaction, tenant, user, version).await?;
            if outcome == UpdateOutcome::Done {
                let sql = "WITH changed AS (
                        UPDATE users SET name = coalesce($1, name), avatar_url = coalesce($2, avatar_url),
                            updated_at = now(), version = version + 1 WHERE id = $3)
                    SELECT pg_notify($4, $5)";
                let query = sqlx::query(sql).bind(name.map(without_nul)).bind(avatar_url.map(without_nul)).bind(user);
                let query = query.bind(CHANNEL).bind(Notice::User(user).payload());
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(outcome)
        });
        let updated = updated.await;
        self.invalidation.user(user);
        updated
    }

    async fn delete_account(&self, tenant: &str, user: i64, version: Option<i64>) -> Result<UpdateOutcome> {
        let deleted = self.query(|pool| async move {
            let mut transaction = pool.begin().await?;
            let outcome = compare(&mut transaction, tenant, user, version).await?;
            let mut bound = Vec::new();
            if outcome == UpdateOutcome::Done {
                let sql = "DELETE FROM bindings WHERE user_id = $1 RETURNING platform, openid";
                bound = sqlx::query_as::<_, (String, String)>(sql).bind(user).fetch_all(&mut *transaction).await?;
                sqlx::query("DELETE FROM users WHERE id = $1").bind(user).execute(&mut *transaction).await?;
                let bindings =
                    bound.iter().map(|(platform, openid)| Notice::Binding(IdentityRef { tenant, platform, openid }));
                let notices: Vec<String> =
                    bindings.chain([Notice::User(user)]).map(|notice| notice.payload()).collect();
                let sql = "SELECT pg_notify($1, notice) FROM unnest($2::text[]) AS notice";
                sqlx::query(sql).bind(CHANNEL).bind(notices).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok((outcome, bound))
        });
        let deleted = deleted.await;
        self.invalidation.user(user);
        let (outcome, bound) = deleted?;
        for (platform, openid) in &bound {
            self.invalidation.binding(&IdentityRef { tenant, platform, openid });
        }
        Ok(outcome)
    }
}

/// Whether the account exists and, where `version` is given, has that version. It stays locked until the transaction ends, so
/// that no openid is bound to it meanwhile.
async fn compare(
    connection: &mut PgConnection,
    tenant: &str,
    user: i64,
    version: Option<i64>,
) -> sqlx::Result<UpdateOutcome> {
    let query = sqlx::query_scalar::<_, i64>("SELECT version FROM users WHERE tenant = $1 AND id = $2 FOR UPDATE");
    Ok(match query.bind(tenant).bind(user).fetch_optional(connection).await? {
        None => UpdateOutcome::NotFound,
        Some(current) if version.is_some_and(|version| version != current) => UpdateOutcome::VersionMismatch,
        Some(_) => UpdateOutcome::Done,
    })
}

/// An account without its bindings.
#[derive(sqlx::FromRow)]
struct AccountRow {
    id: i64,
    name: String,
    avatar_url: String,
    account: Option<String>,
    phone: Option<String>,
    external_id: Option<String>,
    created_at: i64,
    updated_at: i64,
    version: i64,
}

/// A bound identity: account id, platform, openid, unionid, and when it was bound.
type BindingRow = (i64, String, String, Option<String>, i64);

impl AccountRow {
    /// The account with those of the bindings that belong to it.
    fn with_bindings(self, bindings: &[BindingRow]) -> Profile {
        let own = bindings.iter().filter(|(user, ..)| *user == self.id);
        let bindings = own.map(|(_, platform, openid, unionid, created_at)| BoundIdentity {
            platform: platform.clone(),
            openid: openid.clone(),
            unionid: unionid.clone(),
            created_at: *created_at,
        });
        Profile {
            bindings: bindings.collect(),
            id: self.id,
            name: self.name,
            avatar_url: self.avatar_url,
            account: self.account,
            phone: self.phone,
            external_id: self.external_id,
            created_at: self.created_at,
            updated_at: self.updated_at,
            version: self.version,
        }
    }
}
