//! Configuration as plain data: the gateway's config from `menlou.toml` and the environment, the tenants' files, and the
//! errors in them. Secrets, their encryption and atomic saving of files belong here as well. Services that use the
//! configuration are built by the crates above.

pub mod check;
pub mod config_error;
pub mod duration;
pub mod edit;
mod environment;
pub mod fingerprint;
pub mod hosts;
pub mod keyring;
pub mod load;
pub mod network;
pub mod rate;
pub mod redacted;
pub mod reencrypt;
mod renamed;
pub mod save;
pub mod schema;
pub mod seal;
pub mod secret;
mod secret_file;
pub mod secret_text;
pub mod server;
pub mod settings;
pub mod size;
mod snippet;
pub mod sources;
pub mod tenant;
#[cfg(test)]
mod tests;
pub mod unknown_settings;
pub mod zeroize;
