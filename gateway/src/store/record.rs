//! The stored form of a session: JSON with a version, so that replicas of two releases can share a store.

use super::{Error, Result, Session};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The only version there is. A later one must be readable before it is written.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    #[serde(rename = "v")]
    version: u32,
    #[serde(borrow)]
    platform: Cow<'a, str>,
    #[serde(borrow)]
    openid: Cow<'a, str>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    unionid: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    session_key: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    test: bool,
    created_at: u64,
    expires_at: u64,
}

/// The bytes to store.
pub(super) fn encode(session: &Session) -> Result<Vec<u8>> {
    let record = Record {
        version: VERSION,
        platform: Cow::Borrowed(&session.platform),
        openid: Cow::Borrowed(&session.openid),
        unionid: session.unionid.as_deref().map(Cow::Borrowed),
        session_key: session.session_key.as_ref().map(|key| Cow::Borrowed(key.expose_secret())),
        test: session.test,
        created_at: session.created_at,
        expires_at: session.expires_at,
    };
    serde_json::to_vec(&record).map_err(|_| Error::Corrupt("a session that can't be written down".into()))
}

/// The session in these bytes. An error tells where the record is wrong, never what it says.
pub(super) fn decode(bytes: &[u8]) -> Result<Session> {
    let record: Record<'_> = serde_json::from_slice(bytes).map_err(|e| {
        Error::Corrupt(format!("a session record of {} bytes, wrong at byte {}", bytes.len(), e.column()))
    })?;
    if record.version != VERSION {
        return Err(Error::Corrupt(format!("a session record of version {}, not {VERSION}", record.version)));
    }
    Ok(Session {
        platform: record.platform.into_owned(),
        openid: record.openid.into_owned(),
        unionid: record.unionid.map(Cow::into_owned),
        session_key: record.session_key.map(|key| SecretString::from(key.into_owned())),
        test: record.test,
        created_at: record.created_at,
        expires_at: record.expires_at,
    })
}
