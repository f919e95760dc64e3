//! The record of a code exchange in the store, which replicas share, as versioned JSON.

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

/// Version of the records that are written. Records of other versions are not read.
const VERSION: u8 = 1;

/// The record of one code. It has no `Debug`, because it may contain a session_key.
#[derive(Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub(super) enum Record {
    /// A replica is exchanging the code: its id, and the start by its own clock, in Unix milliseconds.
    Pending { by: u64, since: u64 },
    /// The identity for a login code.
    Identity {
        openid: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unionid: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session_key: Option<String>,
    },
    /// The phone number for a phone code, encrypted with the code.
    Phone {
        #[serde(rename = "sealed")]
        encrypted: String,
    },
    /// The error of the exchange. Its cause is in the log of the replica that exchanged the code.
    Error {
        #[serde(rename = "word")]
        code: String,
        /// The detail in Chinese; empty if there is none.
        zh: String,
        /// The detail in English.
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
    /// The record of an outcome.
    pub fn new(outcome: &Outcome, code: &str) -> Self {
        match outcome {
            Ok(ExchangeResult::Phone(number)) => Self::Phone { encrypted: encrypt(number, code).unwrap_or_default() },
            Ok(ExchangeResult::Identity(identity)) => Self::Identity {
                openid: identity.openid.clone(),
                unionid: identity.unionid.clone(),
                session_key: identity.session_key.as_ref().map(|key| key.expose_secret().to_owned()),
            },
            Err(error) => Self::Error {
                code: error.code().to_owned(),
                zh: error.detail().map(|detail| detail.zh.to_string()).unwrap_or_default(),
                en: error.detail().map(|detail| detail.en.to_string()).unwrap_or_default(),
                data: error.data().cloned(),
                retry_after_ms: error.wait().map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)),
            },
        }
    }

    /// The recorded outcome. `platform_busy` if another replica is still exchanging the code.
    pub fn outcome(self, code: &str) -> Outcome {
        match self {
            Self::Pending { .. } => Err(Error::new(&codes::PLATFORM_BUSY)),
            Self::Identity { openid, unionid, session_key } => {
                let session_key = session_key.map(SecretString::from);
                Ok(ExchangeResult::Identity(Arc::new(PlatformIdentity { openid, unionid, session_key })))
            }
            Self::Phone { encrypted } => decrypt(&encrypted, code).map(ExchangeResult::Phone).ok_or_else(|| {
                Error::new(&codes::INTERNAL_ERROR).with_cause("could not decrypt the phone number of a phone code")
            }),
            Self::Error { code, zh, en, data, retry_after_ms } => {
                let code = codes::find(&code).unwrap_or(&codes::PLATFORM_ERROR);
                let mut error = Error::new(code).with_cause("the error of an earlier exchange of the same code");
                if !zh.is_empty() {
                    error = error.with_detail(Text::new(zh, en));
                }
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
        // A record of numbers and strings can always be serialised.
        serde_json::to_vec(&Versioned { v: VERSION, record: self }).unwrap_or_default()
    }

    pub fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok().filter(|r: &Versioned<Self>| r.v == VERSION).map(|r| r.record)
    }
}

/// The key is a hash of the code, which is random. The record's key in the store is a different hash of it.
fn key(code: &str) -> Option<RandomizedNonceKey> {
    RandomizedNonceKey::new(&AES_256_GCM, &sha256(&["the key to a phone number", code])).ok()
}

fn encrypt(number: &str, code: &str) -> Option<String> {
    let mut bytes = number.as_bytes().to_vec();
    let nonce = key(code)?.seal_in_place_append_tag(Aad::empty(), &mut bytes).ok()?;
    Some(STANDARD_NO_PAD.encode([&nonce.as_ref()[..], &bytes].concat()))
}

fn decrypt(encrypted: &str, code: &str) -> Option<String> {
    let bytes = STANDARD_NO_PAD.decode(encrypted).ok()?;
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
    fn an_identity_is_read_as_it_was_written() {
        let identity = PlatformIdentity {
            openid: "oVBkZ0aYgDMDIywRdgPW8-joxXc4".into(),
            unionid: None,
            session_key: Some("nzoqhc3OnwHzeTxJs+inbQ==".into()),
        };
        let outcome = Ok(ExchangeResult::Identity(Arc::new(identity)));
        let record = Record::decode(&Record::new(&outcome, "code").encode()).expect("a record");
        let Ok(ExchangeResult::Identity(identity)) = record.outcome("code") else { panic!("no identity") };
        assert_eq!(identity.openid, "oVBkZ0aYgDMDIywRdgPW8-joxXc4");
        assert_eq!(identity.unionid, None);
        assert_eq!(identity.session_key.as_ref().map(|k| k.expose_secret()), Some("nzoqhc3OnwHzeTxJs+inbQ=="));
    }

    #[test]
    fn an_error_is_read_as_callers_see_it() {
        let error = Error::new(&codes::PLATFORM_BUSY)
            .with_detail(Text::fixed("忙", "busy"))
            .with_data(json!({"errcode":45011,"rid":"1-2-3"}))
            .retry_after(Duration::from_secs(60))
            .with_cause("for the log");
        let record = Record::decode(&Record::new(&Err(error.clone()), "code").encode()).expect("a record");
        let read = record.outcome("code").err().expect("an error");
        assert_eq!((read.code(), read.detail(), read.data()), (error.code(), error.detail(), error.data()));
        assert_eq!(read.wait(), error.wait());
    }

    #[test]
    fn a_phone_number_is_decrypted_only_with_its_code() {
        let stored = Record::new(&Ok(ExchangeResult::Phone("+8613800138000".into())), "code").encode();
        assert!(!String::from_utf8_lossy(&stored).contains("138"));
        let read = |code: &str| Record::decode(&stored).expect("a record").outcome(code);
        assert!(matches!(read("code"), Ok(ExchangeResult::Phone(number)) if number == "+8613800138000"));
        assert!(read("another").is_err());
        for encrypted in ["", "?", "AAAA", &STANDARD_NO_PAD.encode([0; 40])] {
            assert!(Record::Phone { encrypted: encrypted.into() }.outcome("code").is_err());
        }
    }

    #[test]
    fn another_version_is_not_read() {
        assert!(Record::decode(&Record::Pending { by: u64::MAX, since: 0 }.encode()).is_some());
        assert!(Record::decode(br#"{"v":2,"is":"pending","by":1,"since":0}"#).is_none());
    }

    proptest! {
        #[test]
        fn no_stored_value_causes_a_panic(value: Vec<u8>) {
            let _ = Record::decode(&value);
        }
    }
}
