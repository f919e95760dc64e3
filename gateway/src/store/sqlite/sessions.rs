//! Sessions in the SQLite file.

use super::{
    super::{Result, Session, Sessions, TokenHash, clock, record},
    Sqlite,
    writer::{Durability, work},
};
use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt};
use sqlx::SqliteConnection;
use std::sync::Arc;

#[async_trait]
impl Sessions for Sqlite {
    async fn open(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<()> {
        let bytes = record::encode(&session)?;
        let end = i64::try_from(session.expires_at).unwrap_or(i64::MAX).saturating_mul(1000);
        let (owner, hash) = (tenant.to_owned(), token.0.to_vec());
        let work = work(move |connection| {
            async move {
                let sql = "INSERT INTO sessions (tenant, token, record, expires_at) VALUES (?, ?, ?, ?)
                    ON CONFLICT DO UPDATE SET record = excluded.record, expires_at = excluded.expires_at";
                sqlx::query(sql).bind(owner).bind(hash).bind(bytes).bind(end).execute(connection).await?;
                Ok(())
            }
            .boxed()
        });
        self.change(tenant, token, work).await
    }

    async fn find(&self, tenant: &str, token: &TokenHash) -> Result<Option<Arc<Session>>> {
        if let Some(session) = self.sessions.get(tenant, token) {
            return Ok(Some(session));
        }
        let ticket = self.sessions.ticket(tenant, token);
        let sql = "SELECT record FROM sessions WHERE tenant = ? AND token = ? AND expires_at > ?";
        let query = sqlx::query_scalar::<_, Vec<u8>>(sql).bind(tenant).bind(&token.0[..]).bind(clock::millis());
        let Some(bytes) = self.read(query.fetch_optional(&self.readers)).await? else { return Ok(None) };
        let session = Arc::new(record::decode(&bytes)?);
        self.sessions.keep(ticket, tenant, token, &session);
        Ok(Some(session))
    }

    async fn replace(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<bool> {
        let bytes = record::encode(&session)?;
        let end = i64::try_from(session.expires_at).unwrap_or(i64::MAX).saturating_mul(1000);
        let (owner, hash) = (tenant.to_owned(), token.0.to_vec());
        let work = work(move |connection| {
            async move {
                let sql = "UPDATE sessions SET record = ?, expires_at = ?
                    WHERE tenant = ? AND token = ? AND expires_at > ?";
                let query = sqlx::query(sql).bind(bytes).bind(end).bind(owner).bind(hash).bind(clock::millis());
                Ok(query.execute(connection).await?.rows_affected() == 1)
            }
            .boxed()
        });
        self.change(tenant, token, work).await
    }

    async fn end(&self, tenant: &str, token: &TokenHash) -> Result<bool> {
        let (owner, hash) = (tenant.to_owned(), token.0.to_vec());
        let work = work(move |connection| {
            async move {
                let sql = "DELETE FROM sessions WHERE tenant = ? AND token = ? RETURNING expires_at";
                let query = sqlx::query_scalar::<_, i64>(sql).bind(owner).bind(hash);
                Ok(query.fetch_optional(connection).await?.is_some_and(|end| end > clock::millis()))
            }
            .boxed()
        });
        self.change(tenant, token, work).await
    }
}

impl Sqlite {
    /// Changes a session and has the cache forget it.
    async fn change<T, W>(&self, tenant: &str, token: &TokenHash, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send + 'static,
    {
        let (sessions, tenant, token) = (Arc::clone(&self.sessions), tenant.to_owned(), *token);
        let forget = move |_: Option<&T>| sessions.forget(&tenant, &token);
        self.writer.run_then(Durability::Process, work, forget).await
    }
}
