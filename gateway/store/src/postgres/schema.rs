//! Migrates the tables, in one transaction, by one replica at a time.

use sqlx::{Connection, PgConnection};

/// One script per version. A script that was released is never changed.
const SCRIPTS: &[&str] = &[
    include_str!("../../migrations/postgres/1.sql"),
    include_str!("../../migrations/postgres/2.sql"),
    include_str!("../../migrations/postgres/3.sql"),
];
/// Key of the advisory lock under which tables are migrated; the same in all releases.
const LOCK: i64 = 0x6d65_6e6c_6f75;

/// Whether the tables have the newest version.
pub(super) async fn is_current(connection: &mut PgConnection) -> sqlx::Result<bool> {
    Ok(version(connection).await? == Some(newest()))
}

/// Runs the missing scripts.
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
        let text =
            format!("its tables have version {found} of a newer Menlou; this release supports version {}", newest());
        return Err(sqlx::Error::Configuration(text.into()));
    }
    for script in SCRIPTS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        sqlx::raw_sql(*script).execute(&mut *transaction).await?;
    }
    sqlx::query("UPDATE menlou_schema SET version = $1").bind(newest()).execute(&mut *transaction).await?;
    transaction.commit().await?;
    if found < newest() {
        tracing::info!(from = found, to = newest(), "migrated the tables in PostgreSQL");
    }
    Ok(())
}

/// The version of the tables, if there are any.
async fn version(connection: &mut PgConnection) -> sqlx::Result<Option<i32>> {
    // Read from the catalogue: `to_regclass` uses a cache that waiting for the lock does not refresh.
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
