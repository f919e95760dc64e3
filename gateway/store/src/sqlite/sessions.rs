//! Sessions in the SQLite file.

use super::{Sqlite, writer::Durability};
use crate::{
    error::Result,
    session::{MAX_LISTED, Session, SessionStore, TokenHash},
    session_record,
    ttl::millis_of_second,
};
use async_trait::async_trait;
use menlou_clock::unix_millis_i64;
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;

/// Maximum number of sessions that one transaction ends, so that other writes are not delayed.
const BATCH: u32 = 500;

#[async_trait]
impl SessionStore for Sqlite {
    async fn open(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<()> {
        let bytes = session_record::encode(&session)?;
        let end = millis_of_second(session.expires_at);
        let (owned_tenant, hash) = (tenant.to_owned(), token.0);
        let opened = self.change(tenant, token, move |connection| {
            let sql = "INSERT INTO sessions (tenant, token, record, expires_at, platform, openid)
                VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET record = excluded.record, expires_at = excluded.expires_at,
                    platform = excluded.platform, openid = excluded.openid";
            let values = (owned_tenant, hash, bytes, end, session.platform, session.openid);
            connection.prepare_cached(sql)?.execute(values).map(|_| ())
        });
        opened.await
    }

    async fn find(&self, tenant: &str, token: &TokenHash) -> Result<Option<Arc<Session>>> {
        if let Some(session) = self.sessions.get(tenant, token) {
            return Ok(Some(session));
        }
        let version = self.sessions.version(tenant, token);
        let (owned_tenant, hash) = (tenant.to_owned(), token.0);
        let found = self.reader.run(move |connection| {
            let sql = "SELECT record FROM sessions WHERE tenant = ? AND token = ? AND expires_at > ?";
            let mut query = connection.prepare_cached(sql)?;
            query.query_row((owned_tenant, hash, unix_millis_i64()), |row| row.get::<_, Vec<u8>>(0)).optional()
        });
        let Some(bytes) = found.await? else { return Ok(None) };
        let session = Arc::new(session_record::decode(&bytes)?);
        self.sessions.insert(version, tenant, token, &session);
        Ok(Some(session))
    }

    async fn replace(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<bool> {
        let bytes = session_record::encode(&session)?;
        let end = millis_of_second(session.expires_at);
        let (owned_tenant, hash) = (tenant.to_owned(), token.0);
        let replaced = self.change(tenant, token, move |connection| {
            let sql = "UPDATE sessions SET record = ?, expires_at = ?
                WHERE tenant = ? AND token = ? AND expires_at > ?";
            Ok(connection.prepare_cached(sql)?.execute((bytes, end, owned_tenant, hash, unix_millis_i64()))? == 1)
        });
        replaced.await
    }

    async fn end(&self, tenant: &str, token: &TokenHash) -> Result<bool> {
        let (owned_tenant, hash) = (tenant.to_owned(), token.0);
        let ended = self.change(tenant, token, move |connection| {
            let sql = "DELETE FROM sessions WHERE tenant = ? AND token = ? RETURNING expires_at";
            let mut query = connection.prepare_cached(sql)?;
            let end = query.query_row((owned_tenant, hash), |row| row.get::<_, i64>(0)).optional()?;
            Ok(end.is_some_and(|end| end > unix_millis_i64()))
        });
        ended.await
    }

    async fn count(&self, tenant: &str) -> Result<u64> {
        let owned_tenant = tenant.to_owned();
        let total = self.reader.run(move |connection| {
            let sql = "SELECT count(*) FROM sessions WHERE tenant = ? AND expires_at > ?";
            connection.prepare_cached(sql)?.query_row((owned_tenant, unix_millis_i64()), |row| row.get::<_, i64>(0))
        });
        Ok(total.await?.unsigned_abs())
    }

    async fn list(&self, tenant: &str, platform: &str, openid: &str) -> Result<Vec<(TokenHash, Arc<Session>)>> {
        let (owned_tenant, owned_platform, owned_openid) = (tenant.to_owned(), platform.to_owned(), openid.to_owned());
        let rows = self.reader.run(move |connection| {
            let sql = "SELECT token, record FROM sessions
                WHERE tenant = ? AND platform = ? AND openid = ? AND expires_at > ? ORDER BY expires_at DESC LIMIT ?";
            let mut query = connection.prepare_cached(sql)?;
            let values = (owned_tenant, owned_platform, owned_openid, unix_millis_i64(), MAX_LISTED);
            let rows = query.query_map(values, |row| Ok((row.get(0)?, row.get::<_, Vec<u8>>(1)?)))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        let mut found = Vec::new();
        for (token, bytes) in rows.await? {
            found.push((TokenHash(token), Arc::new(session_record::decode(&bytes)?)));
        }
        found.sort_by_key(|(_, session)| std::cmp::Reverse(session.created_at));
        Ok(found)
    }

    async fn end_all(&self, tenant: &str) -> Result<u64> {
        let mut ended = 0;
        loop {
            let owned_tenant = tenant.to_owned();
            let work = move |connection: &Connection| {
                let sql = "DELETE FROM sessions WHERE (tenant, token) IN
                    (SELECT tenant, token FROM sessions WHERE tenant = ? LIMIT ?) RETURNING expires_at";
                let mut query = connection.prepare_cached(sql)?;
                query
                    .query_map((owned_tenant, BATCH), |row| row.get::<_, i64>(0))?
                    .collect::<rusqlite::Result<Vec<_>>>()
            };
            let sessions = Arc::clone(&self.sessions);
            let ends = self.writer.run_then(Durability::Process, work, move |_| sessions.clear()).await?;
            ended += ends.iter().filter(|end| **end > unix_millis_i64()).count() as u64;
            if ends.len() < BATCH as usize {
                return Ok(ended);
            }
        }
    }
}

impl Sqlite {
    /// Changes a session, and invalidates its cache entry.
    async fn change<T, W>(&self, tenant: &str, token: &TokenHash, work: W) -> Result<T>
    where
        T: Send + 'static,
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (sessions, tenant, token) = (Arc::clone(&self.sessions), tenant.to_owned(), *token);
        let invalidate = move |_: Option<&T>| sessions.invalidate(&tenant, &token);
        self.writer.run_then(Durability::Process, work, invalidate).await
    }
}
