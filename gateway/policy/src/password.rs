//! Password hashing and verification with argon2id, on blocking threads.

use crate::hashing_queue::HashingPermit;
use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use menlou_error::{Error, Result, codes};
use secrecy::{ExposeSecret, SecretString};
use std::sync::LazyLock;
use tokio::task::spawn_blocking;

/// Hash for accounts that do not exist, so that the response time does not reveal which accounts exist.
static DUMMY_HASH: LazyLock<Option<SecretString>> = LazyLock::new(|| hash(&SecretString::from("nobody")).ok());

/// The PHC string of a password: argon2id with the parameters that RFC 9106 recommends where memory is scarce (19 MiB,
/// 2 passes).
///
/// # Errors
/// `internal_error` if hashing fails.
pub fn hash(password: &SecretString) -> Result<SecretString> {
    let hash = Argon2::default().hash_password(password.expose_secret().as_bytes());
    hash.map(|h| SecretString::from(h.to_string())).map_err(|e| Error::new(&codes::INTERNAL_ERROR).with_cause(e))
}

/// Whether the password matches the hash. Without a hash it takes the same time and returns false.
///
/// # Errors
/// `internal_error` if the verification panics.
pub async fn verify(permit: HashingPermit, password: SecretString, hash: Option<SecretString>) -> Result<bool> {
    let verified = spawn_blocking(move || {
        let _permit = permit; // held until the work is done, also if the caller was dropped
        let exists = hash.is_some();
        let Some(hash) = hash.or_else(|| DUMMY_HASH.clone()) else { return false };
        PasswordHash::new(hash.expose_secret()).is_ok_and(|parsed| {
            Argon2::default().verify_password(password.expose_secret().as_bytes(), &parsed).is_ok() && exists
        })
    });
    verified.await.map_err(|e| Error::new(&codes::INTERNAL_ERROR).with_cause(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_is_accepted() {
        let queue = crate::HashingQueue::new(1);
        let verify = async |password: &str, hash| {
            verify(queue.acquire("acme").await.unwrap(), password.into(), hash).await.unwrap()
        };
        let hash = hash(&"correct".into()).unwrap();
        assert!(hash.expose_secret().starts_with("$argon2id$"));
        assert!(verify("correct", Some(hash.clone())).await);
        assert!(!verify("wrong", Some(hash)).await);
        assert!(!verify("nobody", None).await);
        assert!(!verify("correct", Some("nonsense".into())).await);
    }
}
