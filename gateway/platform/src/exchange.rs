//! The idempotent exchange of codes: a code is exchanged once, and requests that repeat it soon get the same result. A login
//! code yields an identity, a phone code a phone number.

use super::digest::sha256_hex;
use super::platform::{Platform, PlatformIdentity};
use menlou_clock::unix_millis;
use menlou_error::{Error, Result, codes};
use menlou_store::EphemeralKv;
use outcome::{ExchangeResult, Outcome};
use record::Record;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

mod outcome;
mod record;

/// Maximum time of an exchange at the platform.
const EXCHANGE_TIMEOUT: Duration = Duration::from_secs(6);
/// Maximum time that a request waits for an exchange, including one by another replica.
const WAIT_TIMEOUT: Duration = Duration::from_secs(8);
/// How long a claim on a code lasts without an outcome. It is longer than any exchange, so that a code is never exchanged
/// twice at the same time, but not much longer, because a replica that crashes leaves its claims behind.
const CLAIM_TTL: Duration = Duration::from_secs(12);
/// Maximum age of an own claim that is resumed. The claim then still outlives the exchange.
const MAX_RESUMED_AGE: Duration = Duration::from_secs(5);
/// How long a failure is kept for requests that wait for it in other replicas.
const FAILURE_TTL: Duration = Duration::from_secs(5);
/// Minimum lifetime of an outcome, so that requests that wait in other replicas see it.
const MIN_WINDOW: Duration = Duration::from_secs(1);
/// Polling interval of those requests: the first, and the longest.
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(150));
/// Maximum number of concurrent exchanges in this process.
const MAX_INFLIGHT: usize = 16_384;

/// Exchanges codes so that concurrent and repeated requests with the same code get the same result within a window.
///
/// It fails closed: without the store no code is used up, because no session could be opened for it either.
pub struct CodeExchange(Arc<Inner>);

struct Inner {
    /// Random id that marks the claims of this replica.
    id: u64,
    shared: Arc<dyn EphemeralKv>,
    inflight: Mutex<HashMap<InflightExchange, watch::Receiver<Option<Outcome>>>>,
}

/// A tenant, and the key of a code in the store.
type InflightExchange = (String, String);

/// A code that is being exchanged.
#[derive(Clone)]
struct Code {
    kind: CodeKind,
    code: String,
}

#[derive(Clone)]
enum CodeKind {
    Login,
    /// A phone code that this openid has to have obtained.
    Phone {
        openid: String,
    },
}

impl CodeExchange {
    /// A code exchange whose outcomes replicas share through `shared`.
    pub fn new(shared: Arc<dyn EphemeralKv>) -> Self {
        // Each RandomState has random keys, so its hash of the empty input is a random number.
        let id = RandomState::new().build_hasher().finish();
        Self(Arc::new(Inner { id, shared, inflight: Mutex::default() }))
    }

    /// Exchanges the code, or returns the result of an exchange of the same code up to `window` ago (at least 1 s). With a
    /// `window` of zero each request asks the platform.
    ///
    /// The platform's decision is kept: the identity, or that the code is invalid, used or blocked. Any other failure is
    /// returned to the requests that wait for it, and the next request asks the platform again. If the caller disconnects,
    /// the exchange continues: the code is used up, and the client will repeat the request.
    pub async fn exchange(
        &self,
        tenant: &str,
        platform: &Arc<dyn Platform>,
        code: &str,
        window: Duration,
    ) -> Result<Arc<PlatformIdentity>> {
        if window.is_zero() {
            return platform.exchange(code).await.map(Arc::new);
        }
        let key = format!("exchange:{}", sha256_hex(&[platform.name(), code]));
        match self.run((tenant.to_owned(), key), platform, CodeKind::Login, code, window).await? {
            ExchangeResult::Identity(identity) => Ok(identity),
            ExchangeResult::Phone(_) => Err(other_kind()),
        }
    }

    /// The phone number for a phone code of this openid, in E.164, exchanged like [`CodeExchange::exchange`]. The platform
    /// checks that this openid obtained the code. Only the same openid gets the same result again; for others a used code is an error. In the store the number is encrypted with the
    /// code as the key, and the code is not stored.
    pub async fn phone_number(
        &self,
        tenant: &str,
        platform: &Arc<dyn Platform>,
        openid: &str,
        code: &str,
        window: Duration,
    ) -> Result<String> {
        let key = format!("phone:{}", sha256_hex(&[platform.name(), openid, code]));
        match self
            .run((tenant.to_owned(), key), platform, CodeKind::Phone { openid: openid.to_owned() }, code, window)
            .await?
        {
            ExchangeResult::Phone(number) => Ok(number),
            ExchangeResult::Identity(_) => Err(other_kind()),
        }
    }

    async fn run(
        &self,
        exchange: InflightExchange,
        platform: &Arc<dyn Platform>,
        kind: CodeKind,
        code: &str,
        window: Duration,
    ) -> Outcome {
        let code = Code { kind, code: code.to_owned() };
        let mut outcome = self.0.join(exchange, platform, code, window.max(MIN_WINDOW))?;
        match timeout(WAIT_TIMEOUT, outcome.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or_else(|| Err(wait_timeout())),
            Ok(Err(_)) => {
                Err(Error::new(&codes::INTERNAL_ERROR).with_cause("the exchange task ended without an outcome"))
            }
            Err(_) => Err(wait_timeout()),
        }
    }
}

