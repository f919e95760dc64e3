//! Menlou, the gatehouse: a plugin-based, multi-tenant API gateway for mini-programs.

pub mod config;
pub mod error;
pub mod platform;
pub mod store;
pub mod text;
