//! The access-token keeper: one token for all replicas, renewed ahead of its end, one request at a time.

use super::answer::{Fields, Refusal, unusable, with_code};
use super::api::Api;
use crate::digest::sha256_hex;
use menlou_clock::unix_millis;
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_store::EphemeralKv;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

/// How long before its end a token is asked for anew. WeChat renews in the last 5 minutes only: asking earlier would
/// bring the same token, and the fifth minute is left to clocks that differ.
const AHEAD: Duration = Duration::from_secs(240);
/// How long before its end a token is no longer sent: it must still be good when it arrives.
const MARGIN: Duration = Duration::from_secs(10);
/// The longest that one renewal may take, and that a call waits for it.
const RENEWAL: Duration = Duration::from_secs(8);
/// How long nobody asks after a failure that may pass by itself, …
const PAUSE: Duration = Duration::from_secs(1);
/// … and after one that somebody has to mend.
const LONG_PAUSE: Duration = Duration::from_secs(30);
/// How long nobody asks while WeChat refuses the very token that it gives out.
const STUCK: Duration = Duration::from_secs(10);
/// WeChat allows 20 forced refreshes a day, at least 30 s apart.
const FORCED_PER_DAY: u64 = 20;
const FORCED_APART: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long another replica, which forces a refresh, is given to finish.
const OTHERS_REFRESH: Duration = Duration::from_millis(500);

/// Keeps the access token of one account. A store that is down does not stop it: it then asks WeChat, which gives every
/// replica the same token.
pub(super) struct Tokens(Arc<Keeper>);

struct Keeper {
    api: Arc<Api>,
    tenant: String,
    shared: Arc<dyn EphemeralKv>,
    /// Where the token stands in the store.
    key: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    renewal: Option<watch::Receiver<Option<Outcome>>>,
    pause: Option<(Instant, Error)>,
}

type Outcome = Result<Arc<Token>>;

struct Token {
    value: SecretString,
    /// Unix milliseconds, as all times that replicas share.
    ends: u64,
    /// When a new one is asked for, Unix milliseconds.
    renew: u64,
}

/// A token as it stands in the store.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    v: u8,
    #[serde(borrow)]
    token: Cow<'a, str>,
    ends: u64,
    renew: u64,
}

/// Where an account's token stands in the store: a changed AppSecret makes another place.
pub(super) fn key(base_url: &str, appid: &str, secret: &SecretString) -> String {
    format!("token:{}", sha256_hex(&["access token", base_url, appid, secret.expose_secret()]))
}

impl Tokens {
    /// A keeper of the token that stands in the store under [`key`].
    pub fn new(api: Arc<Api>, tenant: String, shared: Arc<dyn EphemeralKv>, key: String) -> Self {
        Self(Arc::new(Keeper { api, tenant, shared, key, state: Mutex::default() }))
    }

    /// A token to send. One that nears its end is still given out, while a new one is fetched.
    pub async fn current(&self) -> Result<SecretString> {
        let renewal = {
            let mut state = self.0.state();
            match state.token.clone().filter(|token| token.usable()) {
                Some(token) => {
                    if !token.fresh() && !state.paused() {
                        self.0.renew(&mut state, None);
                    }
                    return Ok(token.value.clone());
                }
                None => self.0.renewal(&mut state, None)?,
            }
        };
        Ok(finished(renewal).await?.value.clone())
    }

    /// A token other than `refused`, which WeChat did not take.
    pub async fn instead_of(&self, refused: &SecretString) -> Result<SecretString> {
        // A renewal that was under way may know nothing of the refusal and bring the same token: then one that does.
        for _ in 0..2 {
            let renewal = {
                let mut state = self.0.state();
                match state.token.take().filter(|token| token.usable() && !token.is(refused)) {
                    Some(token) => {
                        state.token = Some(Arc::clone(&token));
                        return Ok(token.value.clone());
                    }
                    None => self.0.renewal(&mut state, Some(refused))?,
                }
            };
            let token = finished(renewal).await?;
            if !token.is(refused) {
                return Ok(token.value.clone());
            }
        }
        Err(stuck())
    }
}

impl Keeper {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The renewal under way, or a new one, unless a failure has to rest first.
    fn renewal(
        self: &Arc<Self>,
        state: &mut State,
        refused: Option<&SecretString>,
    ) -> Result<watch::Receiver<Option<Outcome>>> {
        match &state.pause {
            Some((end, error)) if *end > Instant::now() => Err(error.clone()),
            _ => Ok(self.renew(state, refused)),
        }
    }

    /// Starts a renewal, unless one is under way. It has a task of its own, so that it outlives the call that wanted it;
    /// the task ends by itself within [`RENEWAL`].
    fn renew(self: &Arc<Self>, state: &mut State, refused: Option<&SecretString>) -> watch::Receiver<Option<Outcome>> {
        if let Some(renewal) = &state.renewal
            && renewal.has_changed().is_ok()
        {
            return renewal.clone();
        }
        let (sender, receiver) = watch::channel(None);
        state.renewal = Some(receiver.clone());
        let keeper = Arc::clone(self);
        let refused = refused.cloned();
        tokio::spawn(async move {
            let outcome = timeout(RENEWAL, keeper.fetch(refused.as_ref())).await.unwrap_or_else(|_| Err(late()));
            let mut state = keeper.state();
            match &outcome {
                Ok(token) => {
                    state.token = Some(Arc::clone(token));
                    state.pause = None;
                }
                Err(error) => state.pause = Some((Instant::now() + pause(error), error.clone())),
            }
            state.renewal = None;
            drop(state);
            // Nobody may be waiting.
            let _ = sender.send(Some(outcome));
        });
        receiver
    }

