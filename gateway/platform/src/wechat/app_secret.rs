//! The AppSecret in use: the tenant's current one, or the previous one while WeChat rejects the current one.

use super::response::WechatError;
use secrecy::SecretString;
use std::sync::atomic::{AtomicBool, Ordering};

/// The errcodes of a wrong AppSecret. WeChat checks the secret before a code, so the code can still be used.
const WRONG_SECRET: [i64; 2] = [40125, 40001];

/// The AppSecret, with the previous one while it is being replaced.
pub(super) struct AppSecret {
    tenant: String,
    secret: SecretString,
    previous: Option<SecretString>,
    /// Whether WeChat accepted the previous secret last.
    uses_previous: AtomicBool,
}

impl AppSecret {
    /// The secrets of a tenant. The tenant's name appears in the log.
    pub fn new(tenant: String, secret: SecretString, previous: Option<SecretString>) -> Self {
        Self { tenant, secret, previous, uses_previous: AtomicBool::new(false) }
    }

    /// Sends a request with the secret that was accepted last; if it is rejected, once more with the other one. If both
    /// are rejected, the error is that of the current secret.
    pub async fn send<T, F>(&self, send: impl Fn(SecretString) -> F) -> Result<T, WechatError>
    where
        F: Future<Output = Result<T, WechatError>>,
    {
        let Some(previous) = &self.previous else { return send(self.secret.clone()).await };
        let uses_previous = self.uses_previous.load(Ordering::Relaxed);
        let (first, second) = if uses_previous { (previous, &self.secret) } else { (&self.secret, previous) };
        let rejection = match send(first.clone()).await {
            Err(rejection) if is_wrong_secret(&rejection) => rejection,
            outcome => return outcome,
        };
        match send(second.clone()).await {
            Err(other) if is_wrong_secret(&other) => Err(if uses_previous { other } else { rejection }),
            Ok(outcome) => {
                self.set_accepted(!uses_previous);
                Ok(outcome)
            }
            failed => failed,
        }
    }

    /// Remembers which secret was accepted, and logs each change once.
    fn set_accepted(&self, previous: bool) {
        if self.uses_previous.swap(previous, Ordering::Relaxed) == previous {
            return;
        }
        let tenant = &self.tenant;
        if previous {
            tracing::warn!(
                tenant,
                "WeChat rejects secret and accepts previous_secret, which is used until the AppSecret is reset in WeChat's console"
            );
        } else {
            tracing::info!(tenant, "WeChat accepts secret: previous_secret can be removed");
        }
    }
}

fn is_wrong_secret(rejection: &WechatError) -> bool {
    rejection.errcode.is_some_and(|errcode| WRONG_SECRET.contains(&errcode))
}
