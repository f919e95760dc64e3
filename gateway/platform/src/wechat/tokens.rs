//! The access token of an account: shared by all replicas, renewed before it expires, by one request at a time.

use super::api::Api;
use super::response::{ResponseFields, WechatError, unusable, with_code};
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

/// Time before its expiry at which a token is renewed. WeChat returns a new token only in the last 5 minutes of the old
/// one; the fifth minute allows for clock skew.
const RENEW_BEFORE: Duration = Duration::from_secs(240);
/// Time before its expiry at which a token is no longer sent, because it must still be valid when it arrives.
const EXPIRY_MARGIN: Duration = Duration::from_secs(10);
/// Maximum time of a renewal, and of waiting for one.
const RENEWAL_TIMEOUT: Duration = Duration::from_secs(8);
/// Delay before the next renewal after a temporary failure.
const RETRY_DELAY: Duration = Duration::from_secs(1);
/// Delay after a failure that somebody has to fix, such as a wrong AppSecret.
const LONG_RETRY_DELAY: Duration = Duration::from_secs(30);
/// Delay while WeChat issues a token and rejects it.
const REJECTED_RETRY_DELAY: Duration = Duration::from_secs(10);
/// WeChat allows 20 forced refreshes a day, at least 30 s apart.
const MAX_FORCED_PER_DAY: u64 = 20;
const FORCED_INTERVAL: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a replica waits for a forced refresh by another replica.
const FOREIGN_REFRESH_DELAY: Duration = Duration::from_millis(500);

/// The access token of one account. If the store is down, each replica asks WeChat, which returns the same token to all.
pub(super) struct AccessTokens(Arc<Inner>);

struct Inner {
    api: Arc<Api>,
    tenant: String,
    shared: Arc<dyn EphemeralKv>,
    /// Key of the token in the store.
    key: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    token: Option<Arc<Token>>,
    renewal: Option<watch::Receiver<Option<Outcome>>>,
    /// The last failure, and when the next renewal may start.
    pause: Option<(Instant, Error)>,
}

type Outcome = Result<Arc<Token>>;

struct Token {
    value: SecretString,
    /// When it is no longer sent, in Unix milliseconds, because replicas share it.
    ends: u64,
    /// When it is renewed, in Unix milliseconds.
    renew: u64,
}

/// A token in the store.
#[derive(Serialize, Deserialize)]
struct Record<'a> {
    v: u8,
    #[serde(borrow)]
    token: Cow<'a, str>,
    ends: u64,
    renew: u64,
}

/// Key of an account's token in the store. It depends on the AppSecret, so that a new AppSecret starts with a new token.
pub(super) fn key(base_url: &str, appid: &str, secret: &SecretString) -> String {
    format!("token:{}", sha256_hex(&["access token", base_url, appid, secret.expose_secret()]))
}

impl AccessTokens {
    /// The access token that is stored under [`key`].
    pub fn new(api: Arc<Api>, tenant: String, shared: Arc<dyn EphemeralKv>, key: String) -> Self {
        Self(Arc::new(Inner { api, tenant, shared, key, state: Mutex::default() }))
    }

    /// A valid token. One that expires soon is returned while a new one is being fetched.
    pub async fn current(&self) -> Result<SecretString> {
        let renewal = {
            let mut state = self.0.state();
            match state.token.clone().filter(|token| token.is_usable()) {
                Some(token) => {
                    if !token.is_fresh() && !state.is_paused() {
                        self.0.start_renewal(&mut state, None);
                    }
                    return Ok(token.value.clone());
                }
                None => self.0.renewal(&mut state, None)?,
            }
        };
        Ok(wait_for(renewal).await?.value.clone())
    }

