//! An app as it is registered with the platform: appid, secret, open-platform account.

use std::fmt;

/// The appid that is registered when no other is named.
pub const DEMO_APPID: &str = "wx4f4bc4dec97d474b";
/// The secret of [`DEMO_APPID`].
pub const DEMO_SECRET: &str = "demo-secret";

/// A mini-program as the platform's console knows it. Its `Debug` leaves the secret out.
#[derive(Clone, PartialEq, Eq)]
pub struct App {
    pub(crate) appid: String,
    pub(crate) secret: String,
    pub(crate) previous_secret: Option<String>,
    pub(crate) open_platform: Option<String>,
}

impl App {
    /// An app that is bound to no open-platform account: its people have no `unionid`.
    pub fn new(appid: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { appid: appid.into(), secret: secret.into(), previous_secret: None, open_platform: None }
    }

    /// Binds the app to an open-platform account: answers then carry a `unionid`, which is the
    /// same for one person in all apps of that account.
    #[must_use]
    pub fn open_platform(mut self, account: impl Into<String>) -> Self {
        self.open_platform = Some(account.into());
        self
    }

    /// Lets another secret, the one before, be as good.
    #[must_use]
    pub fn previous_secret(mut self, secret: impl Into<String>) -> Self {
        self.previous_secret = Some(secret.into());
        self
    }

    /// Whether this is a secret of the app.
    pub(crate) fn takes(&self, secret: &str) -> bool {
        self.secret == secret || self.previous_secret.as_deref() == Some(secret)
    }

    /// What is wrong with this app, if anything: the appid must be 1–64 ASCII letters and digits,
    /// the secrets and the account 1–128 bytes.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let appid = &self.appid;
        if appid.is_empty() || appid.len() > 64 || !appid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Some("an appid has 1 to 64 ASCII letters and digits");
        }
        let mut secrets = std::iter::once(&self.secret).chain(&self.previous_secret);
        if secrets.any(|secret| secret.is_empty() || secret.len() > 128) {
            return Some("a secret has 1 to 128 bytes");
        }
        match &self.open_platform {
            Some(account) if account.is_empty() || account.len() > 128 => {
                Some("an open-platform account has 1 to 128 bytes")
            }
            _ => None,
        }
    }
}

impl Default for App {
    /// The demo app, [`DEMO_APPID`].
    fn default() -> Self {
        Self::new(DEMO_APPID, DEMO_SECRET)
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("appid", &self.appid)
            .field("open_platform", &self.open_platform)
            .finish_non_exhaustive()
    }
}
