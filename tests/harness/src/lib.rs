//! What tests share: real servers on free loopback ports, ended with the test that started them.
#![expect(clippy::expect_used, reason = "a test fails by panicking, and so does what stands in for its surroundings")]

pub mod admin;
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
pub mod terminal;
pub mod test_ca;
pub mod upstream;

pub use admin::Admin;
pub use browser::Browser;
pub use client::{Client, Envelope};
pub use cluster::Cluster;
pub use fault::{FaultProxy, NetworkFault};
pub use gateway::{Gateway, GatewayFolder, Setup};
pub use postgres::Postgres;
pub use redis::Redis;
pub use sentinel::Sentinels;
pub use terminal::Terminal;
pub use test_ca::TestCa;
pub use upstream::Upstream;
