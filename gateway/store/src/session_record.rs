//! The stored form of a session: JSON with a version, so that replicas of two releases can share a store.

use crate::{
    error::{Error, Result},
    session::Session,
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The only version so far. A release must be able to read a new version before a later release writes it.
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
///
/// # Errors
/// Where serialisation fails, which no session causes.
pub fn encode(session: &Session) -> Result<Vec<u8>> {
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
    serde_json::to_vec(&record).map_err(|_| Error::Corrupt("a session that cannot be serialised".into()))
}

/// The session in these bytes.
///
/// # Errors
/// Where the bytes are no session record. The error has the position, and nothing of the content.
pub fn decode(bytes: &[u8]) -> Result<Session> {
    let record: Record<'_> = serde_json::from_slice(bytes).map_err(|e| {
        Error::Corrupt(format!("a session record of {} bytes, malformed at byte {}", bytes.len(), e.column()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{option, prelude::*};

    /// All fields: a session is neither comparable, nor is its key printed.
    fn fields(session: &Session) -> (String, Option<&str>) {
        (format!("{session:?}"), session.session_key.as_ref().map(ExposeSecret::expose_secret))
    }

    proptest! {
        #[test]
        fn any_session_is_decoded_as_it_was_encoded(
            (platform, openid, unionid) in (any::<String>(), any::<String>(), option::of(any::<String>())),
            (session_key, test) in (option::of(any::<String>()), any::<bool>()),
            (created_at, expires_at) in any::<(u64, u64)>(),
        ) {
            let session_key = session_key.map(SecretString::from);
            let session = Session { platform, openid, unionid, session_key, test, created_at, expires_at };
            let decoded = decode(&encode(&session).unwrap()).unwrap();
            prop_assert_eq!(fields(&decoded), fields(&session));
        }

        #[test]
        fn error_for_a_damaged_record_holds_nothing_of_its_content(at in 0_usize..160, byte: u8) {
            let text = r#"{"v":1,"platform":"wechat","openid":"the-openid","session_key":"the-key","created_at":1,"expires_at":2}"#;
            let mut bytes = text.as_bytes().to_vec();
            match bytes.get_mut(at) {
                Some(at) => *at = byte,
                None => bytes.truncate(at - text.len()),
            }
            if let Err(error) = decode(&bytes) {
                let error = format!("{error} {error:?}");
                prop_assert!(!error.contains("the-"), "{}", error);
            }
        }
    }

    #[test]
    fn unknown_fields_are_ignored_and_a_later_version_is_refused() {
        let record = |version| {
            format!(r#"{{"v":{version},"platform":"wechat","openid":"o","created_at":1,"expires_at":2,"later":[1]}}"#)
        };
        assert_eq!(decode(record(VERSION).as_bytes()).unwrap().openid, "o");
        assert!(decode(record(VERSION + 1).as_bytes()).unwrap_err().to_string().contains("version 2"));
    }
}
