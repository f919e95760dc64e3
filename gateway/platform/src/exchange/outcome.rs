//! The outcome of a code exchange.

use crate::platform::PlatformIdentity;
use menlou_error::Result;
use std::sync::Arc;

/// The outcome of a code exchange.
pub(super) type Outcome = Result<ExchangeResult>;

/// What the platform returned for a code.
#[derive(Clone)]
pub(super) enum ExchangeResult {
    /// For a login code: the identity.
    Identity(Arc<PlatformIdentity>),
    /// For a phone code: the phone number, in E.164.
    Phone(String),
}
