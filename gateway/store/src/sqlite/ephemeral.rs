//! Ephemeral values in the SQLite file.

use super::{Sqlite, writer::Durability};
use crate::{ephemeral::EphemeralKv, error::Result, ttl::clamped_millis};
use async_trait::async_trait;
use menlou_clock::unix_millis_i64;
use rusqlite::OptionalExtension;
use std::time::Duration;

#[async_trait]
impl EphemeralKv for Sqlite {
    async fn claim(&self, tenant: &str, key: &str, value: &[u8], ttl: Duration) -> Result<bool> {
        // A claim is the first write of a request. What a request has begun is not rejected.
        self.writer.admit(tenant)?;
        let (tenant, key, value) = (tenant.to_owned(), key.to_owned(), value.to_vec());
        let claimed = self.writer.run(Durability::Process, move |connection| {
            let now = unix_millis_i64();
            let sql = "INSERT INTO ephemeral (tenant, key, value, expires_at) VALUES (?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
                WHERE ephemeral.expires_at <= ?";
            let end = now + clamped_millis(ttl);
            Ok(connection.prepare_cached(sql)?.execute((tenant, key, value, end, now))? == 1)
        });
        claimed.await
    }

    async fn put(&self, tenant: &str, key: &str, value: &[u8], ttl: Duration) -> Result<()> {
        let (tenant, key, value) = (tenant.to_owned(), key.to_owned(), value.to_vec());
        let put = self.writer.run(Durability::Process, move |connection| {
            let end = unix_millis_i64() + clamped_millis(ttl);
            let sql = "INSERT INTO ephemeral (tenant, key, value, expires_at) VALUES (?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at";
            connection.prepare_cached(sql)?.execute((tenant, key, value, end)).map(|_| ())
        });
        put.await
    }

    async fn get(&self, tenant: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let (tenant, key) = (tenant.to_owned(), key.to_owned());
        let got = self.reader.run(move |connection| {
            let sql = "SELECT value FROM ephemeral WHERE tenant = ? AND key = ? AND expires_at > ?";
            let mut query = connection.prepare_cached(sql)?;
            query.query_row((tenant, key, unix_millis_i64()), |row| row.get(0)).optional()
        });
        got.await
    }

    async fn remove(&self, tenant: &str, key: &str) -> Result<()> {
        let (tenant, key) = (tenant.to_owned(), key.to_owned());
        let removed = self.writer.run(Durability::Process, move |connection| {
            let sql = "DELETE FROM ephemeral WHERE tenant = ? AND key = ?";
            connection.prepare_cached(sql)?.execute((tenant, key)).map(|_| ())
        });
        removed.await
    }

    async fn increment(&self, tenant: &str, key: &str, window: Duration) -> Result<u64> {
        let (tenant, key) = (tenant.to_owned(), key.to_owned());
        let counted = self.writer.run(Durability::Process, move |connection| {
            let now = unix_millis_i64();
            // Stored as decimal digits, as in Redis, so that `get` returns the same from both.
            let sql = "INSERT INTO ephemeral (tenant, key, value, expires_at) VALUES (?1, ?2, CAST('1' AS BLOB), ?3)
                ON CONFLICT DO UPDATE SET
                    value = CASE WHEN expires_at <= ?4 THEN excluded.value
                        ELSE CAST(CAST(value AS INTEGER) + 1 AS BLOB) END,
                    expires_at = CASE WHEN expires_at <= ?4 THEN excluded.expires_at ELSE expires_at END
                RETURNING CAST(value AS INTEGER)";
            let end = now + clamped_millis(window);
            let sum: i64 = connection.prepare_cached(sql)?.query_row((tenant, key, end, now), |row| row.get(0))?;
            Ok(sum.unsigned_abs())
        });
        counted.await
    }

    async fn ping(&self) -> Result<()> {
        self.ping().await
    }
}
