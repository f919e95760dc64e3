//! What a tenant's actions have been doing lately: calls by the minute and the latest failures, in bounded memory. A
//! reload keeps it, a restart does not.

use menlou_action::SessionCounter;
use menlou_clock::{unix_millis, unix_seconds};
use menlou_error::{Error, codes};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

/// A refusal for want of admission that comes again within this time, in milliseconds, is not remembered: a flood of them would
/// leave nothing else to see.
const FLOOD_MS: u64 = 1000;
/// For how many minutes calls are remembered.
pub const MINUTES: u32 = 360;
/// How many failures of a tenant are remembered.
pub const FAILURES: usize = 100;
/// All tenants' actions together remember no more minutes, some 80 bytes each; then the oldest of who calls gives way.
const MOST: usize = 500_000;
/// Up to which time a call counts into which slot; those that took longer have one of their own.
const EDGES: [Duration; 11] = [
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

/// How many minutes are remembered now.
static REMEMBERED: AtomicUsize = AtomicUsize::new(0);

/// What one tenant has been doing.
#[derive(Default)]
pub struct Activity {
    usage: Mutex<BTreeMap<String, Arc<ActionUsage>>>,
    failures: Mutex<VecDeque<RecentFailure>>,
    verified: Mutex<Option<LastVerification>>,
}

/// When the platform was asked whether the tenant's credentials work, and whether they did.
#[derive(Clone, Copy, Debug)]
pub struct LastVerification {
    /// Unix milliseconds.
    pub at: u64,
    /// Whether they did.
    pub good: bool,
}

/// The calls of one action. What every call counts in comes first, on one line of the processor's cache.
#[derive(Default)]
#[repr(C, align(64))]
pub struct ActionUsage {
    now: Now,
    /// Calls that the metrics were not told of yet.
    untold: AtomicU64,
    /// The minutes before this one, the oldest first.
    before: Mutex<VecDeque<MinuteStats>>,
}

/// The minute in which there were calls last: calls count in it side by side.
#[derive(Default)]
struct Now {
    minute: AtomicU32,
    calls: AtomicU32,
    failures: AtomicU32,
    opened: AtomicU32,
    slots: [AtomicU32; EDGES.len() + 1],
}

/// The calls of one minute.
#[derive(Clone, Copy, Debug)]
pub struct MinuteStats {
    /// Unix minutes.
    pub minute: u32,
    /// All calls.
    pub calls: u32,
    /// Those that failed.
    pub failures: u32,
    /// Sessions that were opened.
    pub opened: u32,
    slots: [u32; EDGES.len() + 1],
}

/// A call that failed. Nothing in it says who called.
#[derive(Clone, Debug)]
pub struct RecentFailure {
    /// Unix milliseconds.
    pub at: u64,
    /// The action; none where the tenant has no such action.
    pub action: Option<String>,
    /// The error's word.
    pub word: String,
    /// The platform's error code.
    pub errcode: Option<i64>,
    /// The platform's id of its own request.
    pub rid: Option<String>,
    /// The id under which the log tells more.
    pub request_id: String,
}

impl Activity {
    /// The record of an action, from now on kept.
    pub fn for_action(&self, action: &str) -> Arc<ActionUsage> {
        locked(&self.usage).entry(action.to_owned()).or_default().clone()
    }

    /// Forgets all actions but these.
    pub fn keep(&self, has: impl Fn(&str) -> bool) {
        locked(&self.usage).retain(|action, _| has(action));
    }

    /// The calls of each action within the last `minutes`, oldest minute first; minutes without calls are left out.
    pub fn usage(&self, minutes: u32) -> Vec<(String, Vec<MinuteStats>)> {
        let since = this_minute().saturating_sub(minutes.min(MINUTES));
        let of = |usage: &ActionUsage| {
            let before = locked(&usage.before);
            before.iter().copied().chain(usage.now.read()).filter(|m| m.minute > since).collect()
        };
        locked(&self.usage).iter().map(|(action, usage)| (action.clone(), of(usage))).collect()
    }

    /// Remembers a failure. Of an action's refusals by load or limits, one of each kind a second will do.
    pub fn failed(&self, action: Option<&str>, error: &Error, request_id: &str) {
        let now = unix_millis();
        let is_one_of_many = [&codes::OVERLOADED, &codes::RATE_LIMITED].into_iter().any(|word| error.is(word));
        let alike = |known: &&RecentFailure| known.word == error.code() && known.action.as_deref() == action;
        let mut failures = locked(&self.failures);
        let mut lately = failures.iter().rev().take_while(|known| known.at + FLOOD_MS > now);
        if is_one_of_many && lately.any(|known| alike(&known)) {
            return;
        }
        let told = |key: &str| error.data().and_then(|data| data.get(key));
        let plain =
            |id: &&str| (1..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let failure = RecentFailure {
            at: now,
            action: action.map(str::to_owned),
            word: error.code().to_owned(),
            errcode: told("errcode").and_then(serde_json::Value::as_i64),
            rid: told("rid").and_then(serde_json::Value::as_str).filter(plain).map(str::to_owned),
            request_id: request_id.to_owned(),
        };
        if failures.len() >= FAILURES {
            failures.pop_front();
        }
        failures.push_back(failure);
    }

    /// Remembers what the platform said of the credentials.
    pub fn verified(&self, good: bool) {
        *locked(&self.verified) = Some(LastVerification { at: unix_millis(), good });
    }

    /// What the platform said of the credentials when it was asked last.
    pub fn last_verified(&self) -> Option<LastVerification> {
        *locked(&self.verified)
    }

    /// The latest failures, the newest first.
    pub fn failures(&self) -> Vec<RecentFailure> {
        locked(&self.failures).iter().rev().cloned().collect()
    }
}

impl ActionUsage {
    /// How many calls there were since it was asked last.
    pub(super) fn take_untold(&self) -> u64 {
        // Most are called seldom, and only read here.
        match self.untold.load(Relaxed) {
            0 => 0,
            _ => self.untold.swap(0, Relaxed),
        }
    }

    /// Reads a word of all that a call touches, for the processor to have it near; the number says nothing.
    pub(super) fn near(&self) -> usize {
        (u64::from(self.now.calls.load(Relaxed)) + self.untold.load(Relaxed)) as usize
    }

    /// Counts a call.
    pub fn record(&self, failed: bool, took: Duration) {
        self.keep_up();
        self.now.calls.fetch_add(1, Relaxed);
        self.untold.fetch_add(1, Relaxed);
        if failed {
            self.now.failures.fetch_add(1, Relaxed);
        }
        self.now.slots[EDGES.partition_point(|edge| *edge < took)].fetch_add(1, Relaxed);
    }

    fn keep_up(&self) {
        let minute = this_minute();
        // A clock that was set back counts on in the last minute.
        if self.now.minute.load(Relaxed) < minute {
            self.begin(minute);
        }
    }

    /// Begins a minute; what others count meanwhile counts in the one or the other.
    fn begin(&self, minute: u32) {
        let mut before = locked(&self.before);
        if self.now.minute.load(Relaxed) >= minute {
            return;
        }
        before.extend(self.now.take());
        let over = |first: &MinuteStats| first.minute + MINUTES <= minute;
        while before.front().is_some_and(over) {
            before.pop_front();
            REMEMBERED.fetch_sub(1, Relaxed);
        }
        if REMEMBERED.load(Relaxed) >= MOST && before.pop_front().is_some() {
            REMEMBERED.fetch_sub(1, Relaxed);
        }
        self.now.minute.store(minute, Relaxed);
        REMEMBERED.fetch_add(1, Relaxed);
    }
}

impl SessionCounter for ActionUsage {
    fn session_opened(&self) {
        self.keep_up();
        self.now.opened.fetch_add(1, Relaxed);
    }
}

impl Now {
    fn read(&self) -> Option<MinuteStats> {
        self.minute_of(|count| count.load(Relaxed))
    }

    fn take(&self) -> Option<MinuteStats> {
        self.minute_of(|count| count.swap(0, Relaxed))
    }

    fn minute_of(&self, read: impl Fn(&AtomicU32) -> u32) -> Option<MinuteStats> {
        let minute = self.minute.load(Relaxed);
        let slots = self.slots.each_ref().map(&read);
        let of = |minute| MinuteStats {
            minute,
            calls: read(&self.calls),
            failures: read(&self.failures),
            opened: read(&self.opened),
            slots,
        };
        (minute > 0).then(|| of(minute))
    }
}

impl Drop for ActionUsage {
    fn drop(&mut self) {
        let before = self.before.get_mut().unwrap_or_else(PoisonError::into_inner);
        REMEMBERED.fetch_sub(before.len() + usize::from(*self.now.minute.get_mut() > 0), Relaxed);
    }
}

impl MinuteStats {
    /// Within which time this part of the calls (0 to 1) was answered, to the precision of the slots; a call beyond the
    /// last edge counts as that.
    pub fn within(&self, part: f64) -> Duration {
        let wanted = part * f64::from(self.slots.iter().sum::<u32>());
        let (mut before, mut from) = (0.0, Duration::ZERO);
        for (slot, to) in self.slots.iter().zip(EDGES) {
            let here = f64::from(*slot);
            if here > 0.0 && before + here >= wanted {
                return from + (to - from).mul_f64(((wanted - before) / here).clamp(0.0, 1.0));
            }
            (before, from) = (before + here, to);
        }
        from
    }
}

fn this_minute() -> u32 {
    u32::try_from(unix_seconds() / 60).unwrap_or(u32::MAX)
}

/// What a thread that panicked left is whole: nothing in here stops half-way.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn calls_are_counted_by_the_minute_and_their_times_told() {
        let activity = Activity::default();
        let usage = activity.for_action("openid");
        (0..3).for_each(|_| usage.session_opened());
        for n in 0..100 {
            usage.record(n % 10 == 0, Duration::from_millis(if n < 90 { 8 } else { 80 }));
        }
        let told = activity.usage(60);
        let minutes = &told[0].1;
        let (calls, failures): (u32, u32) = minutes.iter().fold((0, 0), |(c, f), m| (c + m.calls, f + m.failures));
        assert_eq!((told.len(), told[0].0.as_str(), calls, failures), (1, "openid", 100, 10));
        assert_eq!(minutes.iter().map(|m| m.opened).sum::<u32>(), 3);
        if let [minute] = minutes.as_slice() {
            let ms = |part| minute.within(part).as_secs_f64() * 1000.0;
            assert!((5.0..=10.0).contains(&ms(0.5)) && (50.0..=100.0).contains(&ms(0.95)), "{minute:?}");
        }
        activity.keep(|action| action == "login");
        assert!(activity.usage(60).is_empty());
    }

    #[test]
    fn a_time_beyond_the_last_edge_counts_as_that() {
        let usage = ActionUsage::default();
        usage.record(false, Duration::from_secs(60));
        let minute = usage.now.read().unwrap();
        assert_eq!((minute.within(0.5), minute.calls), (EDGES[EDGES.len() - 1], 1));
    }

    #[test]
    fn a_flood_of_refusals_leaves_the_other_failures_to_be_seen() {
        let activity = Activity::default();
        activity.failed(Some("openid"), &Error::new(&codes::INVALID_CODE), "first");
        for n in 0..10 * FAILURES {
            let (word, action) =
                if n % 2 == 0 { (&codes::OVERLOADED, "openid") } else { (&codes::RATE_LIMITED, "user") };
            activity.failed(Some(action), &Error::new(word), &format!("r{n}"));
        }
        let told = activity.failures();
        let of = |word: &str| told.iter().filter(|failure| failure.word == word).count();
        assert!((1..=10).contains(&of("overloaded")) && (1..=10).contains(&of("rate_limited")), "{told:?}");
        assert_eq!(of("invalid_code"), 1);
    }

    #[test]
    fn the_latest_failures_are_kept_without_what_could_be_anyone_s() {
        let activity = Activity::default();
        for n in 0..FAILURES + 5 {
            let error =
                Error::new(&codes::PLATFORM_ERROR).with_data(json!({ "errcode": n, "rid": "64a1-b2", "openid": "o" }));
            activity.failed(Some("openid"), &error, &format!("r{n}"));
        }
        let odd = Error::new(&codes::PLATFORM_ERROR).with_data(json!({ "errcode": "x", "rid": "+86 138 0013 8000" }));
        activity.failed(None, &odd, "last");
        let failures = activity.failures();
        assert_eq!((failures.len(), failures[0].request_id.as_str()), (FAILURES, "last"));
        assert!(failures[0].rid.is_none() && failures[0].errcode.is_none() && failures[0].action.is_none());
        assert_eq!((failures[1].rid.as_deref(), failures[1].errcode), (Some("64a1-b2"), Some(104)));
        assert_eq!(failures[FAILURES - 1].request_id, "r6");
    }
}
