//! The idempotent exchange: one code is exchanged once, and whoever sends it again soon is answered as the first was. A
//! login code brings a person, a phone code the number of the one who sent it.

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

/// The longest that a platform's exchange may take.
const EXCHANGE: Duration = Duration::from_secs(6);
/// The longest that a request waits for an exchange, also one of another replica.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long a claim on a code lasts without an outcome. Longer than any exchange, so that a code is never asked for twice
/// at a time; not much longer, as a replica that dies leaves its claims behind.
const CLAIM: Duration = Duration::from_secs(12);
/// How old a claim may be for the replica whose it is to go on with it: it then lasts longer than the exchange.
const RESUME: Duration = Duration::from_secs(5);
/// How long a failure can be read by those who waited for it in other replicas.
const FAILURE: Duration = Duration::from_secs(5);
/// The shortest life of an outcome, so that those who wait in other replicas see it.
const SHORTEST_WINDOW: Duration = Duration::from_secs(1);
/// How often those look: at first, and at the slowest.
const POLL: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(150));
/// How many codes may be under way at once in this process.
const MAX_FLIGHTS: usize = 16_384;

/// Exchanges codes so that the same code, sent twice at once or again within a window, is answered alike.
///
/// It fails closed: without the store no code is spent, as no session could be opened for it either.
pub struct CodeExchange(Arc<Inner>);

struct Inner {
    /// Tells this replica's claims from others'.
    id: u64,
    shared: Arc<dyn EphemeralKv>,
    flights: Mutex<HashMap<InflightExchange, watch::Receiver<Option<Outcome>>>>,
}

/// A tenant, and the key of a code in the store.
type InflightExchange = (String, String);

/// A code on its way to the platform.
#[derive(Clone)]
struct Code {
    kind: Kind,
    code: String,
}

#[derive(Clone, Copy)]
enum Kind {
    Login,
    Phone,
}

impl CodeExchange {
    /// A code exchange whose outcomes replicas share through `shared`.
    pub fn new(shared: Arc<dyn EphemeralKv>) -> Self {
        // Each RandomState has random keys, so that what it makes of nothing is a random number.
        let id = RandomState::new().build_hasher().finish();
        Self(Arc::new(Inner { id, shared, flights: Mutex::default() }))
    }

    /// Exchanges the code, or answers as the same code was answered up to `window` ago (at least 1 s). A `window` of
    /// zero switches this off: each request then asks the platform.
    ///
    /// What the platform decided about the code is kept: the person, or that it is invalid, used or blocked. Any other
    /// failure goes to those who wait for it, and the next request asks the platform again. The exchange goes on where
    /// the caller hangs up: the code is spent, and the client will send it again.
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
        match self.granted((tenant.to_owned(), key), platform, Kind::Login, code, window).await? {
            ExchangeResult::Identity(person) => Ok(person),
            ExchangeResult::Phone(_) => Err(other_kind()),
        }
    }

    /// The phone number, in E.164, behind a phone code of this openid's; as [`CodeExchange::exchange`]. Only the same
    /// openid is answered as before: for anyone else a code that was used is used. The number stands in the store sealed
    /// under the code, which is nowhere kept.
    pub async fn phone_number(
        &self,
        tenant: &str,
        platform: &Arc<dyn Platform>,
        openid: &str,
        code: &str,
        window: Duration,
    ) -> Result<String> {
        let key = format!("phone:{}", sha256_hex(&[platform.name(), openid, code]));
        match self.granted((tenant.to_owned(), key), platform, Kind::Phone, code, window).await? {
            ExchangeResult::Phone(number) => Ok(number),
            ExchangeResult::Identity(_) => Err(other_kind()),
        }
    }

    async fn granted(
        &self,
        flight: InflightExchange,
        platform: &Arc<dyn Platform>,
        kind: Kind,
        code: &str,
        window: Duration,
    ) -> Outcome {
        let code = Code { kind, code: code.to_owned() };
        let mut flight = self.0.join(flight, platform, code, window.max(SHORTEST_WINDOW))?;
        match timeout(PATIENCE, flight.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or_else(|| Err(late())),
            Ok(Err(_)) => Err(Error::new(&codes::INTERNAL_ERROR).with_cause("the exchange broke off")),
            Err(_) => Err(late()),
        }
    }
}