    /// A token other than `rejected`, which WeChat did not accept.
    pub async fn replace(&self, rejected: &SecretString) -> Result<SecretString> {
        // A renewal that was already running does not know of the rejection and may return the same token. In that case a
        // second one is started.
        for _ in 0..2 {
            let renewal = {
                let mut state = self.0.state();
                match state.token.take().filter(|token| token.is_usable() && !token.has_value(rejected)) {
                    Some(token) => {
                        state.token = Some(Arc::clone(&token));
                        return Ok(token.value.clone());
                    }
                    None => self.0.renewal(&mut state, Some(rejected))?,
                }
            };
            let token = wait_for(renewal).await?;
            if !token.has_value(rejected) {
                return Ok(token.value.clone());
            }
        }
        Err(own_token_rejected())
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The running renewal, or a new one. The last failure, while its retry delay lasts.
    fn renewal(
        self: &Arc<Self>,
        state: &mut State,
        rejected: Option<&SecretString>,
    ) -> Result<watch::Receiver<Option<Outcome>>> {
        match &state.pause {
            Some((end, error)) if *end > Instant::now() => Err(error.clone()),
            _ => Ok(self.start_renewal(state, rejected)),
        }
    }

    /// Starts a renewal unless one is running. It has a task of its own, so that it outlives the request that started it.
    /// The task ends within [`RENEWAL_TIMEOUT`].
    fn start_renewal(
        self: &Arc<Self>,
        state: &mut State,
        rejected: Option<&SecretString>,
    ) -> watch::Receiver<Option<Outcome>> {
        if let Some(renewal) = &state.renewal
            && renewal.has_changed().is_ok()
        {
            return renewal.clone();
        }
        let (sender, receiver) = watch::channel(None);
        state.renewal = Some(receiver.clone());
        let inner = Arc::clone(self);
        let rejected = rejected.cloned();
        tokio::spawn(async move {
            let outcome = timeout(RENEWAL_TIMEOUT, inner.fetch(rejected.as_ref()))
                .await
                .unwrap_or_else(|_| Err(renewal_timeout()));
            let mut state = inner.state();
            match &outcome {
                Ok(token) => {
                    state.token = Some(Arc::clone(token));
                    state.pause = None;
                }
                Err(error) => state.pause = Some((Instant::now() + retry_delay(error), error.clone())),
            }
            state.renewal = None;
            drop(state);
            // All waiting requests may have been dropped.
            let _ = sender.send(Some(outcome));
        });
        receiver
    }

    /// The token from the store if it is fresh, else from WeChat.
    async fn fetch(&self, rejected: Option<&SecretString>) -> Outcome {
        let is_rejected = |token: &Token| rejected.is_some_and(|rejected| token.has_value(rejected));
        match self.stored().await {
            // Removed so that no replica uses it again.
            Some(token) if is_rejected(&token) => self.remove().await,
            Some(token) if token.is_fresh() => return Ok(Arc::new(token)),
            _ => {}
        }
        let mut token = self.request(false).await?;
        if is_rejected(&token) {
            // WeChat returns the token that it has just rejected.
            token = if self.may_force_refresh().await {
                self.request(true).await?
            } else {
                sleep(FOREIGN_REFRESH_DELAY).await;
                self.request(false).await?
            };
            if is_rejected(&token) {
                return Err(own_token_rejected());
            }
        }
        self.store(&token).await;
        Ok(Arc::new(token))
    }

    async fn request(&self, force: bool) -> Result<Token> {
        let requested_at = unix_millis();
        match self.api.stable_token(force).await {
            Ok(fields) => token(&fields, requested_at).ok_or_else(|| unusable("no access_token or expires_in")),
            Err(WechatError { errcode: Some(40001), error }) => Err(wrong_secret(error)),
            Err(e) => Err(e.error),
        }
    }

    /// Whether the current token may be revoked now. False if the store cannot tell.
    async fn may_force_refresh(&self) -> bool {
        let recently = format!("forced:{}", self.key);
        let today = format!("forced-today:{}", self.key);
        let is_allowed = async {
            Ok::<_, menlou_store::Error>(
                self.shared.claim(&self.tenant, &recently, b"", FORCED_INTERVAL).await?
                    && self.shared.increment(&self.tenant, &today, DAY).await? <= MAX_FORCED_PER_DAY,
            )
        };
        is_allowed.await.unwrap_or(false)
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

    async fn remove(&self) {
        if let Err(e) = self.shared.remove(&self.tenant, &self.key).await {
            self.warn(&e);
        }
    }

    async fn store(&self, token: &Token) {
        let life = Duration::from_millis(token.ends.saturating_sub(unix_millis()).max(1));
        let record = Record { v: 1, token: token.value.expose_secret().into(), ends: token.ends, renew: token.renew };
        // A struct of numbers and strings can always be serialised.
        let value = serde_json::to_vec(&record).unwrap_or_default();
        if let Err(e) = self.shared.put(&self.tenant, &self.key, &value, life).await {
            self.warn(&e);
        }
    }

    fn warn(&self, cause: &menlou_store::Error) {
        if !cause.is_logged() {
            tracing::warn!(tenant = self.tenant, %cause, "could not share the access token with other replicas");
        }
    }
}

impl State {
    fn is_paused(&self) -> bool {
        self.pause.as_ref().is_some_and(|(end, _)| *end > Instant::now())
    }
}

impl Token {
    fn has_value(&self, other: &SecretString) -> bool {
        self.value.expose_secret() == other.expose_secret()
    }

    fn is_usable(&self) -> bool {
        unix_millis() < self.ends
    }

    fn is_fresh(&self) -> bool {
        unix_millis() < self.renew
    }
}

fn token(fields: &ResponseFields, requested_at: u64) -> Option<Token> {
    let value = SecretString::from(fields.text("access_token")?);
    let life = Duration::from_secs(u64::try_from(fields.integer("expires_in")?).ok()?.min(DAY.as_secs()));
    // WeChat may return a token that expires soon. Most of such a short lifetime has to remain usable.
    let until =
        |before: Duration, max_share: u32| requested_at + (life - before.min(life / max_share)).as_millis() as u64;
    Some(Token { value, ends: until(EXPIRY_MARGIN, 10), renew: until(RENEW_BEFORE, 4) })
}

/// Waits for the outcome of a renewal. The renewal has its own deadline; this one is for a runtime that shuts down.
async fn wait_for(mut renewal: watch::Receiver<Option<Outcome>>) -> Outcome {
    match timeout(RENEWAL_TIMEOUT + RETRY_DELAY, renewal.wait_for(Option::is_some)).await {
        Ok(Ok(outcome)) => outcome.clone().unwrap_or_else(|| Err(renewal_timeout())),
        Ok(Err(_)) => Err(Error::new(&codes::INTERNAL_ERROR)
            .with_cause("the renewal task of the access token ended without an outcome")),
        Err(_) => Err(renewal_timeout()),
    }
}

/// Delay before the next renewal after this failure.
fn retry_delay(error: &Error) -> Duration {
    let is_temporary = error.is(&codes::PLATFORM_BUSY) || error.is(&codes::PLATFORM_UNREACHABLE);
    error.wait().unwrap_or(if is_temporary { RETRY_DELAY } else { LONG_RETRY_DELAY })
}

fn renewal_timeout() -> Error {
    Error::new(&codes::PLATFORM_UNREACHABLE).with_cause(format_args!("no access token within {RENEWAL_TIMEOUT:?}"))
}

fn own_token_rejected() -> Error {
    Error::new(&codes::PLATFORM_BUSY)
        .retry_after(REJECTED_RETRY_DELAY)
        .with_cause("WeChat issues an access token that it rejects, and another forced refresh is not allowed yet")
}

/// In a response to a token request, 40001 means that the AppSecret is wrong.
fn wrong_secret(error: Error) -> Error {
    let text = Text::fixed(
        "该小程序的平台配置有误：AppSecret 不正确（errcode 40001）",
        "This mini-program's platform settings are wrong. The AppSecret is wrong (errcode 40001).",
    );
    with_code(error, &codes::TENANT_MISCONFIGURED, text)
}
