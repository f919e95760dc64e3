//! User accounts as admins see them, in the SQLite file.

use super::{Sqlite, writer::Durability};
use crate::{
    accounts::{AccountStore, BoundIdentity, Profile, ProfileQuery, UpdateOutcome},
    cache::IdentityRef,
    error::Result,
};
use async_trait::async_trait;
use menlou_clock::unix_millis_i64;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params_from_iter};
use std::sync::Arc;

#[async_trait]
impl AccountStore for Sqlite {
    async fn profiles(&self, tenant: &str, query: ProfileQuery<'_>, limit: u32) -> Result<Vec<Profile>> {
        let text = |text: &str| -> Value { Box::new(text.to_owned()) };
        let (condition, parameters): (&str, Vec<Value>) = match query {
            ProfileQuery::Id(id) => ("users.id = ?", vec![Box::new(id)]),
            ProfileQuery::Openid { platform, openid } => (
                "users.id IN (SELECT user_id FROM bindings WHERE tenant = users.tenant AND platform = ? AND openid = ?)",
                vec![text(platform), text(openid)],
            ),
            ProfileQuery::Phone(phone) => ("phone = ?", vec![text(phone)]),
            ProfileQuery::Account(account) => ("account = ?", vec![text(account)]),
            ProfileQuery::External(id) => ("external_id = ?", vec![text(id)]),
            ProfileQuery::After(id) => ("users.id > ?", vec![Box::new(id)]),
        };
        // The condition is one of the constants above.
        let sql = format!(
            "SELECT id, name, avatar_url, account, phone, external_id, created_at, updated_at, version FROM users
            WHERE tenant = ? AND {condition} ORDER BY id LIMIT ?"
        );
        let mut values = vec![text(tenant)];
        values.extend(parameters);
        values.push(Box::new(limit));
        let found = self.reader.run(move |connection| {
            let mut query = connection.prepare_cached(&sql)?;
            let profiles = query.query_map(params_from_iter(values), profile)?;
            let with_bindings = profiles.map(|profile| {
                let profile = profile?;
                Ok(Profile { bindings: bindings(connection, profile.id)?, ..profile })
            });
            with_bindings.collect()
        });
        found.await
    }

    async fn update_profile(
        &self,
        tenant: &str,
        user: i64,
        version: Option<i64>,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> Result<UpdateOutcome> {
        let (tenant, name, avatar_url) = (tenant.to_owned(), name.map(str::to_owned), avatar_url.map(str::to_owned));
        let users = Arc::clone(&self.users);
        let work = move |connection: &Connection| {
            let outcome = compare(connection, &tenant, user, version)?;
            if outcome == UpdateOutcome::Done {
                let sql = "UPDATE users SET name = coalesce(?, name), avatar_url = coalesce(?, avatar_url),
                    updated_at = ?, version = version + 1 WHERE id = ?";
                connection.prepare_cached(sql)?.execute((name, avatar_url, unix_millis_i64(), user))?;
            }
            Ok(outcome)
        };
        self.writer.run_then(Durability::Machine, work, move |_| users.invalidate_user(user)).await
    }

    async fn delete_account(&self, tenant: &str, user: i64, version: Option<i64>) -> Result<UpdateOutcome> {
        let (tenant, owned_tenant) = (tenant.to_owned(), tenant.to_owned());
        let users = Arc::clone(&self.users);
        let work = move |connection: &Connection| {
            let outcome = compare(connection, &tenant, user, version)?;
            let mut bound = Vec::new();
            if outcome == UpdateOutcome::Done {
                let sql = "DELETE FROM bindings WHERE user_id = ? RETURNING platform, openid";
                let mut query = connection.prepare_cached(sql)?;
                let openids = query.query_map((user,), |row| Ok((row.get(0)?, row.get(1)?)))?;
                bound = openids.collect::<rusqlite::Result<Vec<(String, String)>>>()?;
                connection.prepare_cached("DELETE FROM users WHERE id = ?")?.execute((user,))?;
            }
            Ok((outcome, bound))
        };
        let invalidate = move |deleted: Option<&(UpdateOutcome, Vec<(String, String)>)>| {
            users.invalidate_user(user);
            for (platform, openid) in deleted.into_iter().flat_map(|(_, bound)| bound) {
                users.invalidate_binding(&IdentityRef { tenant: &owned_tenant, platform, openid });
            }
        };
        self.writer.run_then(Durability::Machine, work, invalidate).await.map(|(outcome, _)| outcome)
    }
}

/// A parameter of a query.
type Value = Box<dyn ToSql + Send>;

/// Reads an account without its bindings.
fn profile(row: &Row<'_>) -> rusqlite::Result<Profile> {
    Ok(Profile {
        id: row.get("id")?,
        name: row.get("name")?,
        avatar_url: row.get("avatar_url")?,
        account: row.get("account")?,
        phone: row.get("phone")?,
        external_id: row.get("external_id")?,
        created_at: row.get("created_at")?,
        updated_at: row.get("updated_at")?,
        version: row.get("version")?,
        bindings: Vec::new(),
    })
}

fn bindings(connection: &Connection, user: i64) -> rusqlite::Result<Vec<BoundIdentity>> {
    let sql = "SELECT platform, openid, unionid, created_at FROM bindings WHERE user_id = ?
        ORDER BY created_at, openid";
    let mut query = connection.prepare_cached(sql)?;
    let bound = |row: &Row<'_>| {
        let (platform, openid, unionid) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(BoundIdentity { platform, openid, unionid, created_at: row.get(3)? })
    };
    query.query_map((user,), bound)?.collect()
}

/// Whether the account exists and, where `version` is given, has that version.
fn compare(connection: &Connection, tenant: &str, user: i64, version: Option<i64>) -> rusqlite::Result<UpdateOutcome> {
    let mut query = connection.prepare_cached("SELECT version FROM users WHERE tenant = ? AND id = ?")?;
    Ok(match query.query_row((tenant, user), |row| row.get::<_, i64>(0)).optional()? {
        None => UpdateOutcome::NotFound,
        Some(current) if version.is_some_and(|version| version != current) => UpdateOutcome::VersionMismatch,
        Some(_) => UpdateOutcome::Done,
    })
}