impl Inner {
    /// The flight of this code, begun if there is none. It has a task of its own, which ends by its own deadlines.
    fn join(
        self: &Arc<Self>,
        flight: InflightExchange,
        platform: &Arc<dyn Platform>,
        code: Code,
        window: Duration,
    ) -> Result<watch::Receiver<Option<Outcome>>> {
        let mut flights = self.flights();
        if let Some(outcome) = flights.get(&flight) {
            return Ok(outcome.clone());
        }
        if flights.len() >= MAX_FLIGHTS {
            return Err(Error::new(&codes::OVERLOADED).with_cause("too many exchanges are under way"));
        }
        let (sender, receiver) = watch::channel(None);
        flights.insert(flight.clone(), receiver.clone());
        drop(flights);
        let landing = InflightGuard { inner: Arc::clone(self), flight };
        let platform = Arc::clone(platform);
        tokio::spawn(async move {
            let outcome = landing.fly(&*platform, &code, window).await;
            // Nobody may be waiting.
            let _ = sender.send(Some(outcome));
            drop(landing);
        });
        Ok(receiver)
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<InflightExchange, watch::Receiver<Option<Outcome>>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A flight under way; it is taken off the list when it ends, however it ends.
struct InflightGuard {
    inner: Arc<Inner>,
    flight: InflightExchange,
}

impl Drop for InflightGuard {
    fn drop(&mut self) {
        self.inner.flights().remove(&self.flight);
    }
}

impl InflightGuard {
    /// Takes the code for this replica and exchanges it, or waits for the replica that has it.
    async fn fly(&self, platform: &dyn Platform, code: &Code, window: Duration) -> Outcome {
        let (tenant, key) = &self.flight;
        let shared = &*self.inner.shared;
        let deadline = Instant::now() + PATIENCE;
        let mut pause = POLL.0;
        let mut free = true;
        while Instant::now() < deadline {
            let claim = Record::Pending { by: self.inner.id, since: unix_millis() };
            if free && shared.claim(tenant, key, &claim.encode(), CLAIM).await? {
                return self.ask(platform, code, window).await;
            }
            free = match self.read(key).await? {
                // Our own, though this is our only flight of this code: the store had taken the claim of an earlier one
                // but could not say so in time.
                Some(Record::Pending { by, since }) if by == self.inner.id && lasts(since) => {
                    return self.ask(platform, code, window).await;
                }
                Some(Record::Pending { .. }) => false,
                Some(record) => return record.outcome(&code.code),
                None => match self.read(&failure_of(key)).await? {
                    Some(failure) => return failure.outcome(&code.code),
                    // A replica died with the code, or an outcome's window has just ended.
                    None => true,
                },
            };
            sleep(pause).await;
            pause = (pause * 3 / 2).min(POLL.1);
        }
        Err(late())
    }

    /// Exchanges a code that this replica has claimed. The outcome is in the store before anybody is told.
    async fn ask(&self, platform: &dyn Platform, code: &Code, window: Duration) -> Outcome {
        let (tenant, key) = &self.flight;
        let shared = &*self.inner.shared;
        let asking = async {
            match code.kind {
                Kind::Login => {
                    platform.exchange(&code.code).await.map(|person| ExchangeResult::Identity(Arc::new(person)))
                }
                Kind::Phone => platform.phone_number(&code.code).await.map(ExchangeResult::Phone),
            }
        };
        let outcome = timeout(EXCHANGE, asking).await.unwrap_or_else(|_| {
            Err(Error::new(&codes::PLATFORM_UNREACHABLE).with_cause(format_args!("no answer in {EXCHANGE:?}")))
        });
        let record = Record::of(&outcome, &code.code).encode();
        let kept = match &outcome {
            Err(error) if !decided(error) => match shared.put(tenant, &failure_of(key), &record, FAILURE).await {
                Ok(()) => shared.remove(tenant, key).await,
                failed => failed,
            },
            _ => shared.put(tenant, key, &record, window).await,
        };
        if let Err(cause) = kept
            && !cause.is_logged()
        {
            // The claim runs out by itself. The person is known, and may be served even so.
            tracing::warn!(tenant, platform = platform.name(), %cause, "the outcome of an exchange is not kept");
        }
        outcome
    }

    async fn read(&self, key: &str) -> Result<Option<Record>> {
        let Some(value) = self.inner.shared.get(&self.flight.0, key).await? else { return Ok(None) };
        match Record::decode(&value) {
            Some(record) => Ok(Some(record)),
            None => Err(menlou_store::Error::Corrupt("the outcome of an exchange".to_owned()).into()),
        }
    }
}

fn failure_of(key: &str) -> String {
    format!("{key}:failure")
}

/// Whether the platform has decided about the code, so that asking again can bring nothing else.
fn decided(error: &Error) -> bool {
    [&codes::INVALID_CODE, &codes::CODE_USED, &codes::USER_BLOCKED].into_iter().any(|word| error.is(word))
}

/// Whether a claim of ours is young enough to go on with.
fn lasts(since: u64) -> bool {
    unix_millis().checked_sub(since).is_some_and(|age| u128::from(age) < RESUME.as_millis())
}

/// Their keys differ, so this can't be.
fn other_kind() -> Error {
    Error::new(&codes::INTERNAL_ERROR).with_cause("the outcome of a code of another kind")
}

fn late() -> Error {
    Error::new(&codes::PLATFORM_BUSY).with_cause("another replica has this code and told no outcome in time")
}
