//! The configuration that a test starts a gateway with.

/// The configuration of a gateway.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// Tenants: name and file.
    pub tenants: Vec<(String, String)>,
    /// Config keys with dots, and their values as TOML: `("server.max_body", "\"1KiB\"")`.
    pub settings: Vec<(String, String)>,
    /// Environment variables.
    pub env: Vec<(String, String)>,
    /// Whether the plugins folder stays empty.
    pub without_plugins: bool,
    /// Whether standard error is a pipe that is read only by [`Gateway::take_log_pipe`](crate::Gateway::take_log_pipe), instead of the log file.
    pub log_pipe: bool,
    /// Example of the package `menlou` that runs instead of `menlou run`; its only argument is the config file.
    pub example: Option<String>,
}

impl Setup {
    /// Adds a tenant.
    pub fn tenant(mut self, name: &str, file: impl Into<String>) -> Self {
        self.tenants.push((name.to_owned(), file.into()));
        self
    }

    /// Adds a config key; the value is TOML.
    pub fn setting(mut self, name: &str, value: impl Into<String>) -> Self {
        self.settings.push((name.to_owned(), value.into()));
        self
    }

    /// Makes standard error a pipe, see [`Gateway::take_log_pipe`](crate::Gateway::take_log_pipe).
    pub fn log_pipe(mut self) -> Self {
        self.log_pipe = true;
        self
    }

    /// Runs this example of the package `menlou` instead of `menlou run`.
    pub fn example(mut self, name: &str) -> Self {
        self.example = Some(name.to_owned());
        self
    }

    /// Adds an environment variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }
}
