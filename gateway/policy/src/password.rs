//! Passwords: hashed and checked by argon2id, off the request's threads, a few at a time.

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

/// How long a check may wait for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an account that doesn't exist is checked against, so that the time taken doesn't tell which accounts do.
static NOBODY: LazyLock<Option<SecretString>> = LazyLock::new(|| hash(&SecretString::from("nobody")).ok());

/// The PHC string of a password: argon2id with the parameters that RFC 9106 advises where memory is dear (19 MiB, 2 passes).
pub fn hash(password: &SecretString) -> Result<SecretString> {
    let hash = Argon2::default().hash_password(password.expose_secret().as_bytes());
    hash.map(|h| SecretString::from(h.to_string())).map_err(|e| Error::new(&codes::INTERNAL_ERROR).with_cause(e))
}

/// Whether the password fits the hash; without a hash it takes as long, and doesn't.
pub async fn fits(hashing: &Arc<Semaphore>, password: SecretString, hash: Option<SecretString>) -> Result<bool> {
    let turn = timeout(PATIENCE, hashing.clone().acquire_owned()).await;
    let Ok(Ok(turn)) = turn else { return Err(Error::new(&codes::OVERLOADED)) };
    let checked = spawn_blocking(move || {
        let _turn = turn; // held until the work is done, also where the caller has gone
        let known = hash.is_some();
        let Some(hash) = hash.or_else(|| NOBODY.clone()) else { return false };
        PasswordHash::new(hash.expose_secret()).is_ok_and(|parsed| {
            Argon2::default().verify_password(password.expose_secret().as_bytes(), &parsed).is_ok() && known
        })
    });
    checked.await.map_err(|e| Error::new(&codes::INTERNAL_ERROR).with_cause(e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_right_password_fits() {
        let turns = Arc::new(Semaphore::new(1));
        let hash = hash(&"correct".into()).unwrap();
        assert!(hash.expose_secret().starts_with("$argon2id$"));
        assert!(fits(&turns, "correct".into(), Some(hash.clone())).await.unwrap());
        assert!(!fits(&turns, "wrong".into(), Some(hash)).await.unwrap());
        assert!(!fits(&turns, "nobody".into(), None).await.unwrap());
        assert!(!fits(&turns, "correct".into(), Some("nonsense".into())).await.unwrap());
    }
}
