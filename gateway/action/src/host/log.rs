//! Log lines of plugins: bounded in length, and in number per second.

use super::entry::guard;
use crate::{ffi::printable, plugin_call::PluginCall};
use menlou_abi::*;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

const SECOND: Duration = Duration::from_secs(1);
/// Maximum number of lines of one plugin in a second. Further lines are dropped and counted.
const LINES_PER_SECOND: u32 = 200;
/// Maximum number of fields of a line. Further fields are dropped.
const MAX_FIELDS: usize = 32;
/// Maximum length of a line, in bytes. Longer lines are truncated.
const MAX_LINE: usize = 8 << 10;

/// The logger of one plugin: the `context` of its host function table.
pub struct PluginLogger {
    plugin: &'static str,
    window: Mutex<Window>,
}

/// The current second.
struct Window {
    start: Instant,
    lines: u32,
}

impl PluginLogger {
    /// A logger for the plugin of this name.
    pub fn new(plugin: &'static str) -> Self {
        Self { plugin, window: Mutex::new(Window { start: Instant::now(), lines: 0 }) }
    }

    /// Counts a line and returns whether it may be written. Dropped lines are reported at the end of their second.
    fn allows_line(&'static self) -> bool {
        let lines = {
            let mut window = self.window();
            if window.start.elapsed() >= SECOND {
                self.close(&mut window);
            }
            window.lines = window.lines.saturating_add(1);
            window.lines
        };
        // The first dropped line starts a timer, because no later line may come that closes the window. On a thread of the
        // plugin's own there is no runtime for a timer.
        if lines == LINES_PER_SECOND + 1
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async {
                tokio::time::sleep(SECOND).await;
                self.close(&mut self.window());
            });
        }
        lines <= LINES_PER_SECOND
    }

    /// Reports the dropped lines of a window and starts the next one.
    fn close(&self, window: &mut Window) {
        let dropped = window.lines.saturating_sub(LINES_PER_SECOND);
        if dropped > 0 {
            let plugin = self.plugin;
            metrics::counter!("menlou_plugin_log_lines_dropped_total", "plugin" => plugin).increment(dropped.into());
            tracing::warn!(target: "plugin", plugin, dropped, "plugin logs too many lines: some lines were dropped");
        }
        *window = Window { start: Instant::now(), lines: 0 };
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) unsafe extern "C" fn enabled(_: *const menlou_host, level: u32) -> i32 {
    i32::from(is_enabled(level))
}

fn is_enabled(level: u32) -> bool {
    match level {
        MENLOU_LOG_ERROR => tracing::enabled!(target: "plugin", tracing::Level::ERROR),
        MENLOU_LOG_WARN => tracing::enabled!(target: "plugin", tracing::Level::WARN),
        MENLOU_LOG_INFO => tracing::enabled!(target: "plugin", tracing::Level::INFO),
        MENLOU_LOG_DEBUG => tracing::enabled!(target: "plugin", tracing::Level::DEBUG),
        _ => tracing::enabled!(target: "plugin", tracing::Level::TRACE),
    }
}

pub(super) unsafe extern "C" fn write(
    host: *const menlou_host,
    call: *const menlou_call,
    level: u32,
    message: menlou_str,
    fields: *const menlou_kv,
    fields_len: usize,
) {
    guard((), || {
        // SAFETY: see `entry`; `table` put the context there, and it is never freed.
        let (logger, call) = unsafe { (&*(*host).context.cast::<PluginLogger>(), PluginCall::from_handle(call)) };
        // Lines below the log level do not count.
        if !is_enabled(level) || !logger.allows_line() {
            return;
        }
        // SAFETY: see `entry`.
        let mut line = unsafe { printable(message) };
        let fields_len = if fields.is_null() { 0 } else { fields_len.min(MAX_FIELDS) };
        for i in 0..fields_len {
            if line.len() >= MAX_LINE {
                break;
            }
            // SAFETY: see `entry`; `fields` has at least `fields_len` elements.
            unsafe {
                let field = &*fields.add(i);
                line += &format!(" {}={}", printable(field.key), printable(field.value));
            }
        }
        line.truncate(line.floor_char_boundary(MAX_LINE));
        let plugin = logger.plugin;
        let (tenant, action, id) = call.map_or(("", "", ""), |c| (c.tenant(), &*c.request.action, &*c.request.id));
        macro_rules! event {
            ($level:ident) => {
                tracing::event!(target: "plugin", tracing::Level::$level, plugin, tenant, action, request_id = id, "{line}")
            };
        }
        match level {
            MENLOU_LOG_ERROR => event!(ERROR),
            MENLOU_LOG_WARN => event!(WARN),
            MENLOU_LOG_INFO => event!(INFO),
            MENLOU_LOG_DEBUG => event!(DEBUG),
            _ => event!(TRACE),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_limit_of_a_second_are_dropped() {
        let logger: &PluginLogger = Box::leak(Box::new(PluginLogger::new("loud")));
        let written = (0..LINES_PER_SECOND * 3).filter(|_| logger.allows_line()).count();
        // On a busy machine the loop may take longer than a second.
        assert!((LINES_PER_SECOND as usize..LINES_PER_SECOND as usize * 3).contains(&written), "{written}");
        let start = Instant::now();
        while !logger.allows_line() {
            assert!(start.elapsed() < 20 * SECOND, "lines are still dropped");
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn dropped_lines_are_reported_even_if_no_line_follows() {
        let logger: &PluginLogger = Box::leak(Box::new(PluginLogger::new("loud")));
        let written = (0..LINES_PER_SECOND * 3).filter(|_| logger.allows_line()).count();
        assert!(written < LINES_PER_SECOND as usize * 3, "{written}");
        assert!(logger.window().lines > LINES_PER_SECOND);
        let start = Instant::now();
        while logger.window().lines > 0 {
            assert!(start.elapsed() < 20 * SECOND, "the timer has not closed the window");
            tokio::task::yield_now().await;
        }
    }
}
