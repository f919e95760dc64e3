//! Recent activity of a tenant: requests by minute and the latest failures, in bounded memory. It survives a reload, not a
//! restart.

use menlou_action::SessionCounter;
use menlou_clock::{unix_millis, unix_seconds};
use menlou_error::{Error, Outcome, codes};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// Window in milliseconds in which rejections by load or rate limits are recorded once. Otherwise a flood of them would
/// push out all other failures.
const DEDUP_WINDOW_MS: u64 = 1000;
/// Number of minutes for which requests are counted.
pub const MINUTES: u32 = 360;
/// Maximum number of recorded failures of a tenant.
const MAX_FAILURES: usize = 100;
/// Maximum number of minutes of all tenants' actions together, about 80 bytes each. Beyond it, an action that starts a new
/// minute drops its oldest one.
const MAX_STORED_MINUTES: usize = 500_000;
/// Upper bounds of the duration buckets. One more bucket counts longer requests.
const BUCKET_BOUNDS: [Duration; 11] = [
    Duration::from_micros(1000),
    Duration::from_micros(2500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// Number of minutes of all tenants' actions together.
static STORED_MINUTES: AtomicUsize = AtomicUsize::new(0);

/// Recent activity of one tenant.
#[derive(Default)]
pub struct Activity {
    usage: Mutex<BTreeMap<String, Arc<ActionUsage>>>,
    failures: Mutex<VecDeque<RecentFailure>>,
    verification: Mutex<Option<LastVerification>>,
}

/// The last check of the tenant's credentials with the platform.
#[derive(Clone, Copy, Debug)]
pub struct LastVerification {
    /// Unix milliseconds.
    pub at: u64,
    /// Whether the credentials work.
    pub ok: bool,
}

/// The requests of one action. The counters that every request updates come first, in one cache line.
#[derive(Default)]
#[repr(C, align(64))]
pub struct ActionUsage {
    current: CurrentMinute,
    /// Requests by outcome since the last flush to the metrics.
    unflushed: [AtomicU64; Outcome::ALL.len()],
    /// The previous minutes, the oldest first.
    previous: Mutex<VecDeque<MinuteStats>>,
}

/// The latest minute with requests. It is updated without a lock.
#[derive(Default)]
struct CurrentMinute {
    minute: AtomicU32,
    requests: AtomicU32,
    sessions: AtomicU32,
    buckets: [AtomicU32; BUCKET_BOUNDS.len() + 1],
    client_errors: AtomicU32,
    errors: AtomicU32,
    platform_errors: AtomicU32,
}

/// The requests of one minute.
#[derive(Clone, Copy, Debug)]
pub struct MinuteStats {
    /// Unix minutes.
    pub minute: u32,
    /// All requests.
    pub requests: u32,
    /// Requests that were refused because of their client or user.
    pub client_errors: u32,
    /// Requests that failed in the gateway, a store, a plugin or the tenant's own service.
    pub errors: u32,
    /// Requests that failed at the platform.
    pub platform_errors: u32,
    /// Sessions that were opened.
    pub sessions: u32,
    buckets: [u32; BUCKET_BOUNDS.len() + 1],
}

/// A request that failed. It contains nothing that identifies the caller.
#[derive(Clone, Debug)]
pub struct RecentFailure {
    /// Unix milliseconds.
    pub at: u64,
    /// The action; `None` if the tenant has no such action.
    pub action: Option<String>,
    /// The error code.
    pub code: String,
    /// Whose failure it is.
    pub outcome: Outcome,
    /// The platform's error code.
    pub errcode: Option<i64>,
    /// The platform's id of the request to it.
    pub rid: Option<String>,
    /// The id of the request in the log.
    pub request_id: String,
}

impl Activity {
    /// The counters of an action, which are created if they do not exist.
    pub fn for_action(&self, action: &str) -> Arc<ActionUsage> {
        lock(&self.usage).entry(action.to_owned()).or_default().clone()
    }

    /// Removes the counters of all actions but these.
    pub fn retain_actions(&self, is_kept: impl Fn(&str) -> bool) {
        lock(&self.usage).retain(|action, _| is_kept(action));
    }

    /// The requests of each action in the last `minutes`, the oldest minute first, without minutes that have none.
    pub fn usage(&self, minutes: u32) -> Vec<(String, Vec<MinuteStats>)> {
        let since = this_minute().saturating_sub(minutes.min(MINUTES));
        let recent = |usage: &ActionUsage| {
            let previous = lock(&usage.previous);
            previous.iter().copied().chain(usage.current.read()).filter(|m| m.minute > since).collect()
        };
        lock(&self.usage).iter().map(|(action, usage)| (action.clone(), recent(usage))).collect()
    }

    /// Records a failure. An action's rejections by load or rate limits are recorded once per second.
    pub fn record_failure(&self, action: Option<&str>, error: &Error, request_id: &str) {
        let now = unix_millis();
        let is_rejection = [&codes::OVERLOADED, &codes::RATE_LIMITED].into_iter().any(|code| error.is(code));
        let is_same = |known: &&RecentFailure| known.code == error.code() && known.action.as_deref() == action;
        let mut failures = lock(&self.failures);
        let mut recent = failures.iter().rev().take_while(|known| known.at + DEDUP_WINDOW_MS > now);
        if is_rejection && recent.any(|known| is_same(&known)) {
            return;
        }
        let data = |key: &str| error.data().and_then(|data| data.get(key));
        // Personal data must not get in through the id.
        let is_id =
            |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let failure = RecentFailure {
            at: now,
            action: action.map(str::to_owned),
            code: error.code().to_owned(),
            outcome: error.outcome(),
            errcode: data("errcode").and_then(serde_json::Value::as_i64),
            rid: data("rid").and_then(serde_json::Value::as_str).filter(is_id).map(str::to_owned),
            request_id: request_id.to_owned(),
        };
        if failures.len() >= MAX_FAILURES {
            // Neither kind drowns the other: the one that has more gives way.
            let is_client_error = |known: &RecentFailure| known.outcome == Outcome::ClientError;
            let has_most = failures.iter().filter(|known| is_client_error(known)).count() * 2 >= failures.len();
            let oldest = failures.iter().position(|known| is_client_error(known) == has_most);
            failures.remove(oldest.unwrap_or_default());
        }
        failures.push_back(failure);
    }

    /// Records the result of a check of the credentials.
    pub fn record_verification(&self, ok: bool) {
        *lock(&self.verification) = Some(LastVerification { at: unix_millis(), ok });
    }

    /// The last check of the credentials.
    pub fn last_verification(&self) -> Option<LastVerification> {
        *lock(&self.verification)
    }

    /// The latest failures, the newest first.
    pub fn failures(&self) -> Vec<RecentFailure> {
        lock(&self.failures).iter().rev().cloned().collect()
    }
}

impl ActionUsage {
    /// The number of requests with this outcome since the last call of this function.
    pub(super) fn take_unflushed(&self, outcome: Outcome) -> u64 {
        let unflushed = &self.unflushed[outcome as usize];
        // Most actions have few requests. For those a load is enough, which is cheaper than a swap.
        match unflushed.load(Relaxed) {
            0 => 0,
            _ => unflushed.swap(0, Relaxed),
        }
    }

    /// Reads from each cache line that a request uses, so that the CPU loads them. The result has no meaning.
    pub(super) fn prefetch(&self) -> usize {
        (u64::from(self.current.requests.load(Relaxed)) + self.unflushed[0].load(Relaxed)) as usize
    }

    /// Counts a request.
    pub fn record(&self, outcome: Outcome, took: Duration) {
        self.advance();
        self.current.requests.fetch_add(1, Relaxed);
        self.unflushed[outcome as usize].fetch_add(1, Relaxed);
        let failed = match outcome {
            Outcome::Ok => None,
            Outcome::ClientError => Some(&self.current.client_errors),
            Outcome::Error => Some(&self.current.errors),
            Outcome::PlatformError => Some(&self.current.platform_errors),
        };
        if let Some(failed) = failed {
            failed.fetch_add(1, Relaxed);
        }
        self.current.buckets[BUCKET_BOUNDS.partition_point(|bound| *bound < took)].fetch_add(1, Relaxed);
    }

    /// Starts a new minute if the current one is over.
    fn advance(&self) {
        let minute = this_minute();
        // If the clock was set back, requests are counted in the latest minute.
        if self.current.minute.load(Relaxed) < minute {
            self.start_minute(minute);
        }
    }

    /// Starts a minute. Requests that other threads count meanwhile are counted in either minute.
    fn start_minute(&self, minute: u32) {
        let mut previous = lock(&self.previous);
        if self.current.minute.load(Relaxed) >= minute {
            return;
        }
        previous.extend(self.current.take());
        let is_expired = |first: &MinuteStats| first.minute + MINUTES <= minute;
        while previous.front().is_some_and(is_expired) {
            previous.pop_front();
            STORED_MINUTES.fetch_sub(1, Relaxed);
        }
        if STORED_MINUTES.load(Relaxed) >= MAX_STORED_MINUTES && previous.pop_front().is_some() {
            STORED_MINUTES.fetch_sub(1, Relaxed);
        }
        self.current.minute.store(minute, Relaxed);
        STORED_MINUTES.fetch_add(1, Relaxed);
    }
}

impl SessionCounter for ActionUsage {
    fn session_opened(&self) {
        self.advance();
        self.current.sessions.fetch_add(1, Relaxed);
    }
}

impl CurrentMinute {
    fn read(&self) -> Option<MinuteStats> {
        self.collect(|count| count.load(Relaxed))
    }

    fn take(&self) -> Option<MinuteStats> {
        self.collect(|count| count.swap(0, Relaxed))
    }

    fn collect(&self, read: impl Fn(&AtomicU32) -> u32) -> Option<MinuteStats> {
        let minute = self.minute.load(Relaxed);
        let buckets = self.buckets.each_ref().map(&read);
        let stats = MinuteStats {
            minute,
            requests: read(&self.requests),
            client_errors: read(&self.client_errors),
            errors: read(&self.errors),
            platform_errors: read(&self.platform_errors),
            sessions: read(&self.sessions),
            buckets,
        };
        (minute > 0).then_some(stats)
    }
}

impl Drop for ActionUsage {
    fn drop(&mut self) {
        let previous = self.previous.get_mut().unwrap_or_else(PoisonError::into_inner);
        STORED_MINUTES.fetch_sub(previous.len() + usize::from(*self.current.minute.get_mut() > 0), Relaxed);
    }
}

impl MinuteStats {
    /// The quantile (0 to 1) of the durations, interpolated within its bucket. Durations above the last bound count as that
    /// bound.
    pub fn quantile(&self, quantile: f64) -> Duration {
        let rank = quantile * f64::from(self.buckets.iter().sum::<u32>());
        let (mut below, mut lower) = (0.0, Duration::ZERO);
        for (bucket, upper) in self.buckets.iter().zip(BUCKET_BOUNDS) {
            let count = f64::from(*bucket);
            if count > 0.0 && below + count >= rank {
                return lower + (upper - lower).mul_f64(((rank - below) / count).clamp(0.0, 1.0));
            }
            (below, lower) = (below + count, upper);
        }
        lower
    }
}

fn this_minute() -> u32 {
    u32::try_from(unix_seconds() / 60).unwrap_or(u32::MAX)
}

/// A panic leaves the data consistent, because no update in this file can panic half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn requests_and_durations_are_counted_by_minute() {
        let activity = Activity::default();
        let usage = activity.for_action("openid");
        (0..3).for_each(|_| usage.session_opened());
        for n in 0..100 {
            let outcome = if n % 10 == 0 { Outcome::Error } else { Outcome::Ok };
            usage.record(outcome, Duration::from_millis(if n < 90 { 8 } else { 80 }));
        }
        let usage = activity.usage(60);
        let minutes = &usage[0].1;
        let (requests, failures): (u32, u32) = minutes.iter().fold((0, 0), |(r, f), m| (r + m.requests, f + m.errors));
        assert_eq!((usage.len(), usage[0].0.as_str(), requests, failures), (1, "openid", 100, 10));
        assert_eq!(minutes.iter().map(|m| m.sessions).sum::<u32>(), 3);
        if let [minute] = minutes.as_slice() {
            let ms = |quantile| minute.quantile(quantile).as_secs_f64() * 1000.0;
            assert!((5.0..=10.0).contains(&ms(0.5)) && (50.0..=100.0).contains(&ms(0.95)), "{minute:?}");
        }
        activity.retain_actions(|action| action == "login");
        assert!(activity.usage(60).is_empty());
    }

    #[test]
    fn a_duration_above_the_last_bound_counts_as_that_bound() {
        let usage = ActionUsage::default();
        usage.record(Outcome::Ok, Duration::from_secs(60));
        let minute = usage.current.read().unwrap();
        assert_eq!((minute.quantile(0.5), minute.requests), (BUCKET_BOUNDS[BUCKET_BOUNDS.len() - 1], 1));
    }

    #[test]
    fn client_errors_do_not_drown_failures_nor_the_other_way_round() {
        for (many, few) in
            [(&codes::INVALID_CODE, &codes::PLUGIN_FAILED), (&codes::PLUGIN_FAILED, &codes::INVALID_CODE)]
        {
            let activity = Activity::default();
            for n in 0..10 * MAX_FAILURES {
                let code = if n < 5 * MAX_FAILURES && n % 2 == 0 { few } else { many };
                activity.record_failure(Some("openid"), &Error::new(code), &format!("r{n}"));
            }
            let failures = activity.failures();
            let count = failures.iter().filter(|failure| failure.code == few.name).count();
            assert_eq!(failures.len(), MAX_FAILURES);
            assert!((MAX_FAILURES / 2 - 1..=MAX_FAILURES / 2 + 1).contains(&count), "{}: {count}", few.name);
        }
    }

    #[test]
    fn a_flood_of_rejections_does_not_push_out_other_failures() {
        let activity = Activity::default();
        activity.record_failure(Some("openid"), &Error::new(&codes::INVALID_CODE), "first");
        for n in 0..10 * MAX_FAILURES {
            let (code, action) =
                if n % 2 == 0 { (&codes::OVERLOADED, "openid") } else { (&codes::RATE_LIMITED, "user") };
            activity.record_failure(Some(action), &Error::new(code), &format!("r{n}"));
        }
        let failures = activity.failures();
        let count = |code: &str| failures.iter().filter(|failure| failure.code == code).count();
        assert!((1..=10).contains(&count("overloaded")) && (1..=10).contains(&count("rate_limited")), "{failures:?}");
        assert_eq!(count("invalid_code"), 1);
    }

    #[test]
    fn the_latest_failures_are_kept_without_personal_data() {
        let activity = Activity::default();
        for n in 0..MAX_FAILURES + 5 {
            let error =
                Error::new(&codes::PLATFORM_ERROR).with_data(json!({ "errcode": n, "rid": "64a1-b2", "openid": "o" }));
            activity.record_failure(Some("openid"), &error, &format!("r{n}"));
        }
        let odd = Error::new(&codes::PLATFORM_ERROR).with_data(json!({ "errcode": "x", "rid": "+86 138 0013 8000" }));
        activity.record_failure(None, &odd, "last");
        let failures = activity.failures();
        assert_eq!((failures.len(), failures[0].request_id.as_str()), (MAX_FAILURES, "last"));
        assert!(failures[0].rid.is_none() && failures[0].errcode.is_none() && failures[0].action.is_none());
        assert_eq!((failures[1].rid.as_deref(), failures[1].errcode), (Some("64a1-b2"), Some(104)));
        assert_eq!(failures[MAX_FAILURES - 1].request_id, "r6");
    }
}