    /// The token from the store where it will do, else from WeChat.
    async fn fetch(&self, refused: Option<&SecretString>) -> Outcome {
        let is_refused = |token: &Token| refused.is_some_and(|refused| token.is(refused));
        match self.stored().await {
            // So that no replica takes it up again.
            Some(token) if is_refused(&token) => self.forget().await,
            Some(token) if token.fresh() => return Ok(Arc::new(token)),
            _ => {}
        }
        let mut token = self.asked(false).await?;
        if is_refused(&token) {
            // WeChat holds on to a token that it does not take itself.
            token = if self.may_force().await {
                self.asked(true).await?
            } else {
                sleep(OTHERS_REFRESH).await;
                self.asked(false).await?
            };
            if is_refused(&token) {
                return Err(stuck());
            }
        }
        self.store(&token).await;
        Ok(Arc::new(token))
    }

    async fn asked(&self, force: bool) -> Result<Token> {
        let asked_at = unix_millis();
        match self.api.stable_token(force).await {
            Ok(fields) => token(&fields, asked_at).ok_or_else(|| unusable("no access_token or expires_in")),
            Err(Refusal { errcode: Some(40001), error }) => Err(wrong_secret(error)),
            Err(refusal) => Err(refusal.error),
        }
    }

    /// Whether the previous token may be killed now; not where the store can't tell.
    async fn may_force(&self) -> bool {
        let recently = format!("forced:{}", self.key);
        let today = format!("forced-today:{}", self.key);
        let alone = async {
            Ok::<_, menlou_store::Error>(
                self.shared.claim(&self.tenant, &recently, b"", FORCED_APART).await?
                    && self.shared.increment(&self.tenant, &today, DAY).await? <= FORCED_PER_DAY,
            )
        };
        alone.await.unwrap_or(false)
    }

    async fn stored(&self) -> Option<Token> {
        match self.shared.get(&self.tenant, &self.key).await {
            Ok(value) => {
                let value = value?;
                let record: Record<'_> = serde_json::from_slice(&value).ok().filter(|r: &Record<'_>| r.v == 1)?;
                Some(Token { value: SecretString::from(&*record.token), ends: record.ends, renew: record.renew })
            }
            Err(e) => {
                self.warn(&e);
                None
            }
        }
    }

    async fn forget(&self) {
        if let Err(e) = self.shared.remove(&self.tenant, &self.key).await {
            self.warn(&e);
        }
    }

    async fn store(&self, token: &Token) {
        let life = Duration::from_millis(token.ends.saturating_sub(unix_millis()).max(1));
        let record = Record { v: 1, token: token.value.expose_secret().into(), ends: token.ends, renew: token.renew };
        // A struct of numbers and text always has its JSON.
        let value = serde_json::to_vec(&record).unwrap_or_default();
        if let Err(e) = self.shared.put(&self.tenant, &self.key, &value, life).await {
            self.warn(&e);
        }
    }

    fn warn(&self, cause: &menlou_store::Error) {
        if !cause.is_logged() {
            tracing::warn!(tenant = self.tenant, %cause, "the access token is not shared with other replicas");
        }
    }
}

impl State {
    fn paused(&self) -> bool {
        self.pause.as_ref().is_some_and(|(end, _)| *end > Instant::now())
    }
}

impl Token {
    fn is(&self, other: &SecretString) -> bool {
        self.value.expose_secret() == other.expose_secret()
    }

    fn usable(&self) -> bool {
        unix_millis() < self.ends
    }

    fn fresh(&self) -> bool {
        unix_millis() < self.renew
    }
}

fn token(fields: &Fields, asked_at: u64) -> Option<Token> {
    let value = SecretString::from(fields.text("access_token")?);
    let life = Duration::from_secs(u64::try_from(fields.integer("expires_in")?).ok()?.min(DAY.as_secs()));
    // Also a short life leaves most of itself: a late joiner is given what remains of a token's.
    let until = |before: Duration, share: u32| asked_at + (life - before.min(life / share)).as_millis() as u64;
    Some(Token { value, ends: until(MARGIN, 10), renew: until(AHEAD, 4) })
}

/// Waits for a renewal to end. The renewal has its own deadline; this one is for a runtime that shuts down.
async fn finished(mut renewal: watch::Receiver<Option<Outcome>>) -> Outcome {
    match timeout(RENEWAL + PAUSE, renewal.wait_for(Option::is_some)).await {
        Ok(Ok(outcome)) => outcome.clone().unwrap_or_else(|| Err(late())),
        Ok(Err(_)) => Err(Error::new(&codes::INTERNAL_ERROR).with_cause("the renewal of the access token broke off")),
        Err(_) => Err(late()),
    }
}

/// How long nobody asks for a token after this failure.
fn pause(error: &Error) -> Duration {
    let passes = error.is(&codes::PLATFORM_BUSY) || error.is(&codes::PLATFORM_UNREACHABLE);
    error.wait().unwrap_or(if passes { PAUSE } else { LONG_PAUSE })
}

fn late() -> Error {
    Error::new(&codes::PLATFORM_UNREACHABLE).with_cause(format_args!("no access token in {RENEWAL:?}"))
}

fn stuck() -> Error {
    Error::new(&codes::PLATFORM_BUSY)
        .retry_after(STUCK)
        .with_cause("WeChat gives out an access token that it refuses, and it may not be renewed by force yet")
}

/// Where a token is asked for, 40001 says that the AppSecret is wrong.
fn wrong_secret(error: Error) -> Error {
    let text = Text::fixed(
        "该小程序的平台配置有误：AppSecret 不正确（errcode 40001）",
        "This mini-program's platform settings are wrong. The AppSecret is wrong (errcode 40001).",
    );
    with_code(error, &codes::TENANT_MISCONFIGURED, text)
}
