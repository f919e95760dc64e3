//! Menlou, the gatehouse: a plugin-based, multi-tenant API gateway for mini-programs.
//!
//! `ARCHITECTURE.md` is the map: the rooms, who may import whom, the life of a request.

pub mod action;
pub mod admin;
pub mod call;
pub mod circuit;
pub mod cli;
pub mod config;
pub mod error;
pub mod gateway;
pub mod platform;
pub mod policy;
pub mod proxies;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod tenant;
pub mod text;
pub mod tls;
pub mod upstream;
