//! Admin tokens and the audit log, in PostgreSQL.

use super::{Postgres, rows::without_nul};
use crate::{
    admins::{AdminStore, AdminToken, AuditEntry, NewAuditEntry},
    error::{Error, Result},
};
use async_trait::async_trait;
use menlou_clock::unix_millis_i64;

#[async_trait]
impl AdminStore for Postgres {
    async fn add_token(&self, token: &AdminToken) -> Result<()> {
        let sql = "INSERT INTO admin_tokens (id, hash, role, label, created_at, expires_at)
            VALUES ($1, $2, $3, $4, $5, $6)";
        let query =
            sqlx::query(sql).bind(&token.id).bind(&token.hash[..]).bind(&token.role).bind(without_nul(&token.label));
        let query = query.bind(token.created_at).bind(token.expires_at);
        self.query(|pool| async move { query.execute(&pool).await }).await.map(|_| ())
    }

    async fn token(&self, id: &str) -> Result<Option<AdminToken>> {
        let query = sqlx::query_as::<_, TokenRow>("SELECT * FROM admin_tokens WHERE id = $1").bind(id);
        let row = self.query(|pool| async move { query.fetch_optional(&pool).await }).await?;
        row.map(TryInto::try_into).transpose()
    }

    async fn tokens(&self) -> Result<Vec<AdminToken>> {
        let query = sqlx::query_as::<_, TokenRow>("SELECT * FROM admin_tokens ORDER BY created_at, id");
        let rows = self.query(|pool| async move { query.fetch_all(&pool).await }).await?;
        rows.into_iter().map(TryInto::try_into).collect()
    }

    async fn revoke(&self, id: &str) -> Result<bool> {
        let query = sqlx::query("DELETE FROM admin_tokens WHERE id = $1").bind(id);
        let done = self.query(|pool| async move { query.execute(&pool).await }).await?;
        Ok(done.rows_affected() == 1)
    }

    async fn record_token_use(&self, id: &str, at: i64) -> Result<()> {
        let query = sqlx::query("UPDATE admin_tokens SET used_at = $1 WHERE id = $2").bind(at).bind(id);
        self.query(|pool| async move { query.execute(&pool).await }).await.map(|_| ())
    }

    async fn append_audit_entry(&self, entry: &NewAuditEntry) -> Result<()> {
        let sql = "INSERT INTO audit (at, who, role, what, tenant, target, before, after, diff, failed)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
        let text = |text: &Option<String>| text.as_deref().map(|text| without_nul(text).into_owned());
        let query =
            sqlx::query(sql).bind(unix_millis_i64()).bind(without_nul(&entry.who)).bind(&entry.role).bind(&entry.what);
        let query =
            query.bind(&entry.tenant).bind(text(&entry.target)).bind(text(&entry.before)).bind(text(&entry.after));
        let query = query.bind(text(&entry.diff)).bind(&entry.failed);
        self.query(|pool| async move { query.execute(&pool).await }).await.map(|_| ())
    }

    async fn audit_entries(&self, tenant: Option<&str>, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>> {
        let sql = match tenant {
            Some(_) => "SELECT * FROM audit WHERE tenant = $3 AND id < $1 ORDER BY id DESC LIMIT $2",
            None => "SELECT * FROM audit WHERE id < $1 ORDER BY id DESC LIMIT $2",
        };
        let mut query = sqlx::query_as::<_, AuditRow>(sql).bind(before.unwrap_or(i64::MAX)).bind(i64::from(limit));
        if let Some(tenant) = tenant {
            query = query.bind(tenant);
        }
        let rows = self.query(|pool| async move { query.fetch_all(&pool).await }).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn audit_entries_until(&self, end: i64, after: i64, limit: u32) -> Result<Vec<AuditEntry>> {
        let sql = "SELECT * FROM audit WHERE at < $1 AND id > $2 ORDER BY id LIMIT $3";
        let query = sqlx::query_as::<_, AuditRow>(sql).bind(end).bind(after).bind(i64::from(limit));
        let rows = self.query(|pool| async move { query.fetch_all(&pool).await }).await?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn delete_audit_entries(&self, end: i64, last: i64, limit: u32) -> Result<u64> {
        let sql = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < $1 AND id <= $2 LIMIT $3)";
        let query = sqlx::query(sql).bind(end).bind(last).bind(i64::from(limit));
        Ok(self.query(|pool| async move { query.execute(&pool).await }).await?.rows_affected())
    }
}

#[derive(sqlx::FromRow)]
struct TokenRow {
    id: String,
    hash: Vec<u8>,
    role: String,
    label: String,
    created_at: i64,
    expires_at: Option<i64>,
    used_at: Option<i64>,
}

impl TryFrom<TokenRow> for AdminToken {
    type Error = Error;

    fn try_from(row: TokenRow) -> Result<Self> {
        let hash = row.hash.try_into().map_err(|_| Error::Corrupt("the hash of an admin token".into()))?;
        let TokenRow { id, role, label, created_at, expires_at, used_at, .. } = row;
        Ok(Self { id, hash, role, label, created_at, expires_at, used_at })
    }
}

#[derive(sqlx::FromRow)]
struct AuditRow {
    id: i64,
    at: i64,
    who: String,
    role: String,
    what: String,
    tenant: Option<String>,
    target: Option<String>,
    before: Option<String>,
    after: Option<String>,
    diff: Option<String>,
    failed: Option<String>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        let AuditRow { id, at, who, role, what, tenant, target, before, after, diff, failed } = row;
        Self { id, at, entry: NewAuditEntry { who, role, what, tenant, target, before, after, diff, failed } }
    }
}
