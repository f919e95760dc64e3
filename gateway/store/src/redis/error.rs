//! The translation of Redis errors.

use crate::deadline_breaker::StoreFailure;
use ::redis::{ErrorKind, RedisError, ServerErrorKind};

/// What an error says about the server. The log gets the text of [`describe`].
pub(super) fn failure(error: &RedisError) -> StoreFailure {
    match error.kind() {
        ErrorKind::UnexpectedReturnType | ErrorKind::Parse => {
            StoreFailure::Corrupt("the key holds a value of another type".into())
        }
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ClusterDown,
        ) => StoreFailure::Down(describe(error)),
        ErrorKind::Server(_) | ErrorKind::Extension => StoreFailure::Refused(describe(error)),
        _ => StoreFailure::Down(describe(error)),
    }
}

/// Whether the server refused a write because it is a replica.
pub(super) fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// The cause of an error, without server texts, since those may repeat keys and values.
pub(super) fn describe(error: &RedisError) -> String {
    match error.kind() {
        _ if matches!(error.code(), Some("WRONGPASS" | "NOAUTH")) => "it refused the credentials".into(),
        ErrorKind::Server(_) | ErrorKind::Extension => format!("it answered {}", error.code().unwrap_or("an error")),
        ErrorKind::Io => error.to_string(),
        ErrorKind::AuthenticationFailed => "it refused the credentials".into(),
        ErrorKind::RESP3NotSupported => "it is older than Redis 6, which is needed for RESP3".into(),
        kind => format!("{kind:?}"),
    }
}
