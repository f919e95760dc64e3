//! What replicas tell each other about a code, in versioned JSON: that one has it, or what came of it.

use super::outcome::{ExchangeResult, Outcome};
use crate::digest::sha256;
use crate::platform::PlatformIdentity;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use menlou_error::text::Text;
use menlou_error::{Error, codes};
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
    Identity {
        openid: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unionid: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_key: Option<String>,
    },
    /// It is for a phone number, sealed under the code.
    Phone { sealed: String },
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
    /// The record of an exchange, sealed with its code.
    pub fn new(outcome: &Outcome, code: &str) -> Self {
        match outcome {
            Ok(ExchangeResult::Phone(number)) => Self::Phone { sealed: seal(number, code).unwrap_or_default() },
            Ok(ExchangeResult::Identity(person)) => Self::Identity {
                openid: person.openid.clone(),
                unionid: person.unionid.clone(),
                session_key: person.session_key.as_ref().map(|key| key.expose_secret().to_owned()),
            },
            Err(error) => Self::Error {
                word: error.code().to_owned(),
                zh: error.text().zh.clone().into_owned(),
                en: error.text().en.clone().into_owned(),
                data: error.data().cloned(),
                retry_after_ms: error.wait().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            },
        }
    }

    /// The outcome of this code that was recorded. One that another replica still has is busy.
    pub fn outcome(self, code: &str) -> Outcome {
        match self {
            Self::Pending { .. } => Err(Error::new(&codes::PLATFORM_BUSY)),
            Self::Identity { openid, unionid, session_key } => {
                let session_key = session_key.map(SecretString::from);
                Ok(ExchangeResult::Identity(Arc::new(PlatformIdentity { openid, unionid, session_key })))
            }
            Self::Phone { sealed } => open(&sealed, code).map(ExchangeResult::Phone).ok_or_else(|| {
                Error::new(&codes::INTERNAL_ERROR).with_cause("the number of a phone code can't be unsealed")
            }),
            Self::Error { word, zh, en, data, retry_after_ms } => {
                let word = codes::find(&word).unwrap_or(&codes::PLATFORM_ERROR);
                let mut error =
                    Error::new(word).with_message(Text::new(zh, en)).with_cause("as the same code was answered before");
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

/// The code is random, so that its hash is a key; the hash under which the record stands is another.
fn key(code: &str) -> Option<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, &sha256(&["the key to a phone number", code])).ok()
}

fn seal(number: &str, code: &str) -> Option<String> {
    let mut bytes = number.as_bytes().to_vec();
    let nonce = key(code)?.seal_in_place_append_tag(Aad::empty(), &mut bytes).ok()?;
    Some(STANDARD_NO_PAD.encode([&nonce.as_ref()[..], &bytes].concat()))
}

fn open(sealed: &str, code: &str) -> Option<String> {
    let bytes = STANDARD_NO_PAD.decode(sealed).ok()?;
    let (nonce, rest) = bytes.split_at_checked(NONCE_LEN)?;
    let (nonce, mut rest) = (Nonce::try_assume_unique_for_key(nonce).ok()?, rest.to_vec());
    let number = key(code)?.open_in_place(nonce, Aad::empty(), &mut rest).ok()?;
    String::from_utf8(number.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_person_comes_back_whole() {
        let person = PlatformIdentity {
            openid: "oVBkZ0aYgDMDIywRdgPW8-joxXc4".into(),
            unionid: None,
            session_key: Some("nzoqhc3OnwHzeTxJs+inbQ==".into()),
        };
        let outcome = Ok(ExchangeResult::Identity(Arc::new(person)));
        let record = Record::decode(&Record::new(&outcome, "code").encode()).expect("a record");
        let Ok(ExchangeResult::Identity(person)) = record.outcome("code") else { panic!("no person") };
        assert_eq!(person.openid, "oVBkZ0aYgDMDIywRdgPW8-joxXc4");
        assert_eq!(person.unionid, None);
        assert_eq!(person.session_key.as_ref().map(|k| k.expose_secret()), Some("nzoqhc3OnwHzeTxJs+inbQ=="));
    }

    #[test]
    fn an_error_comes_back_as_callers_see_it() {
        let error = Error::new(&codes::PLATFORM_BUSY)
            .with_message(Text::fixed("忙", "busy"))
            .with_data(json!({"errcode":45011,"rid":"1-2-3"}))
            .retry_after(Duration::from_secs(60))
            .with_cause("for the log");
        let record = Record::decode(&Record::new(&Err(error.clone()), "code").encode()).expect("a record");
        let again = record.outcome("code").err().expect("an error");
        assert_eq!((again.code(), again.text(), again.data()), (error.code(), error.text(), error.data()));
        assert_eq!(again.wait(), error.wait());
    }

    #[test]
    fn a_number_comes_back_by_its_code_only() {
        let stored = Record::new(&Ok(ExchangeResult::Phone("+8613800138000".into())), "code").encode();
        assert!(!String::from_utf8_lossy(&stored).contains("138"));
        let read = |code: &str| Record::decode(&stored).expect("a record").outcome(code);
        assert!(matches!(read("code"), Ok(ExchangeResult::Phone(number)) if number == "+8613800138000"));
        assert!(read("another").is_err());
        for sealed in ["", "?", "AAAA", &STANDARD_NO_PAD.encode([0; 40])] {
            assert!(Record::Phone { sealed: sealed.into() }.outcome("code").is_err());
        }
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
