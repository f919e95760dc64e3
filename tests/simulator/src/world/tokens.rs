//! Access tokens: the stable kind, and the old kind that clobbers itself.

use std::collections::HashMap;
use std::sync::Arc;

use super::bounded::Bounded;
use crate::random;
use crate::wechat::WechatError;

/// How long a token is valid.
const TTL_MS: u64 = 7200 * 1000;
/// How long a token of the old kind lives on after the next one was fetched, and how long before
/// its end a stable one is renewed.
const OVERLAP_MS: u64 = 5 * 60 * 1000;
/// Forced refreshes of a stable token: so many a day, so far apart.
const MOST_FORCED: u32 = 20;
const FORCED_APART_MS: u64 = 30 * 1000;
/// Tokens beyond this number push out the oldest.
const MOST_TOKENS: usize = 20_000;

/// Every token given out, and which is each app's present one.
pub(crate) struct Tokens {
    given: Bounded<Arc<str>, Token>,
    apps: HashMap<Arc<str>, Present>,
}

struct Token {
    appid: Arc<str>,
    expires_ms: u64,
    /// When it stops being accepted because another took its place.
    revoked_ms: u64,
}

#[derive(Default)]
struct Present {
    stable: Option<Arc<str>>,
    plain: Option<Arc<str>>,
    forced_ms: Option<u64>,
    forced_day: u64,
    forced_today: u32,
}

impl Default for Tokens {
    fn default() -> Self {
        Self { given: Bounded::new(MOST_TOKENS), apps: HashMap::new() }
    }
}

impl Tokens {
    /// The app's stable token and its remaining seconds: the same one until its last five minutes.
    pub(crate) fn stable(&mut self, appid: &Arc<str>, now_ms: u64) -> (Arc<str>, u64) {
        let present = self.present(appid).stable.clone();
        if let Some(value) = present
            && let Some(token) = self.given.get(&value)
            && now_ms < token.revoked_ms
            && now_ms + OVERLAP_MS < token.expires_ms
        {
            let expires_in = (token.expires_ms - now_ms) / 1000;
            return (value, expires_in);
        }
        let value = self.give(appid, now_ms);
        self.present(appid).stable = Some(value.clone());
        (value, TTL_MS / 1000)
    }

    /// A new stable token; the one before is dead at once.
    ///
    /// # Errors
    /// 45009 after 20 times in one day (Beijing time), 45011 within 30 s of the last time.
    pub(crate) fn stable_forced(&mut self, appid: &Arc<str>, now_ms: u64) -> Result<(Arc<str>, u64), WechatError> {
        let today = (now_ms / 1000 + 8 * 3600) / 86_400;
        let present = self.present(appid);
        if present.forced_day != today {
            present.forced_day = today;
            present.forced_today = 0;
        }
        if present.forced_today >= MOST_FORCED {
            return Err(WechatError::new(45009));
        }
        if present.forced_ms.is_some_and(|last| now_ms < last + FORCED_APART_MS) {
            return Err(WechatError::new(45011));
        }
        present.forced_today += 1;
        present.forced_ms = Some(now_ms);
        let before = present.stable.take();
        self.revoke(before, now_ms);
        Ok(self.stable(appid, now_ms))
    }

    /// A new token of the old kind; the one before lives five minutes more.
    pub(crate) fn plain(&mut self, appid: &Arc<str>, now_ms: u64) -> (Arc<str>, u64) {
        let value = self.give(appid, now_ms);
        let before = self.present(appid).plain.replace(value.clone());
        self.revoke(before, now_ms + OVERLAP_MS);
        (value, TTL_MS / 1000)
    }

    /// The app that a token belongs to.
    ///
    /// # Errors
    /// 41001 if it is empty, 40014 if it was never given out, 40001 if another took its place,
    /// 42001 if it is expired.
    pub(crate) fn owner(&self, token: &str, now_ms: u64) -> Result<Arc<str>, WechatError> {
        if token.is_empty() {
            return Err(WechatError::new(41001));
        }
        match self.given.get(token) {
            None => Err(WechatError::new(40014)),
            Some(token) if now_ms >= token.revoked_ms => Err(WechatError::new(40001)),
            Some(token) if now_ms >= token.expires_ms => Err(WechatError::new(42001)),
            Some(token) => Ok(token.appid.clone()),
        }
    }

    /// Lets all of an app's tokens be at their end: 42001.
    pub(crate) fn expire_all(&mut self, appid: &str, now_ms: u64) {
        for token in self.of_app(appid) {
            token.expires_ms = token.expires_ms.min(now_ms);
        }
    }

    /// Makes all of an app's tokens invalid: 40001.
    pub(crate) fn revoke_all(&mut self, appid: &str, now_ms: u64) {
        for token in self.of_app(appid) {
            token.revoked_ms = token.revoked_ms.min(now_ms);
        }
    }

    fn of_app(&mut self, appid: &str) -> impl Iterator<Item = &mut Token> {
        self.given.values_mut().filter(move |token| *token.appid == *appid)
    }

    fn present(&mut self, appid: &Arc<str>) -> &mut Present {
        self.apps.entry(appid.clone()).or_default()
    }

    fn give(&mut self, appid: &Arc<str>, now_ms: u64) -> Arc<str> {
        let value: Arc<str> = random::access_token().into();
        let token = Token { appid: appid.clone(), expires_ms: now_ms + TTL_MS, revoked_ms: u64::MAX };
        self.given.insert(value.clone(), token);
        value
    }

    fn revoke(&mut self, token: Option<Arc<str>>, at_ms: u64) {
        if let Some(token) = token.and_then(|value| self.given.get_mut(&value)) {
            token.revoked_ms = token.revoked_ms.min(at_ms);
        }
    }
}
