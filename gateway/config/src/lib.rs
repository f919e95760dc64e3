//! Plain data read from files and the environment: the server's config, the tenants' files, and every fault in them.

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
pub mod save;
pub mod schema;
pub mod seal;
pub mod secret;
mod secret_file;
pub mod server;
pub mod settings;
pub mod size;
mod snippet;
pub mod sources;
pub mod tenant;
#[cfg(test)]
mod tests;
pub mod zeroize;
