//! Sessions in the SQLite file.

use super::{
    super::{Error, MOST_LISTED, Result, Session, Sessions, TokenHash, clock, record},
    Sqlite,
    writer::{Durability, work},
};
use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt};
use sqlx::SqliteConnection;
use std::sync::Arc;

/// How many sessions are ended in one transaction where all are: others write too.
const PORTION: u32 = 500;

#[async_trait]
impl Sessions for Sqlite {
    async fn open(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<()> {
        let bytes = record::encode(&session)?;
        let end = i64::try_from(session.expires_at).unwrap_or(i64::MAX).saturating_mul(1000);
        let (owner, hash) = (tenant.to_owned(), token.0.to_vec());
        let work = work(move |connection| {
            async move {
                let sql = "INSERT INTO sessions (tenant, token, record, expires_at, platform, openid)
                    VALUES (?, ?, ?, ?, ?, ?)
                    ON CONFLICT DO UPDATE SET record = excluded.record, expires_at = excluded.expires_at,
                        platform = excluded.platform, openid = excluded.openid";
                let query = sqlx::query(sql).bind(owner).bind(hash).bind(bytes).bind(end);
                query.bind(session.platform).bind(session.openid).execute(connection).await?;
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

    async fn total(&self, tenant: &str) -> Result<u64> {
        let sql = "SELECT count(*) FROM sessions WHERE tenant = ? AND expires_at > ?";
        let query = sqlx::query_scalar::<_, i64>(sql).bind(tenant).bind(clock::millis());
        Ok(self.read(query.fetch_one(&self.readers)).await?.unsigned_abs())
    }

    async fn of(&self, tenant: &str, platform: &str, openid: &str) -> Result<Vec<(TokenHash, Arc<Session>)>> {
        let sql = "SELECT token, record FROM sessions
            WHERE tenant = ? AND platform = ? AND openid = ? AND expires_at > ? ORDER BY expires_at DESC LIMIT ?";
        let query = sqlx::query_as::<_, (Vec<u8>, Vec<u8>)>(sql).bind(tenant).bind(platform).bind(openid);
        let query = query.bind(clock::millis()).bind(MOST_LISTED);
        let mut found = Vec::new();
        for (token, bytes) in self.read(query.fetch_all(&self.readers)).await? {
            let token: [u8; 32] = token.try_into().map_err(|_| Error::Corrupt("SQLite, a session's token".into()))?;
            found.push((TokenHash(token), Arc::new(record::decode(&bytes)?)));
        }
        found.sort_by_key(|(_, session)| std::cmp::Reverse(session.created_at));
        Ok(found)
    }

    async fn end_all(&self, tenant: &str) -> Result<u64> {
        let mut ended = 0;
        loop {
            let owner = tenant.to_owned();
            let work = work(move |connection| {
                async move {
                    let sql = "DELETE FROM sessions WHERE (tenant, token) IN
                        (SELECT tenant, token FROM sessions WHERE tenant = ? LIMIT ?) RETURNING expires_at";
                    sqlx::query_scalar::<_, i64>(sql).bind(owner).bind(PORTION).fetch_all(connection).await
                }
                .boxed()
            });
            let sessions = Arc::clone(&self.sessions);
            let ends = self.writer.run_then(Durability::Process, work, move |_| sessions.clear()).await?;
            ended += ends.iter().filter(|end| **end > clock::millis()).count() as u64;
            if ends.len() < PORTION as usize {
                return Ok(ended);
            }
        }
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
