//! Short-lived shared values in the SQLite file.

use super::{
    super::{Result, Shared, clock},
    Sqlite,
    writer::Durability,
};
use async_trait::async_trait;
use std::time::Duration;

#[async_trait]
impl Shared for Sqlite {
    async fn claim(&self, tenant: &str, key: &str, value: &[u8], life: Duration) -> Result<bool> {
        // Who claims begins; all that follows has its turn.
        self.writer.admit()?;
        let (tenant, key, value) = (tenant.to_owned(), key.to_owned(), value.to_vec());
        let claimed = self.writer.run(Durability::Process, move |connection| {
            Box::pin(async move {
                let now = clock::millis();
                let sql = "INSERT INTO shared (tenant, key, value, expires_at) VALUES (?, ?, ?, ?)
                    ON CONFLICT DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at
                    WHERE shared.expires_at <= ?";
                let query = sqlx::query(sql).bind(tenant).bind(key).bind(value).bind(now + clock::life_millis(life));
                Ok(query.bind(now).execute(connection).await?.rows_affected() == 1)
            })
        });
        claimed.await
    }

    async fn put(&self, tenant: &str, key: &str, value: &[u8], life: Duration) -> Result<()> {
        let (tenant, key, value) = (tenant.to_owned(), key.to_owned(), value.to_vec());
        let put = self.writer.run(Durability::Process, move |connection| {
            Box::pin(async move {
                let end = clock::millis() + clock::life_millis(life);
                let sql = "INSERT INTO shared (tenant, key, value, expires_at) VALUES (?, ?, ?, ?)
                    ON CONFLICT DO UPDATE SET value = excluded.value, expires_at = excluded.expires_at";
                sqlx::query(sql).bind(tenant).bind(key).bind(value).bind(end).execute(connection).await?;
                Ok(())
            })
        });
        put.await
    }

    async fn get(&self, tenant: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let sql = "SELECT value FROM shared WHERE tenant = ? AND key = ? AND expires_at > ?";
        let query = sqlx::query_scalar(sql).bind(tenant).bind(key).bind(clock::millis());
        self.read(query.fetch_optional(&self.readers)).await
    }

    async fn remove(&self, tenant: &str, key: &str) -> Result<()> {
        let (tenant, key) = (tenant.to_owned(), key.to_owned());
        let removed = self.writer.run(Durability::Process, move |connection| {
            Box::pin(async move {
                let sql = "DELETE FROM shared WHERE tenant = ? AND key = ?";
                sqlx::query(sql).bind(tenant).bind(key).execute(connection).await?;
                Ok(())
            })
        });
        removed.await
    }

    async fn count(&self, tenant: &str, key: &str, window: Duration) -> Result<u64> {
        let (tenant, key) = (tenant.to_owned(), key.to_owned());
        let counted = self.writer.run(Durability::Process, move |connection| {
            Box::pin(async move {
                let now = clock::millis();
                // Kept as decimal digits, as Redis does, so that `get` gives the same from both.
                let sql = "INSERT INTO shared (tenant, key, value, expires_at) VALUES (?1, ?2, CAST('1' AS BLOB), ?3)
                    ON CONFLICT DO UPDATE SET
                        value = CASE WHEN expires_at <= ?4 THEN excluded.value
                            ELSE CAST(CAST(value AS INTEGER) + 1 AS BLOB) END,
                        expires_at = CASE WHEN expires_at <= ?4 THEN excluded.expires_at ELSE expires_at END
                    RETURNING CAST(value AS INTEGER)";
                let end = now + clock::life_millis(window);
                let query = sqlx::query_scalar::<_, i64>(sql).bind(tenant).bind(key).bind(end).bind(now);
                Ok(query.fetch_one(connection).await?.unsigned_abs())
            })
        });
        counted.await
    }

    async fn ping(&self) -> Result<()> {
        self.ping().await
    }
}
