//! What replicas tell each other about a code, in versioned JSON: that one has it, or what came of it.

use crate::error::{Error, Result, words};
use crate::platform::Person;
use crate::text::Text;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The version that is written, and the only one that is read.
const VERSION: u8 = 1;

/// What stands in the store under a code. It has no `Debug`: a person's session_key is a secret.
#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum Record {
    /// A replica is exchanging the code: which, and since when (Unix milliseconds by its own clock).
    Pending { by: u64, since: u64 },
    /// It is this person's.
    Person {
        openid: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unionid: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_key: Option<String>,
    },
    /// It brought an error. The cause is in the log of the replica that had it.
    Error {
        word: String,
        zh: String,
        en: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<serde_json::Value>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after_ms: Option<u64>,
    },
}

#[derive(Serialize, Deserialize)]
struct Versioned<R> {
    v: u8,
    #[serde(flatten)]
    record: R,
}

impl Record {
    pub fn of(outcome: &Result<Arc<Person>>) -> Self {
        match outcome {
            Ok(person) => Self::Person {
                openid: person.openid.clone(),
                unionid: person.unionid.clone(),
                session_key: person.session_key.as_ref().map(|key| key.expose_secret().to_owned()),
            },
            Err(error) => Self::Error {
                word: error.word().to_owned(),
                zh: error.text().zh.clone().into_owned(),
                en: error.text().en.clone().into_owned(),
                data: error.data().cloned(),
                retry_after_ms: error.wait().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            },
        }
    }

    /// The outcome that was recorded. A code that another replica still has is busy.
    pub fn outcome(self) -> Result<Arc<Person>> {
        match self {
            Self::Pending { .. } => Err(Error::new(&words::PLATFORM_BUSY)),
            Self::Person { openid, unionid, session_key } => {
                Ok(Arc::new(Person { openid, unionid, session_key: session_key.map(SecretString::from) }))
            }
            Self::Error { word, zh, en, data, retry_after_ms } => {
                let word = words::find(&word).unwrap_or(&words::PLATFORM_ERROR);
                let mut error =
                    Error::new(word).saying(Text::new(zh, en)).because("as the same code was answered before");
                if let Some(data) = data {
                    error = error.with_data(data);
                }
                if let Some(wait) = retry_after_ms {
                    error = error.retry_after(Duration::from_millis(wait));
                }
                Err(error)
            }
        }
    }

    pub fn encode(&self) -> Vec<u8> {
        // A record of numbers and text always has its JSON.
        serde_json::to_vec(&Versioned { v: VERSION, record: self }).unwrap_or_default()
    }

    pub fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok().filter(|r: &Versioned<Self>| r.v == VERSION).map(|r| r.record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_person_comes_back_whole() {
        let person = Person {
            openid: "oVBkZ0aYgDMDIywRdgPW8-joxXc4".into(),
            unionid: None,
            session_key: Some("nzoqhc3OnwHzeTxJs+inbQ==".into()),
        };
        let record = Record::decode(&Record::of(&Ok(Arc::new(person))).encode()).expect("a record");
        let person = record.outcome().expect("a person");
        assert_eq!(person.openid, "oVBkZ0aYgDMDIywRdgPW8-joxXc4");
        assert_eq!(person.unionid, None);
        assert_eq!(person.session_key.as_ref().map(|k| k.expose_secret()), Some("nzoqhc3OnwHzeTxJs+inbQ=="));
    }

    #[test]
    fn an_error_comes_back_as_callers_see_it() {
        let error = Error::new(&words::PLATFORM_BUSY)
            .saying(Text::fixed("忙", "busy"))
            .with_data(json!({"errcode":45011,"rid":"1-2-3"}))
            .retry_after(Duration::from_secs(60))
            .because("for the log");
        let record = Record::decode(&Record::of(&Err(error.clone())).encode()).expect("a record");
        let again = record.outcome().expect_err("an error");
        assert_eq!((again.word(), again.text(), again.data()), (error.word(), error.text(), error.data()));
        assert_eq!(again.wait(), error.wait());
    }

    #[test]
    fn another_version_is_not_read() {
        assert!(Record::decode(&Record::Pending { by: u64::MAX, since: 0 }.encode()).is_some());
        assert!(Record::decode(br#"{"v":2,"is":"pending","by":1,"since":0}"#).is_none());
    }

    proptest! {
        #[test]
        fn no_stored_value_makes_it_panic(value: Vec<u8>) {
            let _ = Record::decode(&value);
        }
    }
}
