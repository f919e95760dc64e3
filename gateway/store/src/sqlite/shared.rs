//! Short-lived shared values in the SQLite file.

use super::{
    super::{EphemeralKv, Result, clock},
    Sqlite,
    writer::Durability,
};
use async_trait::async_trait;
use rusqlite::OptionalExtension;
use std::time::Duration;

#[async_trait]
impl EphemeralKv for Sqlite {
    async fn claim(&self, tenant: &str, key: &str, value: &[u8], life: Duration) -> Result<bool> {
        // Who claims begins; all that follows has its turn.
        self.writer.admit()?;
        let (tenant, key, value) = (tenant.to_owned(), key.to_owned(), value.to_vec());
        let claimed = self.writer.run(Durability::Process, move |connection| {
            let now = clock::millis();
            let sql = "INSERT INTO shared (tenant, key, value, expires_at) VALUES (?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
                WHERE shared.expires_at <= ?";
            let end = now + clock::life_millis(life);
            Ok(connection.prepare_cached(sql)?.execute((tenant, key, value, end, now))? == 1)
        });
        claimed.await
    }

    async fn put(&self, tenant: &str, key: &str, value: &[u8], life: Duration) -> Result<()> {
        let (tenant, key, value) = (tenant.to_owned(), key.to_owned(), value.to_vec());
        let put = self.writer.run(Durability::Process, move |connection| {
            let end = clock::millis() + clock::life_millis(life);
            let sql = "INSERT INTO shared (tenant, key, value, expires_at) VALUES (?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at";
            connection.prepare_cached(sql)?.execute((tenant, key, value, end)).map(|_| ())
        });
        put.await
    }

    async fn get(&self, tenant: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let (tenant, key) = (tenant.to_owned(), key.to_owned());
        let got = self.reader.run(move |connection| {
            let sql = "SELECT value FROM shared WHERE tenant = ? AND key = ? AND expires_at > ?";
            let mut query = connection.prepare_cached(sql)?;
            query.query_row((tenant, key, clock::millis()), |row| row.get(0)).optional()
        });
        got.await
    }

    async fn remove(&self, tenant: &str, key: &str) -> Result<()> {
        let (tenant, key) = (tenant.to_owned(), key.to_owned());
        let removed = self.writer.run(Durability::Process, move |connection| {
            let sql = "DELETE FROM shared WHERE tenant = ? AND key = ?";
            connection.prepare_cached(sql)?.execute((tenant, key)).map(|_| ())
        });
        removed.await
    }

    async fn increment(&self, tenant: &str, key: &str, window: Duration) -> Result<u64> {
        let (tenant, key) = (tenant.to_owned(), key.to_owned());
        let counted = self.writer.run(Durability::Process, move |connection| {
            let now = clock::millis();
            // Kept as decimal digits, as Redis does, so that `get` gives the same from both.
            let sql = "INSERT INTO shared (tenant, key, value, expires_at) VALUES (?1, ?2, CAST('1' AS BLOB), ?3)
                ON CONFLICT DO UPDATE SET
                    value = CASE WHEN expires_at <= ?4 THEN excluded.value
                        ELSE CAST(CAST(value AS INTEGER) + 1 AS BLOB) END,
                    expires_at = CASE WHEN expires_at <= ?4 THEN excluded.expires_at ELSE expires_at END
                RETURNING CAST(value AS INTEGER)";
            let end = now + clock::life_millis(window);
            let sum: i64 = connection.prepare_cached(sql)?.query_row((tenant, key, end, now), |row| row.get(0))?;
            Ok(sum.unsigned_abs())
        });
        counted.await
    }

    async fn ping(&self) -> Result<()> {
        self.ping().await
    }
}
