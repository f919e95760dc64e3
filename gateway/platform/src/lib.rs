//! Clients of the mini-program platforms: code exchange, access tokens, encrypted data.
//!
//! Callers know the trait [`Platform`] only and construct it by [`build`]. To add a platform, write a module beside
//! [`wechat`] and add it to [`PlatformCredentials`] in `registry.rs`.

pub mod circuits;
mod decompress;
mod digest;
pub mod exchange;
pub mod http;
mod platform;
mod registry;
pub mod wechat;

pub use platform::{Platform, PlatformIdentity, PlatformQuery, PlatformReply};
pub use registry::{PLATFORM_KEYS, PlatformCredentials, PlatformKeys, build, verify};
