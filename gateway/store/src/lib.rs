//! What outlives a request: sessions, short-lived values, users with their bindings, admin tokens and the audit log.
//!
//! Each kind of data has a trait ([`SessionStore`], [`EphemeralKv`], [`UserStore`], [`AccountStore`], [`AdminStore`],
//! [`rate_limits::SharedRateLimiter`]) and at least one implementation: [`Sqlite`] has all but rate limits, [`Redis`] has
//! sessions, short-lived values and rate limits, [`Postgres`] has users, accounts and admin data. [`Stores`] opens the ones
//! that a [`StoreConfig`] names. Who may read or change the data is decided by the crates above this one.

mod accounts;
mod admins;
mod cache;
mod deadline_breaker;
mod ephemeral;
mod error;
mod postgres;
pub mod rate_limits;
mod redis;
mod session;
pub mod session_record;
mod sqlite;
mod stores;
mod ttl;
mod users;

pub use accounts::{AccountStore, BoundIdentity, Profile, ProfileQuery, UpdateOutcome};
pub use admins::{AdminStore, AdminToken, AuditEntry, NewAuditEntry};
pub use ephemeral::EphemeralKv;
pub use error::{Error, Result};
pub use postgres::Postgres;
pub use redis::Redis;
pub use session::{MAX_LISTED, Session, SessionStore, TokenHash};
pub use sqlite::Sqlite;
pub use stores::{StoreConfig, Stores};
pub use users::{AccountSelector, Identity, PasswordCredentials, User, UserStore};
