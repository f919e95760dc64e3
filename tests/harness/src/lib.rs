//! Test harness: real servers on free loopback ports that end with their test, and clients that check each response.
//!
//! Servers are the gateway's binary, Redis (single, Sentinel, Cluster), PostgreSQL, an upstream and a proxy that injects network
//! faults. All functions panic where a test could not continue.
#![expect(clippy::expect_used, reason = "a test fails by panicking, and so does its harness")]

pub mod admin;
pub mod artifacts;
pub mod browser;
pub mod client;
pub mod cluster;
pub mod fault;
pub mod gateway;
pub mod http;
pub mod postgres;
pub mod process;
pub mod redis;
pub mod sentinel;
pub mod setup;
pub mod terminal;
pub mod test_ca;
pub mod upstream;

pub use admin::{Admin, AdminResponse};
pub use browser::Browser;
pub use client::{Client, Envelope};
pub use cluster::Cluster;
pub use fault::{FaultProxy, NetworkFault};
pub use gateway::{Gateway, GatewayFolder};
pub use postgres::Postgres;
pub use redis::Redis;
pub use rustix::process::Signal;
pub use sentinel::Sentinels;
pub use setup::Setup;
pub use terminal::Terminal;
pub use test_ca::TestCa;
pub use upstream::Upstream;
