//! Password hashing and verification with argon2id, on blocking threads, with bounded concurrency.

use argon2::{
    Argon2,
    password_hash::{PasswordHasher, PasswordVerifier, phc::PasswordHash},
};
use menlou_error::{Error, Result, codes};
use secrecy::{ExposeSecret, SecretString};
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

/// Maximum time that a verification waits for a permit.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);

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

/// Whether the password matches the hash. Without a hash it takes the same time and returns false. `permits` bounds the
/// number of concurrent verifications.
///
/// # Errors
/// `overloaded` if no permit is available within 5 s.
pub async fn verify(permits: &Arc<Semaphore>, password: SecretString, hash: Option<SecretString>) -> Result<bool> {
    let permit = timeout(MAX_QUEUE_TIME, permits.clone().acquire_owned()).await;
    let Ok(Ok(permit)) = permit else { return Err(Error::new(&codes::OVERLOADED)) };
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
        let permits = Arc::new(Semaphore::new(1));
        let hash = hash(&"correct".into()).unwrap();
        assert!(hash.expose_secret().starts_with("$argon2id$"));
        assert!(verify(&permits, "correct".into(), Some(hash.clone())).await.unwrap());
        assert!(!verify(&permits, "wrong".into(), Some(hash)).await.unwrap());
        assert!(!verify(&permits, "nobody".into(), None).await.unwrap());
        assert!(!verify(&permits, "correct".into(), Some("nonsense".into())).await.unwrap());
    }
}
