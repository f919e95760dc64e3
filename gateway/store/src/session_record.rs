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
///
/// # Errors
/// Where there is no JSON of it, which no session comes to.
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
    serde_json::to_vec(&record).map_err(|_| Error::Corrupt("a session that can't be written down".into()))
}

/// The session in these bytes.
///
/// # Errors
/// Where they are none. It tells where the record is wrong, never what it says.
pub fn decode(bytes: &[u8]) -> Result<Session> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{option, prelude::*};

    /// All that it says: a session can't be compared, nor its key printed.
    fn told(session: &Session) -> (String, Option<&str>) {
        (format!("{session:?}"), session.session_key.as_ref().map(ExposeSecret::expose_secret))
    }

    proptest! {
        #[test]
        fn every_session_comes_back_as_it_was(
            (platform, openid, unionid) in (any::<String>(), any::<String>(), option::of(any::<String>())),
            (session_key, test) in (option::of(any::<String>()), any::<bool>()),
            (created_at, expires_at) in any::<(u64, u64)>(),
        ) {
            let session_key = session_key.map(SecretString::from);
            let session = Session { platform, openid, unionid, session_key, test, created_at, expires_at };
            let again = decode(&encode(&session).unwrap()).unwrap();
            prop_assert_eq!(told(&again), told(&session));
        }

        #[test]
        fn of_a_record_that_is_cut_or_changed_nothing_is_told(at in 0_usize..160, byte: u8) {
            let text = r#"{"v":1,"platform":"wechat","openid":"the-openid","session_key":"the-key","created_at":1,"expires_at":2}"#;
            let mut bytes = text.as_bytes().to_vec();
            match bytes.get_mut(at) {
                Some(place) => *place = byte,
                None => bytes.truncate(at - text.len()),
            }
            if let Err(error) = decode(&bytes) {
                let error = format!("{error} {error:?}");
                prop_assert!(!error.contains("the-"), "{}", error);
            }
        }
    }

    #[test]
    fn what_a_later_release_adds_is_passed_over_and_its_version_is_not_read() {
        let record = |version| {
            format!(r#"{{"v":{version},"platform":"wechat","openid":"o","created_at":1,"expires_at":2,"later":[1]}}"#)
        };
        assert_eq!(decode(record(VERSION).as_bytes()).unwrap().openid, "o");
        assert!(decode(record(VERSION + 1).as_bytes()).unwrap_err().to_string().contains("version 2"));
    }
}
