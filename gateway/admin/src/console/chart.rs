//! A chart of requests over time: bars of requests by outcome, and a line of opened sessions.

use super::layout::Layout;
use crate::{activity::ActionUsage, timestamp::Timestamp};
use std::{fmt::Write, time::SystemTime};

/// The size of the SVG view box.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 120.0;

/// A chart of requests over time.
pub struct Chart {
    /// The bars, from left to right.
    pub bars: Vec<Bar>,
    /// The line of opened sessions: the points of an SVG polyline.
    pub line: String,
    /// The value at the top of the chart.
    pub max: u64,
    /// The width of a bar in minutes.
    pub bar_minutes: u32,
    /// The start of the chart.
    pub from: Timestamp,
    /// The end of the chart.
    pub to: Timestamp,
    /// All requests.
    pub calls: u64,
    /// All requests that were refused because of their client or user.
    pub client_errors: u64,
    /// All requests that failed, the platform's failures included.
    pub failures: u64,
    /// Failures of the platform.
    pub platform_errors: u64,
    /// All opened sessions.
    pub sessions: u64,
}

/// The requests of a bar.
#[derive(Clone, Copy, Default)]
struct Sum {
    calls: u64,
    client_errors: u64,
    failures: u64,
    platform_errors: u64,
    sessions: u64,
}

/// A bar, with the attributes of its three SVG rectangles.
pub struct Bar {
    pub at: Timestamp,
    pub calls: u64,
    pub client_errors: u64,
    pub failures: u64,
    pub sessions: u64,
    pub x: String,
    pub width: String,
    pub success_y: String,
    pub success_height: String,
    pub refused_y: String,
    pub refused_height: String,
    pub failure_y: String,
    pub failure_height: String,
}

impl Chart {
    /// The last `minutes` as `bars` bars.
    pub fn new(usage: &[ActionUsage], minutes: u32, bars: u32) -> Self {
        let bar_minutes = (minutes / bars).max(1);
        let now = Timestamp::from(SystemTime::now()).0 / 60_000;
        let first = now - i64::from(minutes) + 1;
        let mut sums = vec![Sum::default(); bars as usize];
        for minute in usage.iter().flat_map(|usage| &usage.minutes) {
            let index = (minute.at.0 / 60_000 - first).div_euclid(i64::from(bar_minutes));
            if let Some(sum) = usize::try_from(index).ok().and_then(|index| sums.get_mut(index)) {
                sum.calls += u64::from(minute.calls);
                sum.client_errors += u64::from(minute.client_errors);
                sum.failures += u64::from(minute.errors) + u64::from(minute.platform_errors);
                sum.platform_errors += u64::from(minute.platform_errors);
                sum.sessions += u64::from(minute.sessions);
            }
        }
        let max = sums.iter().map(|sum| sum.calls.max(sum.sessions)).max().unwrap_or_default();
        let height = |n: u64| if max == 0 { 0.0 } else { HEIGHT * n as f64 / max as f64 };
        let bar_width = WIDTH / f64::from(bars);
        let (mut line, mut drawn) = (String::new(), Vec::new());
        for (i, Sum { calls, client_errors, failures, sessions, .. }) in sums.iter().copied().enumerate() {
            let (left, total) = (bar_width * i as f64, height(calls));
            let (refused, failed) = (height(client_errors), height(failures));
            // Writing to a String cannot fail.
            let _ = write!(line, "{:.1},{:.1} ", left + bar_width / 2.0, HEIGHT - height(sessions));
            drawn.push(Bar {
                at: Timestamp((first + i64::from(bar_minutes) * i as i64) * 60_000),
                calls,
                client_errors,
                failures,
                sessions,
                x: format!("{:.1}", left + bar_width * 0.1),
                width: format!("{:.1}", bar_width * 0.8),
                success_y: format!("{:.1}", HEIGHT - total),
                success_height: format!("{:.1}", (total - refused - failed).max(0.0)),
                refused_y: format!("{:.1}", HEIGHT - failed - refused),
                refused_height: format!("{refused:.1}"),
                failure_y: format!("{:.1}", HEIGHT - failed),
                failure_height: format!("{failed:.1}"),
            });
        }
        let sum = |part: fn(&Sum) -> u64| sums.iter().map(part).sum();
        Self {
            bars: drawn,
            line: line.trim_end().to_owned(),
            max,
            bar_minutes,
            from: Timestamp(first * 60_000),
            to: Timestamp((now + 1) * 60_000),
            calls: sum(|sum| sum.calls),
            client_errors: sum(|sum| sum.client_errors),
            failures: sum(|sum| sum.failures),
            platform_errors: sum(|sum| sum.platform_errors),
            sessions: sum(|sum| sum.sessions),
        }
    }

    /// The chart's totals in one sentence.
    pub fn summary(&self, layout: &Layout) -> String {
        let Self { calls, client_errors, failures, platform_errors, sessions, .. } = self;
        if layout.is_chinese() {
            format!(
                "请求 {calls} 次，拒绝 {client_errors} 次，失败 {failures} 次（平台 {platform_errors} 次），新建会话 {sessions} 个"
            )
        } else {
            format!(
                "{calls} requests, {client_errors} refused, {failures} failed ({platform_errors} at the platform), {sessions} sessions opened"
            )
        }
    }

    /// Whether there were no requests.
    pub fn is_empty(&self) -> bool {
        self.max == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::MinuteUsage;

    #[test]
    fn requests_are_counted_in_the_bar_of_their_time_and_older_ones_are_left_out() {
        let now = SystemTime::now();
        let minute = |ago: u64, calls, errors, sessions| {
            let at = Timestamp::from(now - std::time::Duration::from_secs(ago * 60));
            MinuteUsage { at, calls, client_errors: 0, errors, platform_errors: 0, sessions, p50_ms: 1.0, p95_ms: 1.0 }
        };
        let minutes = vec![minute(700, 9, 9, 9), minute(300, 4, 1, 2), minute(0, 8, 8, 0)];
        let usage = ActionUsage {
            action: "openid".into(),
            calls: 0,
            client_errors: 0,
            errors: 0,
            platform_errors: 0,
            sessions: 0,
            minutes,
        };
        let chart = Chart::new(&[usage], 360, 36);
        assert_eq!((chart.bars.len(), chart.max, chart.calls, chart.failures, chart.sessions), (36, 8, 12, 9, 2));
        let last = &chart.bars[35];
        assert_eq!(
            (last.calls, last.success_height.as_str(), last.failure_height.as_str(), last.failure_y.as_str()),
            (8, "0.0", "120.0", "0.0")
        );
        assert!(!chart.line.contains("NaN") && Chart::new(&[], 60, 60).is_empty());
    }
}
