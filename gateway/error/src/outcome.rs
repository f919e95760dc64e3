//! How a request ended: the split of requests in metrics, usage and console.

use super::Error;

/// How a request ended. Only [`Outcome::Error`] and [`Outcome::PlatformError`] are failures of the service: a client that sends
/// something wrong must not hide them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The request was served.
    Ok,
    /// The request was refused: its client or its user has to do something else.
    ClientError,
    /// The gateway, a store, a plugin or the tenant's own service failed.
    Error,
    /// The platform failed or was not reached.
    PlatformError,
}

impl Outcome {
    /// All outcomes, in the order of their discriminants.
    pub const ALL: [Self; 4] = [Self::Ok, Self::ClientError, Self::Error, Self::PlatformError];

    /// The value of the label `outcome`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::ClientError => "client_error",
            Self::Error => "error",
            Self::PlatformError => "platform_error",
        }
    }

    /// The outcome of a response with this status that is no error of the gateway, such as one of an upstream.
    pub fn from_status(status: u16) -> Self {
        match status {
            500.. => Self::Error,
            400.. => Self::ClientError,
            _ => Self::Ok,
        }
    }

    /// Whether the service failed.
    pub fn is_failure(self) -> bool {
        matches!(self, Self::Error | Self::PlatformError)
    }
}

impl Error {
    /// The outcome of a request that failed with this error. A plugin's own error code is a decision of the action, not a
    /// failure.
    pub fn outcome(&self) -> Outcome {
        match self.status() {
            500.. if self.code().starts_with("platform_") => Outcome::PlatformError,
            500.. => Outcome::Error,
            _ => Outcome::ClientError,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{codes, text::Text};

    #[test]
    fn every_code_has_the_outcome_of_the_one_who_caused_it() {
        let of = |code| Error::new(code).outcome();
        for code in [&codes::INVALID_CODE, &codes::LOGIN_REQUIRED, &codes::RATE_LIMITED, &codes::UNKNOWN_ACTION] {
            assert_eq!(of(code), Outcome::ClientError, "{}", code.name);
        }
        for code in [&codes::OVERLOADED, &codes::STORE_UNAVAILABLE, &codes::PLUGIN_FAILED, &codes::UPSTREAM_TIMEOUT] {
            assert_eq!(of(code), Outcome::Error, "{}", code.name);
        }
        for code in codes::ALL.iter().filter(|code| code.name.starts_with("platform_")) {
            assert_eq!(of(code), Outcome::PlatformError, "{}", code.name);
        }
        let own = Error::plugin("platform_like".to_owned(), Text::fixed("x", "x"));
        assert_eq!(own.outcome(), Outcome::ClientError);
        assert_eq!(
            [200, 302, 404, 500, 503].map(Outcome::from_status).map(Outcome::name),
            ["ok", "ok", "client_error", "error", "error"]
        );
        assert!(Outcome::ALL.iter().enumerate().all(|(at, outcome)| *outcome as usize == at));
    }
}
