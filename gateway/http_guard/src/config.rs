//! What the guard of a connection allows: sizes, deadlines and rates.

use std::time::Duration;

/// Limits of one connection. Plain data: the server that uses the guard fills it from its own configuration.
#[derive(Clone, Debug)]
pub struct GuardConfig {
    /// Maximum size of a request head, in bytes: from the first byte of the request line to the empty line. Trailers of
    /// a chunked body have the same bound. Default: 16384.
    pub max_head_bytes: usize,
    /// Maximum number of HTTP/2 frames per minute that neither carry a part of a request nor let a response go on:
    /// PING, SETTINGS, PRIORITY, empty DATA and unknown frames. Default: 1000.
    pub max_control_frames_per_minute: u32,
    /// Maximum time until the first byte of the first request. Default: 10 s.
    pub first_byte_timeout: Duration,
    /// Maximum time from the first byte of a request head to its last. Default: 20 s.
    pub head_timeout: Duration,
    /// Maximum time between the end of a response and the first byte of the next request. Default: 30 s.
    pub keep_alive_timeout: Duration,
    /// Maximum time that writing a response may wait for the client in one go, and the idle budget of
    /// [`TransferDeadline`](crate::TransferDeadline) for all responses of a connection. Default: 20 s.
    pub response_write_timeout: Duration,
    /// Minimum average rate at which a client has to read responses, in bytes per second. Default: 1000.
    pub min_transfer_rate: usize,
}

impl Default for GuardConfig {
    fn default() -> Self {
        Self {
            max_head_bytes: 16 * 1024,
            max_control_frames_per_minute: 1000,
            first_byte_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(20),
            keep_alive_timeout: Duration::from_secs(30),
            response_write_timeout: Duration::from_secs(20),
            min_transfer_rate: 1000,
        }
    }
}
