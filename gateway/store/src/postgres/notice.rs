//! Notices between replicas of the gateway: what to remove from their caches.

use crate::cache::IdentityRef;
use sqlx::PgConnection;

/// The channel of LISTEN and NOTIFY.
pub(super) const CHANNEL: &str = "menlou_users";

/// What has changed.
pub(super) enum Notice<'a> {
    /// The binding of an openid.
    Binding(IdentityRef<'a>),
    /// Name or picture of an account.
    User(i64),
}

impl Notice<'_> {
    /// The payload: `u7`, or `b["tenant","wechat","openid"]`.
    pub fn payload(&self) -> String {
        match self {
            Self::Binding(IdentityRef { tenant, platform, openid }) => {
                format!("b{}", serde_json::json!([tenant, platform, openid]))
            }
            Self::User(id) => format!("u{id}"),
        }
    }

    /// Sends the notice when the transaction is committed.
    pub async fn send(&self, connection: &mut PgConnection) -> sqlx::Result<()> {
        sqlx::query("SELECT pg_notify($1, $2)").bind(CHANNEL).bind(self.payload()).execute(connection).await?;
        Ok(())
    }
}
