//! Tests of the plugin ABI: real libraries are loaded from folders and run with real stores and a simulated platform.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails at its first unexpected result")]

mod abi_pages;
mod c_plugin;
mod damaged_file;
mod descriptor;
mod hanging;
mod libraries;
mod loading;
mod log_capture;
mod misbehaviour;
mod plugin_call;
mod settings;
mod tenant_scope;
mod test_gateway;
mod unfinished_copy;
mod wakers;
