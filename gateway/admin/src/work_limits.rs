//! Limits of the work that one admin token may cause, so that the admin of one tenant does not slow down all others.

use super::caller::{Caller, Role};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use moka::sync::Cache;
use std::{
    num::NonZeroU32,
    sync::{Arc, Mutex, PoisonError},
    thread::available_parallelism,
    time::{Duration, Instant},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Maximum number of requests of one token that wait for its permit.
const MAX_WAITING: usize = 16;
/// How long a request waits for a permit.
const MAX_WAIT: Duration = Duration::from_secs(10);
/// Writes that a token may make at once after a pause, in minutes of its rate.
const BURST_MINUTES: u32 = 3;
/// The rate of operators, as a multiple of the rate of a tenant's admin: operators create tenants with scripts.
const OPERATOR_FACTOR: u32 = 10;
/// Maximum number of tokens that are tracked. More evict others.
const MAX_TOKENS: u64 = 10_000;
/// How long an unused token is tracked. Then its burst is available again in full.
const IDLE: Duration = Duration::from_secs(600);

/// The limits of all tokens.
pub struct WorkLimits {
    /// Permits for work on tenant files, of all tokens together: half of the CPUs stay free for requests.
    work: Arc<Semaphore>,
    writes_per_minute: NonZeroU32,
    tokens: Cache<String, Arc<TokenLimits>>,
}

/// The limits of one token.
struct TokenLimits {
    /// One permit: the token's work on tenant files runs one after another.
    work: Arc<Semaphore>,
    /// Bounds the requests that wait for `work`.
    waiting: Arc<Semaphore>,
    /// When the token's writes so far would have been made at its rate (the theoretical arrival time of GCRA).
    writes_end: Mutex<Instant>,
}

/// Permission to work on tenant files. It is held until the work has ended, even if the client has disconnected.
pub struct WorkPermit {
    _token: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl WorkLimits {
    /// With this rate of writes for the token of a tenant's admin.
    pub fn new(writes_per_minute: NonZeroU32) -> Self {
        let threads = available_parallelism().map_or(1, |threads| threads.get().div_ceil(2));
        Self {
            work: Arc::new(Semaphore::new(threads)),
            writes_per_minute,
            tokens: Cache::builder().max_capacity(MAX_TOKENS).time_to_idle(IDLE).build(),
        }
    }

    /// Waits until the caller's earlier work on tenant files has ended.
    ///
    /// # Errors
    /// `rate_limited` if too many requests of the token are waiting, or for too long.
    pub async fn acquire(&self, caller: &Caller) -> Result<WorkPermit> {
        let token = self.for_token(caller);
        let _waiting = token.waiting.clone().try_acquire_owned().map_err(|_| too_much_work())?;
        let both = async {
            // In this order: a token that waits for itself takes no permit of the others.
            let own = token.work.clone().acquire_owned().await;
            Ok(WorkPermit { _token: own?, _all: self.work.clone().acquire_owned().await? })
        };
        let permit = timeout(MAX_WAIT, both).await.map_err(|_| too_much_work())?;
        permit.map_err(|e: tokio::sync::AcquireError| Error::new(&codes::INTERNAL_ERROR).with_cause(e))
    }

    /// Counts a write of the caller.
    ///
    /// # Errors
    /// `rate_limited`.
    pub fn count_write(&self, caller: &Caller) -> Result<()> {
        let factor = if matches!(caller.role, Role::Tenant(_)) { 1 } else { OPERATOR_FACTOR };
        let per_minute = self.writes_per_minute.saturating_mul(NonZeroU32::new(factor).unwrap_or(NonZeroU32::MIN));
        let (now, interval) = (Instant::now(), Duration::from_secs(60) / per_minute.get());
        let token = self.for_token(caller);
        let mut writes_end = token.writes_end.lock().unwrap_or_else(PoisonError::into_inner);
        let end = (*writes_end).max(now) + interval;
        let excess = (end - now).saturating_sub(Duration::from_secs(60) * BURST_MINUTES);
        if !excess.is_zero() {
            let text = Text::new(
                format!("该令牌的修改过于频繁：每分钟至多 {per_minute} 次（[admin] writes_per_minute）"),
                format!(
                    "this token makes too many changes: at most {per_minute} per minute ([admin] writes_per_minute)"
                ),
            );
            return Err(Error::new(&codes::RATE_LIMITED).with_message(text).retry_after(excess));
        }
        *writes_end = end;
        Ok(())
    }

    fn for_token(&self, caller: &Caller) -> Arc<TokenLimits> {
        self.tokens.get_with_by_ref(&caller.id, || {
            Arc::new(TokenLimits {
                work: Arc::new(Semaphore::new(1)),
                waiting: Arc::new(Semaphore::new(MAX_WAITING)),
                writes_end: Mutex::new(Instant::now()),
            })
        })
    }
}

fn too_much_work() -> Error {
    let text = Text::fixed(
        "该令牌同时发出的租户请求过多，请等待前面的请求完成",
        "this token has sent too many requests about tenants at the same time: wait for the earlier ones",
    );
    Error::new(&codes::RATE_LIMITED).with_message(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;

    fn caller(id: &str, role: &str) -> Caller {
        Caller { id: id.to_owned(), label: String::new(), role: Role::parse(role).unwrap() }
    }

    fn limits(per_minute: u32) -> WorkLimits {
        WorkLimits::new(NonZeroU32::new(per_minute).unwrap())
    }

    #[test]
    fn writes_of_a_token_are_limited_and_other_tokens_are_not_affected() {
        let limits = limits(10);
        let write = |id, role| limits.count_write(&caller(id, role)).is_ok();
        assert!((0..30).all(|_| write("a", "tenant:acme")));
        assert!(!write("a", "tenant:acme"));
        assert!(write("b", "tenant:acme"));
        assert!((0..300).all(|_| write("c", "operator")));
        assert!(!write("c", "operator"));
    }

    #[tokio::test]
    async fn work_of_a_token_runs_one_after_another() {
        let limits = limits(10);
        limits.work.add_permits(8);
        let one = caller("a", "tenant:acme");
        let held = limits.acquire(&one).await.unwrap();
        let second = limits.acquire(&one);
        tokio::pin!(second);
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert!(limits.acquire(&caller("b", "tenant:beta")).await.is_ok());
        drop(held);
        assert!(second.await.is_ok());
    }

    #[tokio::test]
    async fn requests_of_a_token_that_wait_are_bounded() {
        let limits = limits(10);
        let one = caller("a", "tenant:acme");
        let held = limits.acquire(&one).await.unwrap();
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(limits.acquire(&one))).collect();
        assert!(waiting.iter_mut().all(|one| one.as_mut().poll(&mut context).is_pending()));
        assert!(limits.acquire(&one).await.is_err_and(|error| error.code() == "rate_limited"));
        drop((waiting, held));
        assert!(limits.acquire(&one).await.is_ok());
    }
}
