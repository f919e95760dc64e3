//! Strict HTTP/1 framing, deadlines and HTTP/2 flood limits in front of hyper.
#![doc = ""]
#![doc = include_str!("../README.md")]

mod config;
mod connection_state;
mod control_frames;
mod deadlines;
mod framing;
mod guarded_stream;
mod hooks;
mod min_rate;
pub mod proxy_protocol;
mod request_head;
mod reset;
mod sniff;
mod violation;

pub use config::GuardConfig;
pub use connection_state::{InFlight, InFlightGuard};
pub use framing::{Framing, FramingError};
pub use guarded_stream::GuardedStream;
pub use hooks::GuardHooks;
pub use min_rate::TransferDeadline;
pub use request_head::is_valid_host;
pub use reset::Reset;
pub use sniff::PeekedStream;
pub use violation::{CloseReason, Rejection, Violation};
