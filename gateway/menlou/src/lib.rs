//! Menlou as a library: the command line, and the gateway composed of the crates beside this one.
//!
//! `gateway/ARCHITECTURE.md` shows the crates, the direction of their imports and the life of a request.

// Output passes through cli/output.rs: the macros of the standard library panic where a pipe is closed.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod cli;
mod control;
pub mod gateway;
mod permissions;
pub mod reload;
pub mod telemetry;
