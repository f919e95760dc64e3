//! Lines of plugins in the gateway's log: bounded in length and in number.

use super::guard;
use crate::{ffi::printable, plugin_call::PluginCall};
use menlou_abi::*;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::runtime::Handle;

const SECOND: Duration = Duration::from_secs(1);
/// A plugin that writes more lines in a second is not heard until the next.
const LINES_PER_SECOND: u32 = 200;
/// No line has more fields.
const MOST_FIELDS: usize = 32;
/// No line of a plugin's is longer, in bytes.
const LONGEST_LINE: usize = 8 << 10;

/// Who writes: the context of a plugin's host table.
pub struct PluginLogger {
    plugin: &'static str,
    second: Mutex<Second>,
}

/// The second that is being counted.
struct Second {
    began: Instant,
    lines: u32,
}

impl PluginLogger {
    /// The plugin of this name.
    pub fn new(plugin: &'static str) -> Self {
        Self { plugin, second: Mutex::new(Second { began: Instant::now(), lines: 0 }) }
    }

    /// Whether one more line may be written. Of those that may not it is told, once a second, how many there were.
    fn may_speak(&'static self) -> bool {
        let lines = {
            let mut second = self.second();
            if second.began.elapsed() >= SECOND {
                self.end(&mut second);
            }
            second.lines = second.lines.saturating_add(1);
            second.lines
        };
        // It may be the last that is heard of the plugin for long. A thread of its own has no runtime to wait in.
        if lines == LINES_PER_SECOND + 1
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(async {
                tokio::time::sleep(SECOND).await;
                self.end(&mut self.second());
            });
        }
        lines <= LINES_PER_SECOND
    }

    fn end(&self, second: &mut Second) {
        let lost = second.lines.saturating_sub(LINES_PER_SECOND);
        if lost > 0 {
            let plugin = self.plugin;
            metrics::counter!("menlou_plugin_log_lines_lost_total", "plugin" => plugin).increment(lost.into());
            tracing::warn!(target: "plugin", plugin, lost, "the plugin floods the log: lines were left out");
        }
        *second = Second { began: Instant::now(), lines: 0 };
    }

    fn second(&self) -> MutexGuard<'_, Second> {
        self.second.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY of all that is `unsafe` here: see the module's head.

pub(super) unsafe extern "C" fn enabled(_: *const menlou_host, level: u32) -> i32 {
    i32::from(is_kept(level))
}

fn is_kept(level: u32) -> bool {
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
        // SAFETY: as above; the context is what `table` put there, and lives for ever.
        let (speaker, flight) = unsafe { (&*(*host).context.cast::<PluginLogger>(), PluginCall::of(call)) };
        // Lines that nobody would keep don't count.
        if !is_kept(level) || !speaker.may_speak() {
            return;
        }
        // SAFETY: as above.
        let mut line = unsafe { printable(message) };
        let fields_len = if fields.is_null() { 0 } else { fields_len.min(MOST_FIELDS) };
        for i in 0..fields_len {
            if line.len() >= LONGEST_LINE {
                break;
            }
            // SAFETY: as above: there are `fields_len` of them.
            unsafe {
                let field = &*fields.add(i);
                line += &format!(" {}={}", printable(field.key), printable(field.value));
            }
        }
        line.truncate(line.floor_char_boundary(LONGEST_LINE));
        let plugin = speaker.plugin;
        let (tenant, action, id) =
            flight.map_or(("", "", ""), |f| (&*f.action.scope.tenant, &*f.call.action, &*f.call.id));
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
    fn a_plugin_is_heard_so_often_in_a_second() {
        let speaker: &PluginLogger = Box::leak(Box::new(PluginLogger::new("loud")));
        let heard = (0..LINES_PER_SECOND * 3).filter(|_| speaker.may_speak()).count();
        // A busy machine may take long enough for a second to pass.
        assert!((LINES_PER_SECOND as usize..LINES_PER_SECOND as usize * 3).contains(&heard), "{heard}");
        std::thread::sleep(Duration::from_millis(1100));
        assert!(speaker.may_speak());
    }

    #[tokio::test]
    async fn a_flood_is_told_of_also_where_nothing_comes_after_it() {
        let speaker: &PluginLogger = Box::leak(Box::new(PluginLogger::new("loud")));
        let heard = (0..LINES_PER_SECOND * 3).filter(|_| speaker.may_speak()).count();
        assert!(heard < LINES_PER_SECOND as usize * 3, "{heard}");
        assert!(speaker.second().lines > LINES_PER_SECOND);
        tokio::time::sleep(Duration::from_millis(1300)).await;
        assert_eq!(speaker.second().lines, 0, "the second was ended, and what was lost told");
    }
}
