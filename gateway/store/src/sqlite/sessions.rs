//! Sessions in the SQLite file.

use super::{
    super::{MAX_LISTED, Result, Session, SessionStore, TokenHash, clock, session_record},
    Sqlite,
    writer::Durability,
};
use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;

/// How many sessions are ended in one transaction where all are: others write too.
const PORTION: u32 = 500;

#[async_trait]
impl SessionStore for Sqlite {
    async fn open(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<()> {
        let bytes = session_record::encode(&session)?;
        let end = millis(session.expires_at);
        let (owner, hash) = (tenant.to_owned(), token.0);
        let opened = self.change(tenant, token, move |connection| {
            let sql = "INSERT INTO sessions (tenant, token, record, expires_at, platform, openid)
                VALUES (?, ?, ?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET record = excluded.record, expires_at = excluded.expires_at,
                    platform = excluded.platform, openid = excluded.openid";
            let values = (owner, hash, bytes, end, session.platform, session.openid);
            connection.prepare_cached(sql)?.execute(values).map(|_| ())
        });
        opened.await
    }

    async fn find(&self, tenant: &str, token: &TokenHash) -> Result<Option<Arc<Session>>> {
        if let Some(session) = self.sessions.get(tenant, token) {
            return Ok(Some(session));
        }
        let ticket = self.sessions.ticket(tenant, token);
        let (owner, hash) = (tenant.to_owned(), token.0);
        let found = self.reader.run(move |connection| {
            let sql = "SELECT record FROM sessions WHERE tenant = ? AND token = ? AND expires_at > ?";
            let mut query = connection.prepare_cached(sql)?;
            query.query_row((owner, hash, clock::millis()), |row| row.get::<_, Vec<u8>>(0)).optional()
        });
        let Some(bytes) = found.await? else { return Ok(None) };
        let session = Arc::new(session_record::decode(&bytes)?);
        self.sessions.keep(ticket, tenant, token, &session);
        Ok(Some(session))
    }

    async fn replace(&self, tenant: &str, token: &TokenHash, session: Session) -> Result<bool> {
        let bytes = session_record::encode(&session)?;
        let end = millis(session.expires_at);
        let (owner, hash) = (tenant.to_owned(), token.0);
        let replaced = self.change(tenant, token, move |connection| {
            let sql = "UPDATE sessions SET record = ?, expires_at = ?
                WHERE tenant = ? AND token = ? AND expires_at > ?";
            Ok(connection.prepare_cached(sql)?.execute((bytes, end, owner, hash, clock::millis()))? == 1)
        });
        replaced.await
    }

    async fn end(&self, tenant: &str, token: &TokenHash) -> Result<bool> {
        let (owner, hash) = (tenant.to_owned(), token.0);
        let ended = self.change(tenant, token, move |connection| {
            let sql = "DELETE FROM sessions WHERE tenant = ? AND token = ? RETURNING expires_at";
            let mut query = connection.prepare_cached(sql)?;
            let end = query.query_row((owner, hash), |row| row.get::<_, i64>(0)).optional()?;
            Ok(end.is_some_and(|end| end > clock::millis()))
        });
        ended.await
    }

    async fn count(&self, tenant: &str) -> Result<u64> {
        let owner = tenant.to_owned();
        let total = self.reader.run(move |connection| {
            let sql = "SELECT count(*) FROM sessions WHERE tenant = ? AND expires_at > ?";
            connection.prepare_cached(sql)?.query_row((owner, clock::millis()), |row| row.get::<_, i64>(0))
        });
        Ok(total.await?.unsigned_abs())
    }

    async fn list(&self, tenant: &str, platform: &str, openid: &str) -> Result<Vec<(TokenHash, Arc<Session>)>> {
        let (owner, site, person) = (tenant.to_owned(), platform.to_owned(), openid.to_owned());
        let rows = self.reader.run(move |connection| {
            let sql = "SELECT token, record FROM sessions
                WHERE tenant = ? AND platform = ? AND openid = ? AND expires_at > ? ORDER BY expires_at DESC LIMIT ?";
            let mut query = connection.prepare_cached(sql)?;
            let values = (owner, site, person, clock::millis(), MAX_LISTED);
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
            let owner = tenant.to_owned();
            let work = move |connection: &Connection| {
                let sql = "DELETE FROM sessions WHERE (tenant, token) IN
                    (SELECT tenant, token FROM sessions WHERE tenant = ? LIMIT ?) RETURNING expires_at";
                let mut query = connection.prepare_cached(sql)?;
                query.query_map((owner, PORTION), |row| row.get::<_, i64>(0))?.collect::<rusqlite::Result<Vec<_>>>()
            };
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
        W: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let (sessions, tenant, token) = (Arc::clone(&self.sessions), tenant.to_owned(), *token);
        let forget = move |_: Option<&T>| sessions.forget(&tenant, &token);
        self.writer.run_then(Durability::Process, work, forget).await
    }
}

/// Unix milliseconds of a Unix second.
fn millis(second: u64) -> i64 {
    i64::try_from(second).unwrap_or(i64::MAX).saturating_mul(1000)
}
