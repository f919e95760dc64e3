//! Decides whether a request is admitted: session and user, rate limits, concurrency, CORS, login attempts.
//!
//! Limits are split over three crates. `menlou-config` holds their settings (`rate`, `tenant::limits`), `menlou-store`
//! counts (`rate_limits`: GCRA in Redis or in this process), and this crate decides: [`rate_limits`] and [`admission`].

mod access;
pub mod admission;
pub mod cors;
mod hashing_queue;
mod network;
pub mod password;
pub mod profile;
pub mod rate_limits;

pub use access::{Access, Caller, admit, hash_token};
pub use hashing_queue::{HashingPermit, HashingQueue};
pub use network::client_network;
