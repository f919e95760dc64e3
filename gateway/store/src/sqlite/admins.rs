//! Admin tokens and the audit log, in the SQLite file.

use super::{Sqlite, writer::Durability};
use crate::{
    admins::{AdminStore, AdminToken, AuditEntry, NewAuditEntry},
    error::Result,
};
use async_trait::async_trait;
use menlou_clock::unix_millis_i64;
use rusqlite::{OptionalExtension, Row};

#[async_trait]
impl AdminStore for Sqlite {
    async fn add_token(&self, token: &AdminToken) -> Result<()> {
        let AdminToken { id, hash, role, label, created_at, expires_at, .. } = token.clone();
        let added = self.writer.run(Durability::Machine, move |connection| {
            let sql =
                "INSERT INTO admin_tokens (id, hash, role, label, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)";
            let values = (id, hash, role, label, created_at, expires_at);
            connection.prepare_cached(sql)?.execute(values).map(|_| ())
        });
        added.await
    }

    async fn token(&self, id: &str) -> Result<Option<AdminToken>> {
        let id = id.to_owned();
        let found = self.reader.run(move |connection| {
            let mut query = connection.prepare_cached("SELECT * FROM admin_tokens WHERE id = ?")?;
            query.query_row((id,), token).optional()
        });
        found.await
    }

    async fn tokens(&self) -> Result<Vec<AdminToken>> {
        let found = self.reader.run(|connection| {
            let mut query = connection.prepare_cached("SELECT * FROM admin_tokens ORDER BY created_at, id")?;
            query.query_map((), token)?.collect()
        });
        found.await
    }

    async fn revoke(&self, id: &str) -> Result<bool> {
        let id = id.to_owned();
        let revoked = self.writer.run(Durability::Machine, move |connection| {
            Ok(connection.prepare_cached("DELETE FROM admin_tokens WHERE id = ?")?.execute((id,))? == 1)
        });
        revoked.await
    }

    async fn record_token_use(&self, id: &str, at: i64) -> Result<()> {
        let id = id.to_owned();
        let used = self.writer.run(Durability::Process, move |connection| {
            let sql = "UPDATE admin_tokens SET used_at = ? WHERE id = ?";
            connection.prepare_cached(sql)?.execute((at, id)).map(|_| ())
        });
        used.await
    }

    async fn append_audit_entry(&self, entry: &NewAuditEntry) -> Result<()> {
        let NewAuditEntry { who, role, what, tenant, target, before, after, diff, failed } = entry.clone();
        let written = self.writer.run(Durability::Machine, move |connection| {
            let sql = "INSERT INTO audit (at, who, role, what, tenant, target, before, after, diff, failed)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
            let values = (unix_millis_i64(), who, role, what, tenant, target, before, after, diff, failed);
            connection.prepare_cached(sql)?.execute(values).map(|_| ())
        });
        written.await
    }

    async fn audit_entries(&self, tenant: Option<&str>, before: Option<i64>, limit: u32) -> Result<Vec<AuditEntry>> {
        let before = before.unwrap_or(i64::MAX);
        let tenant = tenant.map(str::to_owned);
        let found = self.reader.run(move |connection| match tenant {
            Some(tenant) => {
                let sql = "SELECT * FROM audit WHERE tenant = ? AND id < ? ORDER BY id DESC LIMIT ?";
                connection.prepare_cached(sql)?.query_map((tenant, before, limit), entry)?.collect()
            }
            None => {
                let sql = "SELECT * FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?";
                connection.prepare_cached(sql)?.query_map((before, limit), entry)?.collect()
            }
        });
        found.await
    }

    async fn audit_entries_until(&self, end: i64, after: i64, limit: u32) -> Result<Vec<AuditEntry>> {
        let found = self.reader.run(move |connection| {
            let sql = "SELECT * FROM audit WHERE at < ? AND id > ? ORDER BY id LIMIT ?";
            connection.prepare_cached(sql)?.query_map((end, after, limit), entry)?.collect()
        });
        found.await
    }

    async fn delete_audit_entries(&self, end: i64, last: i64, limit: u32) -> Result<u64> {
        let deleted = self.writer.run(Durability::Process, move |connection| {
            let sql = "DELETE FROM audit WHERE id IN (SELECT id FROM audit WHERE at < ? AND id <= ? LIMIT ?)";
            Ok(connection.prepare_cached(sql)?.execute((end, last, limit))? as u64)
        });
        deleted.await
    }
}

fn token(row: &Row<'_>) -> rusqlite::Result<AdminToken> {
    Ok(AdminToken {
        id: row.get("id")?,
        hash: row.get("hash")?,
        role: row.get("role")?,
        label: row.get("label")?,
        created_at: row.get("created_at")?,
        expires_at: row.get("expires_at")?,
        used_at: row.get("used_at")?,
    })
}

fn entry(row: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    let entry = NewAuditEntry {
        who: row.get("who")?,
        role: row.get("role")?,
        what: row.get("what")?,
        tenant: row.get("tenant")?,
        target: row.get("target")?,
        before: row.get("before")?,
        after: row.get("after")?,
        diff: row.get("diff")?,
        failed: row.get("failed")?,
    };
    Ok(AuditEntry { id: row.get("id")?, at: row.get("at")?, entry })
}
