//! The Tokio runtime of a command.

use menlou_error::text::Text;
use std::thread::available_parallelism;
use tokio::runtime::{Builder, Runtime};

/// Tokio's own variable for the number of workers.
const WORKERS: &str = "TOKIO_WORKER_THREADS";

/// Starts a multi-threaded runtime with I/O and timers.
///
/// # Errors
/// The system refuses to start the threads or the I/O driver.
pub fn start() -> Result<Runtime, Text> {
    let mut builder = Builder::new_multi_thread();
    // A plugin that does not return occupies one worker. On one processor a second worker serves the other requests.
    if available_parallelism().is_ok_and(|processors| processors.get() == 1) && std::env::var_os(WORKERS).is_none() {
        builder.worker_threads(2);
    }
    let built = builder.enable_all().build();
    built.map_err(|e| Text::new(format!("无法启动运行时：{e}"), format!("could not start the runtime: {e}")))
}
