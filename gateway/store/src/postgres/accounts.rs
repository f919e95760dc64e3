//! Accounts as those see them who look after them, in PostgreSQL.

use super::{
    super::{AccountStore, BoundIdentity, Profile, ProfileQuery, Result, UpdateOutcome, cache::IdentityRef},
    CHANNEL, Notice, Postgres, plain,
};
use async_trait::async_trait;
use sqlx::{AssertSqlSafe, PgConnection};

/// Unix milliseconds of a column.
macro_rules! millis {
    ($column:literal) => {
        concat!("(extract(epoch FROM ", $column, ") * 1000)::bigint AS ", $column)
    };
}

#[async_trait]
impl AccountStore for Postgres {
    async fn profiles(&self, tenant: &str, seek: ProfileQuery<'_>, most: u32) -> Result<Vec<Profile>> {
        let (condition, values): (&str, Vec<&str>) = match &seek {
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
        // The conditions are ours, as they stand above.
        let sql = AssertSqlSafe(format!(
            "SELECT id, name, avatar_url, account, phone, external_id, {created}, {updated}, version FROM users
            WHERE tenant = $1 AND {condition} ORDER BY id LIMIT $3"
        ));
        let mut values = values.into_iter().map(plain);
        let query = sqlx::query_as::<_, Row>(sql).bind(tenant);
        let query = match seek {
            ProfileQuery::Id(id) | ProfileQuery::After(id) => query.bind(id),
            _ => query.bind(values.next()),
        };
        let mut query = query.bind(i64::from(most));
        if let Some(openid) = values.next() {
            query = query.bind(openid);
        }
        let found = self.ask(|pool| async move {
            let rows = query.fetch_all(&pool).await?;
            let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
            let sql = concat!(
                "SELECT user_id, platform, openid, unionid, ",
                millis!("created_at"),
                " FROM bindings WHERE user_id = ANY ($1) ORDER BY bindings.created_at, openid"
            );
            let bindings = sqlx::query_as::<_, Binding>(sql).bind(ids).fetch_all(&pool).await?;
            Ok((rows, bindings))
        });
        let (rows, bindings) = found.await?;
        Ok(rows.into_iter().map(|row| row.with(&bindings)).collect())
    }

    async fn update_profile(
        &self,
        tenant: &str,
        user: i64,
        version: Option<i64>,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<UpdateOutcome> {
        let amended = self.ask(|pool| async move {
            let mut transaction = pool.begin().await?;
            let outcome = compare(&mut transaction, tenant, user, version).await?;
            if outcome == UpdateOutcome::Done {
                let sql = "WITH changed AS (
                        UPDATE users SET name = coalesce($1, name), avatar_url = coalesce($2, avatar_url),
                            updated_at = now(), version = version + 1 WHERE id = $3)
                    SELECT pg_notify($4, $5)";
                let query = sqlx::query(sql).bind(name.map(plain)).bind(avatar_url.map(plain)).bind(user);
                let query = query.bind(CHANNEL).bind(Notice::User(user).text());
                query.execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok(outcome)
        });
        let amended = amended.await;
        self.heard.user(user);
        amended
    }

    async fn delete_account(&self, tenant: &str, user: i64, version: Option<i64>) -> Result<UpdateOutcome> {
        let erased = self.ask(|pool| async move {
            let mut transaction = pool.begin().await?;
            let outcome = compare(&mut transaction, tenant, user, version).await?;
            let mut bound = Vec::new();
            if outcome == UpdateOutcome::Done {
                let sql = "DELETE FROM bindings WHERE user_id = $1 RETURNING platform, openid";
                bound = sqlx::query_as::<_, (String, String)>(sql).bind(user).fetch_all(&mut *transaction).await?;
                sqlx::query("DELETE FROM users WHERE id = $1").bind(user).execute(&mut *transaction).await?;
                let bindings =
                    bound.iter().map(|(platform, openid)| Notice::Binding(IdentityRef { tenant, platform, openid }));
                let notices: Vec<String> = bindings.chain([Notice::User(user)]).map(|notice| notice.text()).collect();
                let sql = "SELECT pg_notify($1, notice) FROM unnest($2::text[]) AS notice";
                sqlx::query(sql).bind(CHANNEL).bind(notices).execute(&mut *transaction).await?;
            }
            transaction.commit().await?;
            Ok((outcome, bound))
        });
        let erased = erased.await;
        self.heard.user(user);
        let (outcome, bound) = erased?;
        for (platform, openid) in &bound {
            self.heard.binding(&IdentityRef { tenant, platform, openid });
        }
        Ok(outcome)
    }
}

/// Whether the account is there, and of this version. It is locked until the transaction ends: nobody binds an openid to
/// it meanwhile.
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
struct Row {
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

/// An account's id and an openid's platform, openid, unionid and time of binding.
type Binding = (i64, String, String, Option<String>, i64);

impl Row {
    /// The whole, with those of these bindings that are the account's.
    fn with(self, bindings: &[Binding]) -> Profile {
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
