//! Menlou, the gatehouse: a plugin-based, multi-tenant API gateway for mini-programs.

pub mod action;
pub mod call;
pub mod config;
pub mod error;
pub mod platform;
pub mod policy;
pub mod store;
pub mod text;
