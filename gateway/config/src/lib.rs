//! Plain data read from files and the environment: the server's config, the tenants' files, and every fault in them.

pub mod check;
pub mod duration;
pub mod edit;
mod environment;
mod excerpt;
pub mod fault;
pub mod hosts;
pub mod keyring;
pub mod load;
pub mod masked;
pub mod network;
pub mod rate;
pub mod reseal;
pub mod save;
pub mod schema;
pub mod seal;
pub mod secret;
pub mod server;
pub mod settings;
pub mod size;
pub mod sources;
pub mod stamp;
pub mod tenant;
#[cfg(test)]
mod tests;
pub mod wiped;
