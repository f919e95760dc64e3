//! A registered app: appid, secret, open-platform account.

use std::fmt;

/// The appid of the demo app, which is registered by default.
pub const DEMO_APPID: &str = "wx4f4bc4dec97d474b";
/// The secret of [`DEMO_APPID`].
pub const DEMO_SECRET: &str = "demo-secret";

/// A mini-program and its credentials. `Debug` omits the secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct App {
    pub(crate) appid: String,
    pub(crate) secret: String,
    pub(crate) previous_secret: Option<String>,
    pub(crate) open_platform: Option<String>,
}

impl App {
    /// An app without an open-platform account: its users have no `unionid`.
    pub fn new(appid: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { appid: appid.into(), secret: secret.into(), previous_secret: None, open_platform: None }
    }

    /// Binds the app to an open-platform account: responses then contain a `unionid`, which is the
    /// same for one user in all apps of the account.
    #[must_use]
    pub fn open_platform(mut self, account: impl Into<String>) -> Self {
        self.open_platform = Some(account.into());
        self
    }

    /// Accepts the previous secret as well.
    #[must_use]
    pub fn previous_secret(mut self, secret: impl Into<String>) -> Self {
        self.previous_secret = Some(secret.into());
        self
    }

    /// Whether this is the secret or the previous secret of the app.
    pub(crate) fn accepts_secret(&self, secret: &str) -> bool {
        self.secret == secret || self.previous_secret.as_deref() == Some(secret)
    }

    /// Checks the lengths and characters.
    ///
    /// # Errors
    /// A message if the appid is not 1 to 64 ASCII letters and digits, or if a secret or the account
    /// is not 1 to 128 bytes long.
    pub(crate) fn validate(&self) -> Result<(), &'static str> {
        let appid = &self.appid;
        if appid.is_empty() || appid.len() > 64 || !appid.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err("an appid has 1 to 64 ASCII letters and digits");
        }
        let mut secrets = std::iter::once(&self.secret).chain(&self.previous_secret);
        if secrets.any(|secret| secret.is_empty() || secret.len() > 128) {
            return Err("a secret has 1 to 128 bytes");
        }
        match &self.open_platform {
            Some(account) if account.is_empty() || account.len() > 128 => {
                Err("an open-platform account has 1 to 128 bytes")
            }
            _ => Ok(()),
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
