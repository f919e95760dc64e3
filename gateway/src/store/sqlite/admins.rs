//! Tokens of admins and the log of their deeds, in the SQLite file.

use super::{
    super::{AdminToken, Admins, Deed, NewDeed, Result, admins::DeedRow, admins::TokenRow, clock},
    Sqlite,
    writer::{Durability, work},
};
use async_trait::async_trait;
use futures_util::FutureExt;

#[async_trait]
impl Admins for Sqlite {
    async fn add_token(&self, token: &AdminToken) -> Result<()> {
        let token = token.clone();
        let work = work(move |connection| {
            async move {
                let sql = "INSERT INTO admin_tokens (id, hash, role, label, created_at, expires_at) VALUES (?, ?, ?, ?, ?, ?)";
                let query = sqlx::query(sql).bind(token.id).bind(token.hash.to_vec()).bind(token.role).bind(token.label);
                query.bind(token.created_at).bind(token.expires_at).execute(connection).await?;
                Ok(())
            }
            .boxed()
        });
        self.writer.run(Durability::Machine, work).await
    }

    async fn token(&self, id: &str) -> Result<Option<AdminToken>> {
        let query = sqlx::query_as::<_, TokenRow>("SELECT * FROM admin_tokens WHERE id = ?").bind(id);
        self.read(query.fetch_optional(&self.readers)).await?.map(TryInto::try_into).transpose()
    }

    async fn tokens(&self) -> Result<Vec<AdminToken>> {
        let query = sqlx::query_as::<_, TokenRow>("SELECT * FROM admin_tokens ORDER BY created_at, id");
        self.read(query.fetch_all(&self.readers)).await?.into_iter().map(TryInto::try_into).collect()
    }

    async fn revoke(&self, id: &str) -> Result<bool> {
        let id = id.to_owned();
        let work = work(move |connection| {
            async move {
                let query = sqlx::query("DELETE FROM admin_tokens WHERE id = ?").bind(id);
                Ok(query.execute(connection).await?.rows_affected() == 1)
            }
            .boxed()
        });
        self.writer.run(Durability::Machine, work).await
    }

    async fn used(&self, id: &str, at: i64) -> Result<()> {
        let id = id.to_owned();
        let work = work(move |connection| {
            async move {
                let query = sqlx::query("UPDATE admin_tokens SET used_at = ? WHERE id = ?").bind(at).bind(id);
                query.execute(connection).await?;
                Ok(())
            }
            .boxed()
        });
        self.writer.run(Durability::Process, work).await
    }

    async fn write_down(&self, deed: &NewDeed) -> Result<()> {
        let deed = deed.clone();
        let work = work(move |connection| {
            async move {
                let sql = "INSERT INTO audit (at, who, role, what, tenant, target, before, after, failed)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
                let query = sqlx::query(sql).bind(clock::millis()).bind(deed.who).bind(deed.role).bind(deed.what);
                let query = query.bind(deed.tenant).bind(deed.target).bind(deed.before).bind(deed.after);
                query.bind(deed.failed).execute(connection).await?;
                Ok(())
            }
            .boxed()
        });
        self.writer.run(Durability::Machine, work).await
    }

    async fn deeds(&self, tenant: Option<&str>, before: Option<i64>, most: u32) -> Result<Vec<Deed>> {
        let before = before.unwrap_or(i64::MAX);
        let rows = match tenant {
            Some(tenant) => {
                let sql = "SELECT * FROM audit WHERE tenant = ? AND id < ? ORDER BY id DESC LIMIT ?";
                let query = sqlx::query_as::<_, DeedRow>(sql).bind(tenant).bind(before).bind(most);
                self.read(query.fetch_all(&self.readers)).await?
            }
            None => {
                let sql = "SELECT * FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?";
                let query = sqlx::query_as::<_, DeedRow>(sql).bind(before).bind(most);
                self.read(query.fetch_all(&self.readers)).await?
            }
        };
        Ok(rows.into_iter().map(Into::into).collect())
    }
}
