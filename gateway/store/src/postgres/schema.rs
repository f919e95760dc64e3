//! Brings the tables up to date: one replica at a time, and all or nothing.

use sqlx::{Connection, PgConnection};

/// One script per version; what has been released is never changed.
const SCRIPTS: &[&str] =
    &[include_str!("../../migrations/postgres/1.sql"), include_str!("../../migrations/postgres/2.sql")];
/// Any number, the same in all releases: who holds PostgreSQL's lock of this number may change the tables.
const LOCK: i64 = 0x6d65_6e6c_6f75;

/// Whether there is nothing to do.
pub(super) async fn is_current(connection: &mut PgConnection) -> sqlx::Result<bool> {
    Ok(version(connection).await? == Some(newest()))
}

/// Runs the scripts that are missing.
pub(super) async fn migrate(connection: &mut PgConnection) -> sqlx::Result<()> {
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    let found = version(&mut transaction).await?;
    if found.is_none() {
        sqlx::raw_sql("CREATE TABLE menlou_schema (version INTEGER NOT NULL); INSERT INTO menlou_schema VALUES (0)")
            .execute(&mut *transaction)
            .await?;
    }
    let found = found.unwrap_or(0);
    if found > newest() {
        let text = format!("its tables are of version {found}, of a newer Menlou; this one knows {}", newest());
        return Err(sqlx::Error::Configuration(text.into()));
    }
    for script in SCRIPTS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*script).execute(&mut *transaction).await?;
    }
    sqlx::query("UPDATE menlou_schema SET version = $1").bind(newest()).execute(&mut *transaction).await?;
    transaction.commit().await?;
    if found < newest() {
        tracing::info!(from = found, to = newest(), "brought PostgreSQL's tables up to date");
    }
    Ok(())
}

/// The version of the tables, if there are any.
async fn version(connection: &mut PgConnection) -> sqlx::Result<Option<i32>> {
    // From the catalogue itself: `to_regclass` answers from a cache that waiting for our lock does not refresh.
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables
        WHERE tablename = 'menlou_schema' AND schemaname = ANY (current_schemas(false)))";
    if !sqlx::query_scalar::<_, bool>(sql).fetch_one(&mut *connection).await? {
        return Ok(None);
    }
    sqlx::query_scalar("SELECT version FROM menlou_schema").fetch_one(connection).await.map(Some)
}

fn newest() -> i32 {
    i32::try_from(SCRIPTS.len()).unwrap_or(i32::MAX)
}
