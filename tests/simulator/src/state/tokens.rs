//! Access tokens of both kinds: stable tokens and legacy tokens.

use std::collections::HashMap;
use std::sync::Arc;

use super::bounded_map::BoundedMap;
use crate::random;
use crate::wechat::WechatError;

/// Validity of a token.
const TTL_MS: u64 = 7200 * 1000;
/// How long a legacy token remains valid after the next one was issued, and how long before its
/// expiry a stable token is renewed.
const OVERLAP_MS: u64 = 5 * 60 * 1000;
/// Maximum number of forced refreshes of a stable token per day.
const MAX_FORCED: u32 = 20;
/// Minimum time between forced refreshes.
const FORCED_INTERVAL_MS: u64 = 30 * 1000;
/// Maximum number of tokens. The oldest is dropped first.
const MAX_TOKENS: usize = 20_000;

/// All issued tokens, and the current tokens of each app.
pub(crate) struct Tokens {
    issued: BoundedMap<Arc<str>, Token>,
    apps: HashMap<Arc<str>, CurrentTokens>,
}

struct Token {
    appid: Arc<str>,
    expires_ms: u64,
    /// When the token is no longer accepted because another one replaced it.
    revoked_ms: u64,
}

#[derive(Default)]
struct CurrentTokens {
    stable: Option<Arc<str>>,
    legacy: Option<Arc<str>>,
    forced_ms: Option<u64>,
    forced_day: u64,
    forced_today: u32,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { issued: BoundedMap::new(MAX_TOKENS), apps: HashMap::new() }
    }
}

impl Tokens {
    /// The stable token of the app and its remaining seconds. The token is the same until its last five
    /// minutes.
    pub(crate) fn stable(&mut self, appid: &Arc<str>, now_ms: u64) -> (Arc<str>, u64) {
        let current = self.current(appid).stable.clone();
        if let Some(value) = current
            && let Some(token) = self.issued.get(&value)
            && now_ms < token.revoked_ms
            && now_ms + OVERLAP_MS < token.expires_ms
        {
            let expires_in = (token.expires_ms - now_ms) / 1000;
            return (value, expires_in);
        }
        let value = self.issue(appid, now_ms);
        self.current(appid).stable = Some(value.clone());
        (value, TTL_MS / 1000)
    }

    /// A new stable token. The previous one is revoked immediately.
    ///
    /// # Errors
    /// 45009 after 20 forced refreshes on one day (Beijing time), 45011 within 30 s of the last one.
    pub(crate) fn stable_forced(&mut self, appid: &Arc<str>, now_ms: u64) -> Result<(Arc<str>, u64), WechatError> {
        let today = (now_ms / 1000 + 8 * 3600) / 86_400;
        let current = self.current(appid);
        if current.forced_day != today {
            current.forced_day = today;
            current.forced_today = 0;
        }
        if current.forced_today >= MAX_FORCED {
            return Err(WechatError::new(45009));
        }
        if current.forced_ms.is_some_and(|last| now_ms < last + FORCED_INTERVAL_MS) {
            return Err(WechatError::new(45011));
        }
        current.forced_today += 1;
        current.forced_ms = Some(now_ms);
        let previous = current.stable.take();
        self.revoke(previous, now_ms);
        Ok(self.stable(appid, now_ms))
    }

    /// A new legacy token. The previous one remains valid for five minutes.
    pub(crate) fn legacy(&mut self, appid: &Arc<str>, now_ms: u64) -> (Arc<str>, u64) {
        let value = self.issue(appid, now_ms);
        let previous = self.current(appid).legacy.replace(value.clone());
        self.revoke(previous, now_ms + OVERLAP_MS);
        (value, TTL_MS / 1000)
    }

    /// The app of a token.
    ///
    /// # Errors
    /// 41001 if the token is empty, 40014 if it was never issued, 40001 if it is revoked, 42001 if it is
    /// expired.
    pub(crate) fn owner(&self, token: &str, now_ms: u64) -> Result<Arc<str>, WechatError> {
        if token.is_empty() {
            return Err(WechatError::new(41001));
        }
        match self.issued.get(token) {
            None => Err(WechatError::new(40014)),
            Some(token) if now_ms >= token.revoked_ms => Err(WechatError::new(40001)),
            Some(token) if now_ms >= token.expires_ms => Err(WechatError::new(42001)),
            Some(token) => Ok(token.appid.clone()),
        }
    }

    /// Lets all tokens of an app expire: 42001.
    pub(crate) fn expire_all(&mut self, appid: &str, now_ms: u64) {
        for token in self.tokens_of_app(appid) {
            token.expires_ms = token.expires_ms.min(now_ms);
        }
    }

    /// Revokes all tokens of an app: 40001.
    pub(crate) fn revoke_all(&mut self, appid: &str, now_ms: u64) {
        for token in self.tokens_of_app(appid) {
            token.revoked_ms = token.revoked_ms.min(now_ms);
        }
    }

    fn tokens_of_app(&mut self, appid: &str) -> impl Iterator<Item = &mut Token> {
        self.issued.values_mut().filter(move |token| *token.appid == *appid)
    }

    fn current(&mut self, appid: &Arc<str>) -> &mut CurrentTokens {
        self.apps.entry(appid.clone()).or_default()
    }

    fn issue(&mut self, appid: &Arc<str>, now_ms: u64) -> Arc<str> {
        let value: Arc<str> = random::access_token().into();
        let token = Token { appid: appid.clone(), expires_ms: now_ms + TTL_MS, revoked_ms: u64::MAX };
        self.issued.insert(value.clone(), token);
        value
    }

    fn revoke(&mut self, token: Option<Arc<str>>, at_ms: u64) {
        if let Some(token) = token.and_then(|value| self.issued.get_mut(&value)) {
            token.revoked_ms = token.revoked_ms.min(at_ms);
        }
    }
}
