//! Menlou as a library: the command line, and the gateway composed of the crates beside this one.
//!
//! `gateway/ARCHITECTURE.md` shows the crates, the direction of their imports and the life of a request.

pub mod cli;
mod control;
pub mod gateway;
pub mod reload;
pub mod telemetry;
