//! The AppSecret in use: the tenant's, or the one before it while the platform does not take the new one.

use super::answer::Refusal;
use secrecy::SecretString;
use std::sync::atomic::{AtomicBool, Ordering};

/// What WeChat refuses a wrong AppSecret with. It looks at the secret before it looks at a code, so that the code is as
/// good as before.
const WRONG: [i64; 2] = [40125, 40001];

/// One AppSecret, or two while it is being changed.
pub(super) struct AppSecret {
    tenant: String,
    secret: SecretString,
    previous: Option<SecretString>,
    /// Whether it was the previous one that WeChat took last.
    on_previous: AtomicBool,
}

impl AppSecret {
    pub fn new(tenant: String, secret: SecretString, previous: Option<SecretString>) -> Self {
        Self { tenant, secret, previous, on_previous: AtomicBool::new(false) }
    }

    /// Asks with the secret that was taken last; where it is refused, once more with the other. Where both are refused,
    /// the refusal is that of the tenant's `secret`.
    pub async fn ask<T, F>(&self, ask: impl Fn(SecretString) -> F) -> Result<T, Refusal>
    where
        F: Future<Output = Result<T, Refusal>>,
    {
        let Some(previous) = &self.previous else { return ask(self.secret.clone()).await };
        let on_previous = self.on_previous.load(Ordering::Relaxed);
        let (usual, other) = if on_previous { (previous, &self.secret) } else { (&self.secret, previous) };
        let refusal = match ask(usual.clone()).await {
            Err(refusal) if is_wrong(&refusal) => refusal,
            answer => return answer,
        };
        match ask(other.clone()).await {
            Err(second) if is_wrong(&second) => Err(if on_previous { second } else { refusal }),
            Ok(answer) => {
                self.taken(!on_previous);
                Ok(answer)
            }
            failed => failed,
        }
    }

    /// Remembers which one was taken, and tells each change once.
    fn taken(&self, previous: bool) {
        if self.on_previous.swap(previous, Ordering::Relaxed) == previous {
            return;
        }
        let tenant = &self.tenant;
        if previous {
            tracing::warn!(
                tenant,
                "WeChat refuses the tenant's secret and takes its previous_secret: that one serves until the AppSecret is reset in WeChat's console"
            );
        } else {
            tracing::info!(tenant, "WeChat takes the tenant's secret: previous_secret is not needed any more");
        }
    }
}

fn is_wrong(refusal: &Refusal) -> bool {
    refusal.errcode.is_some_and(|errcode| WRONG.contains(&errcode))
}
