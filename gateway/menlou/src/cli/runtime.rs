//! The Tokio runtime of a command.

use menlou_error::text::Text;
use tokio::runtime::{Builder, Runtime};

/// Starts a multi-threaded runtime with I/O and timers.
///
/// # Errors
/// The system refuses to start the threads or the I/O driver.
pub fn start() -> Result<Runtime, Text> {
    let built = Builder::new_multi_thread().enable_all().build();
    built.map_err(|e| Text::new(format!("无法启动运行时：{e}"), format!("could not start the runtime: {e}")))
}
