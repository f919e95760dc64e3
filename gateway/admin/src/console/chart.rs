//! Calls over time as a picture: bars of calls and failures, and a line of sessions opened.

use super::layout::Layout;
use crate::{activity::ActionUsage, timestamp::Timestamp};
use std::{fmt::Write, time::SystemTime};

/// The picture's size, in its own units.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;

/// A picture of calls over time.
pub struct Chart {
    /// The bars from the left to the right.
    pub bars: Vec<Bar>,
    /// The line of opened sessions, as the points of a polyline.
    pub line: String,
    /// The most calls of a bar.
    pub top: u64,
    /// How many minutes a bar is of.
    pub step: u32,
    /// Where the picture begins and ends in time.
    pub from: Timestamp,
    pub to: Timestamp,
    /// The sums.
    pub calls: u64,
    pub failures: u64,
    pub sessions: u64,
}

/// The calls of some minutes.
pub struct Bar {
    pub at: Timestamp,
    pub calls: u64,
    pub failures: u64,
    pub sessions: u64,
    pub x: String,
    pub width: String,
    pub good_y: String,
    pub good: String,
    pub bad_y: String,
    pub bad: String,
}

impl Chart {
    /// The picture of the last `minutes`, in so many bars.
    pub fn of(usage: &[ActionUsage], minutes: u32, bars: u32) -> Self {
        let step = (minutes / bars).max(1);
        let now = Timestamp::from(SystemTime::now()).0 / 60_000;
        let first = now - i64::from(minutes) + 1;
        let mut sums = vec![(0_u64, 0_u64, 0_u64); bars as usize];
        for minute in usage.iter().flat_map(|usage| &usage.minutes) {
            let slot = (minute.at.0 / 60_000 - first).div_euclid(i64::from(step));
            if let Some(sum) = usize::try_from(slot).ok().and_then(|slot| sums.get_mut(slot)) {
                sum.0 += u64::from(minute.calls);
                sum.1 += u64::from(minute.failures);
                sum.2 += u64::from(minute.sessions);
            }
        }
        let top = sums.iter().map(|sum| sum.0.max(sum.2)).max().unwrap_or_default();
        let height = |n: u64| if top == 0 { 0.0 } else { HEIGHT * n as f64 / top as f64 };
        let each = WIDTH / f64::from(bars);
        let (mut line, mut drawn) = (String::new(), Vec::new());
        for (i, (calls, failures, sessions)) in sums.iter().copied().enumerate() {
            let (left, whole, bad) = (each * i as f64, height(calls), height(failures));
            // Writing to a String can't fail.
            let _ = write!(line, "{:.1},{:.1} ", left + each / 2.0, HEIGHT - height(sessions));
            drawn.push(Bar {
                at: Timestamp((first + i64::from(step) * i as i64) * 60_000),
                calls,
                failures,
                sessions,
                x: format!("{:.1}", left + each * 0.1),
                width: format!("{:.1}", each * 0.8),
                good_y: format!("{:.1}", HEIGHT - whole),
                good: format!("{:.1}", whole - bad),
                bad_y: format!("{:.1}", HEIGHT - bad),
                bad: format!("{bad:.1}"),
            });
        }
        let sum = |of: fn(&(u64, u64, u64)) -> u64| sums.iter().map(of).sum();
        Self {
            bars: drawn,
            line: line.trim_end().to_owned(),
            top,
            step,
            from: Timestamp(first * 60_000),
            to: Timestamp((now + 1) * 60_000),
            calls: sum(|sum| sum.0),
            failures: sum(|sum| sum.1),
            sessions: sum(|sum| sum.2),
        }
    }

    /// The picture in a sentence.
    pub fn told(&self, layout: &Layout) -> String {
        let Self { calls, failures, sessions, .. } = self;
        if layout.chinese() {
            format!("调用 {calls} 次，失败 {failures} 次，新会话 {sessions} 个")
        } else {
            format!("{calls} calls, {failures} failures, {sessions} sessions opened")
        }
    }

    /// Whether there is anything to see.
    pub fn is_empty(&self) -> bool {
        self.top == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::MinuteUsage;

    #[test]
    fn calls_stand_in_the_bar_of_their_time_and_the_rest_is_left_out() {
        let now = SystemTime::now();
        let minute = |ago: u64, calls, failures, sessions| {
            let at = Timestamp::from(now - std::time::Duration::from_secs(ago * 60));
            MinuteUsage { at, calls, failures, sessions, p50_ms: 1.0, p95_ms: 1.0 }
        };
        let minutes = vec![minute(700, 9, 9, 9), minute(300, 4, 1, 2), minute(0, 8, 8, 0)];
        let usage = ActionUsage { action: "openid".into(), calls: 0, failures: 0, sessions: 0, minutes };
        let plot = Chart::of(&[usage], 360, 36);
        assert_eq!((plot.bars.len(), plot.top, plot.calls, plot.failures, plot.sessions), (36, 8, 12, 9, 2));
        let last = &plot.bars[35];
        assert_eq!(
            (last.calls, last.good.as_str(), last.bad.as_str(), last.bad_y.as_str()),
            (8, "0.0", "120.0", "0.0")
        );
        assert!(!plot.line.contains("NaN") && Chart::of(&[], 60, 60).is_empty());
    }
}