impl Inner {
    /// Joins the exchange of this code, or starts one in a task of its own, which ends by its own deadlines.
    fn join(
        self: &Arc<Self>,
        exchange: InflightExchange,
        platform: &Arc<dyn Platform>,
        code: Code,
        window: Duration,
    ) -> Result<watch::Receiver<Option<Outcome>>> {
        let mut inflight = self.inflight();
        if let Some(outcome) = inflight.get(&exchange) {
            return Ok(outcome.clone());
        }
        if inflight.len() >= MAX_INFLIGHT {
            return Err(Error::new(&codes::OVERLOADED).with_cause("too many concurrent exchanges"));
        }
        let (sender, receiver) = watch::channel(None);
        inflight.insert(exchange.clone(), receiver.clone());
        drop(inflight);
        let guard = InflightGuard { inner: Arc::clone(self), exchange };
        let platform = Arc::clone(platform);
        tokio::spawn(async move {
            let outcome = guard.run(&*platform, &code, window).await;
            // All waiting requests may have been dropped.
            let _ = sender.send(Some(outcome));
            drop(guard);
        });
        Ok(receiver)
    }

    fn inflight(&self) -> MutexGuard<'_, HashMap<InflightExchange, watch::Receiver<Option<Outcome>>>> {
        self.inflight.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An exchange in progress. Dropping the guard removes it from the list.
struct InflightGuard {
    inner: Arc<Inner>,
    exchange: InflightExchange,
}

impl Drop for InflightGuard {
    fn drop(&mut self) {
        self.inner.inflight().remove(&self.exchange);
    }
}

impl InflightGuard {
    /// Claims the code for this replica and exchanges it, or waits for the replica that has claimed it.
    async fn run(&self, platform: &dyn Platform, code: &Code, window: Duration) -> Outcome {
        let (tenant, key) = &self.exchange;
        let shared = &*self.inner.shared;
        let deadline = Instant::now() + WAIT_TIMEOUT;
        let mut pause = POLL.0;
        let mut is_free = true;
        while Instant::now() < deadline {
            let claim = Record::Pending { by: self.inner.id, since: unix_millis() };
            if is_free && shared.claim(tenant, key, &claim.encode(), CLAIM_TTL).await? {
                return self.exchange(platform, code, window).await;
            }
            is_free = match self.read(key).await? {
                // An own claim, although this process has no other exchange of this code: the store accepted the claim
                // of an earlier request, but its reply was lost.
                Some(Record::Pending { by, since }) if by == self.inner.id && is_resumable(since) => {
                    return self.exchange(platform, code, window).await;
                }
                Some(Record::Pending { .. }) => false,
                Some(record) => return record.outcome(&code.code),
                None => match self.read(&failure_key(key)).await? {
                    Some(failure) => return failure.outcome(&code.code),
                    // A replica crashed during the exchange, or the window of an outcome has just ended.
                    None => true,
                },
            };
            sleep(pause).await;
            pause = (pause * 3 / 2).min(POLL.1);
        }
        Err(wait_timeout())
    }

    /// Exchanges a code that this replica has claimed. The outcome is stored before it is returned.
    async fn exchange(&self, platform: &dyn Platform, code: &Code, window: Duration) -> Outcome {
        let (tenant, key) = &self.exchange;
        let shared = &*self.inner.shared;
        let request = async {
            match &code.kind {
                CodeKind::Login => {
                    platform.exchange(&code.code).await.map(|identity| ExchangeResult::Identity(Arc::new(identity)))
                }
                CodeKind::Phone { openid } => {
                    platform.phone_number(&code.code, Some(openid)).await.map(ExchangeResult::Phone)
                }
            }
        };
        let outcome = timeout(EXCHANGE_TIMEOUT, request).await.unwrap_or_else(|_| {
            Err(Error::new(&codes::PLATFORM_UNREACHABLE)
                .with_cause(format_args!("no response within {EXCHANGE_TIMEOUT:?}")))
        });
        let record = Record::new(&outcome, &code.code).encode();
        let stored = match &outcome {
            Err(error) if !is_final(error) => match shared.put(tenant, &failure_key(key), &record, FAILURE_TTL).await {
                Ok(()) => shared.remove(tenant, key).await,
                failed => failed,
            },
            _ => shared.put(tenant, key, &record, window).await,
        };
        if let Err(cause) = stored
            && !cause.is_logged()
        {
            // The claim expires. The outcome is known, so the request succeeds nevertheless.
            tracing::warn!(tenant, platform = platform.name(), %cause, "could not store the outcome of a code exchange: a repeated request will fail");
        }
        outcome
    }

    async fn read(&self, key: &str) -> Result<Option<Record>> {
        let Some(value) = self.inner.shared.get(&self.exchange.0, key).await? else { return Ok(None) };
        match Record::decode(&value) {
            Some(record) => Ok(Some(record)),
            None => Err(menlou_store::Error::Corrupt("the outcome of an exchange".to_owned()).into()),
        }
    }
}

fn failure_key(key: &str) -> String {
    format!("{key}:failure")
}

/// Whether the platform has decided about the code, so that another request would have the same result.
fn is_final(error: &Error) -> bool {
    [&codes::INVALID_CODE, &codes::CODE_USED, &codes::USER_BLOCKED].into_iter().any(|code| error.is(code))
}

/// Whether an own claim is recent enough to be resumed.
fn is_resumable(since: u64) -> bool {
    unix_millis().checked_sub(since).is_some_and(|age| u128::from(age) < MAX_RESUMED_AGE.as_millis())
}

/// Unreachable, because the keys of both kinds differ.
fn other_kind() -> Error {
    Error::new(&codes::INTERNAL_ERROR).with_cause("the outcome of a code of another kind")
}

fn wait_timeout() -> Error {
    Error::new(&codes::PLATFORM_BUSY).with_cause("another replica has claimed this code and stored no outcome in time")
}
