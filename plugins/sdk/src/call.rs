//! The call: who asks what of whom, and the gateway's services for it.

use crate::{Error, Level, Result, operation, params::Param, raw};
use menlou_abi::*;
use serde::{Deserialize, Serialize};
use std::{future::Future, marker::PhantomData, net::IpAddr, time::Duration};

/// One call in flight, with the settings `S` of its action in its tenant.
///
/// Everything that is asked of the gateway through it stays within the call's tenant. Its services can be awaited only
/// in the action's own future, not on threads of the plugin's own. An operation that is given up half-way (the client
/// hung up, a `select`) may or may not have happened.
pub struct Call<S = ()> {
    pub(crate) host: &'static menlou_host,
    request: *const menlou_request,
    settings: *const S,
    _settings: PhantomData<S>,
}

// SAFETY: the request and the settings don't change while the call lives, and the gateway's functions that take no
// call are for any thread.
unsafe impl<S: Sync> Send for Call<S> {}
// SAFETY: as above.
unsafe impl<S: Sync> Sync for Call<S> {}

/// An account of the tenant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct User {
    /// 用户 ID。The account's id.
    pub id: i64,
    /// 姓名。The name to show; may be empty.
    pub name: String,
    /// 头像。The picture to show; may be empty.
    pub avatar_url: String,
}

/// The person behind a login code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The person's id in this mini-program.
    pub openid: String,
    /// The person's id across apps, where the platform gives it.
    #[serde(default)]
    pub unionid: Option<String>,
}

/// A session just opened.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Session {
    /// 会话令牌，以 Authorization: Bearer 发送。To be sent as `Authorization: Bearer <token>`.
    pub token: String,
    /// 剩余秒数。Seconds until it ends.
    pub expires_in: u64,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("expires_in", &self.expires_in).finish_non_exhaustive()
    }
}

/// An HTTP request for the gateway to send.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// `http://` or `https://`.
    pub url: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// Any bytes.
    pub body: &'a [u8],
    /// For the whole exchange; `None` is the gateway's default. The call's own deadline bounds it.
    pub timeout: Option<Duration>,
}

/// The answer to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status.
    pub status: u16,
    /// Any bytes, at most a mebibyte.
    pub body: Vec<u8>,
}

#[derive(Deserialize)]
struct Phone {
    phone: String,
}

impl<S> Call<S> {
    /// # Safety
    /// `request` and `settings` live, unchanged, as long as this call.
    pub(crate) unsafe fn new(host: &'static menlou_host, request: *const menlou_request, settings: *const S) -> Self {
        Self { host, request, settings, _settings: PhantomData }
    }

    fn request(&self) -> &menlou_request {
        // SAFETY: lives as long as this call (`new`).
        unsafe { &*self.request }
    }

    /// The action's settings in this tenant.
    pub fn settings(&self) -> &S {
        // SAFETY: lives as long as this call (`new`).
        unsafe { &*self.settings }
    }

    /// The tenant's name, the `f` of the URL.
    pub fn tenant(&self) -> &str {
        // SAFETY: borrowed until the call's end, and so for all text below.
        unsafe { raw::text(self.request().tenant) }
    }

    /// The action's name in the tenant file, the `a` of the URL.
    pub fn action(&self) -> &str {
        // SAFETY: as above.
        unsafe { raw::text(self.request().action) }
    }

    /// The HTTP method.
    pub fn method(&self) -> &str {
        // SAFETY: as above.
        unsafe { raw::text(self.request().method) }
    }

    /// What the answer's `X-Request-Id` and the log carry.
    pub fn request_id(&self) -> &str {
        // SAFETY: as above.
        unsafe { raw::text(self.request().request_id) }
    }

    /// The caller's language: `zh` or `en`.
    pub fn language(&self) -> &str {
        // SAFETY: as above.
        unsafe { raw::text(self.request().language) }
    }

    /// The client's address, where it is known.
    pub fn remote_ip(&self) -> Option<IpAddr> {
        // SAFETY: as above.
        unsafe { raw::text(self.request().remote_ip) }.parse().ok()
    }

    /// What the URL's path has after the action, from its `/` on, as it came; without `.` and `..` segments. Only in an
    /// action with [`subpaths`](crate::Action::subpaths).
    pub fn subpath(&self) -> &str {
        // SAFETY: as above.
        unsafe { raw::text(self.request().subpath) }
    }

    /// The query of the URL as it came, without `f` and `a`. Only in an action with
    /// [`raw_query`](crate::Action::raw_query).
    pub fn query(&self) -> &str {
        // SAFETY: as above.
        unsafe { raw::text(self.request().query) }
    }

    /// The body as it came; empty in an action with [`raw_body`](crate::Action::raw_body).
    pub fn body(&self) -> &[u8] {
        // SAFETY: as above.
        unsafe { self.request().body.bytes() }
    }

    /// A header by its lower-case name; `authorization` is never found.
    pub fn header(&self, name: &str) -> Option<&str> {
        let call = operation::current().call;
        if call.is_null() {
            return None;
        }
        let mut value = menlou_str::NONE;
        // SAFETY: inside this call; the value is borrowed until its end.
        unsafe { ((self.host.header)(call, raw::str(name), &mut value) == MENLOU_READY).then(|| raw::text(value)) }
    }

    /// When the gateway gives up on this call, Unix milliseconds.
    pub fn deadline_unix_ms(&self) -> u64 {
        self.request().deadline_unix_ms
    }

    /// Every parameter as it came, also those that the action's type doesn't name: texts, or JSON values.
    pub fn params(&self) -> serde_json::Map<String, serde_json::Value> {
        self.raw_params()
            .map(|p| {
                let json = p.json.then(|| serde_json::from_str(p.value).ok()).flatten();
                (p.name.to_owned(), json.unwrap_or_else(|| p.value.into()))
            })
            .collect()
    }

    pub(crate) fn raw_params(&self) -> impl Iterator<Item = Param<'_>> {
        let request = self.request();
        let params: &[menlou_param] = match request.params.is_null() {
            true => &[],
            // SAFETY: `params_len` of them, borrowed until the call's end.
            false => unsafe { std::slice::from_raw_parts(request.params, request.params_len) },
        };
        // SAFETY: as above.
        params.iter().map(|p| unsafe { Param::borrow(p) })
    }

    /// The openid of the caller's session; `None` without a session.
    pub fn openid(&self) -> Option<&str> {
        // SAFETY: as above.
        Some(unsafe { raw::text(self.request().openid) }).filter(|t| !t.is_empty())
    }

    /// The id of the caller's account, where the action has a user.
    pub fn user_id(&self) -> Option<i64> {
        Some(self.request().user_id).filter(|id| *id != 0)
    }

    /// The caller's account; only in an action with [`Access::User`](crate::Access::User).
    pub fn user(&self) -> Result<User> {
        let request = self.request();
        if request.user_id == 0 {
            return Err(Error::internal("the action must be declared with Access::User to have a user"));
        }
        // SAFETY: as above.
        let (name, avatar_url) = unsafe { (raw::text(request.user_name), raw::text(request.user_avatar_url)) };
        Ok(User { id: request.user_id, name: name.to_owned(), avatar_url: avatar_url.to_owned() })
    }

    /// Asks the platform whose login code this is. The same code again within `replay_window` is answered as the first was.
    pub fn exchange(&self, code: &str, replay_window: Duration) -> impl Future<Output = Result<Identity>> + Send {
        let window = u32::try_from(replay_window.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: inside this call, as `start` makes sure, here and below; texts are copied before it returns.
        let op = operation::start(self.host, |c| unsafe { (self.host.exchange)(c, raw::str(code), window) });
        async { some(op.await?)?.json() }
    }

    /// Takes an openid without a code: refused unless the gateway's config allows test openids. That the tenant's
    /// settings list this openid is for the action to check.
    pub fn test_identity(&self, openid: &str) -> impl Future<Output = Result<Identity>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.test_identity)(c, raw::str(openid)) });
        async { some(op.await?)?.json() }
    }

    /// Opens a session for an identity that this call got.
    pub fn open_session(&self, identity: &Identity) -> impl Future<Output = Result<Session>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.session_open)(c, raw::str(&identity.openid)) });
        async { some(op.await?)?.json() }
    }

    /// The caller's session, with the token that the caller sent.
    pub fn session(&self) -> impl Future<Output = Result<Session>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.session_current)(c) });
        async { some(op.await?)?.json() }
    }

    /// Ends the caller's session.
    pub fn end_session(&self) -> impl Future<Output = Result<()>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.session_end)(c) });
        async { op.await.map(drop) }
    }

    /// Asks the platform for the phone number behind a phone code: E.164, `+8613800138000`.
    pub fn phone_number(&self, phone_code: &str) -> impl Future<Output = Result<String>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.phone_number)(c, raw::str(phone_code)) });
        async { Ok(some(op.await?)?.json::<Phone>()?.phone) }
    }

    /// The account that an openid is bound to: the caller's own, or one that this call got.
    pub fn find_user(&self, openid: &str) -> impl Future<Output = Result<Option<User>>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_find)(c, raw::str(openid)) });
        async { op.await?.map(|found| found.json()).transpose() }
    }

    /// Binds the caller's openid to a new account; where it is bound already, gives that account as it is.
    pub fn bind_new(&self, name: &str, avatar_url: &str) -> impl Future<Output = Result<User>> + Send {
        let (name, avatar_url) = (raw::str(name), raw::str(avatar_url));
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_bind_new)(c, name, avatar_url) });
        async { some(op.await?)?.json() }
    }

    /// Binds the caller's openid to the account with this phone number, made if there is none.
    pub fn bind_phone(&self, phone: &str) -> impl Future<Output = Result<User>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_bind_phone)(c, raw::str(phone)) });
        async { some(op.await?)?.json() }
    }

    /// Binds the caller's openid to the account that the tenant's own login service knows by `id`, made if there is none.
    pub fn bind_external(&self, id: &str, name: &str, avatar_url: &str) -> impl Future<Output = Result<User>> + Send {
        let (id, name, avatar_url) = (raw::str(id), raw::str(name), raw::str(avatar_url));
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_bind_external)(c, id, name, avatar_url) });
        async { some(op.await?)?.json() }
    }

    /// Checks account and password (attempts are limited) and binds the caller's openid to the account.
    pub fn bind_password(&self, account: &str, password: &str) -> impl Future<Output = Result<User>> + Send {
        let (account, password) = (raw::str(account), raw::str(password));
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_bind_password)(c, account, password) });
        async { some(op.await?)?.json() }
    }

    /// Takes the binding of the caller's openid away; the account stays.
    pub fn unbind(&self) -> impl Future<Output = Result<()>> + Send {
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_unbind)(c) });
        async { op.await.map(drop) }
    }

    /// Changes name and picture of the caller's account where given.
    pub fn update_user(
        &self,
        name: Option<&str>,
        avatar_url: Option<&str>,
    ) -> impl Future<Output = Result<User>> + Send {
        let (name, avatar_url) = (raw::option(name), raw::option(avatar_url));
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.user_update)(c, name, avatar_url) });
        async { some(op.await?)?.json() }
    }

    /// Sends an HTTP request from the gateway; redirects are not followed.
    pub fn http(&self, request: &HttpRequest<'_>) -> impl Future<Output = Result<HttpResponse>> + Send {
        let headers: Vec<menlou_kv> =
            request.headers.iter().map(|(k, v)| menlou_kv { key: raw::str(k), value: raw::str(v) }).collect();
        let raw = menlou_http_request {
            struct_size: size_of::<menlou_http_request>() as u32,
            timeout_ms: request.timeout.map_or(0, |t| u32::try_from(t.as_millis()).unwrap_or(u32::MAX).max(1)),
            method: raw::str(request.method),
            url: raw::str(request.url),
            headers: headers.as_ptr(),
            headers_len: headers.len(),
            body: menlou_str::new(request.body),
        };
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.http_send)(c, &raw) });
        async {
            let answer = some(op.await?)?;
            Ok(HttpResponse { status: answer.http_status, body: answer.bytes().to_vec() })
        }
    }

    /// Waits.
    pub fn sleep(&self, time: Duration) -> impl Future<Output = Result<()>> + Send {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.sleep_ms)(c, ms) });
        async { op.await.map(drop) }
    }

    /// The gateway's clock, Unix milliseconds.
    pub fn now_unix_ms(&self) -> u64 {
        // SAFETY: any thread.
        unsafe { (self.host.now_unix_ms)(self.host) }
    }

    /// Random bytes fit for keys.
    pub fn random<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        // SAFETY: any thread; writes N bytes.
        match unsafe { (self.host.random)(self.host, bytes.as_mut_ptr(), N) } {
            MENLOU_READY => Ok(bytes),
            _ => Err(Error::internal("the gateway has no random bytes")),
        }
    }

    /// HMAC-SHA256 of a message.
    pub fn hmac_sha256(&self, key: &[u8], message: &[u8]) -> Result<[u8; 32]> {
        let mut out = [0; 32];
        let (key, message) = (menlou_str::new(key), menlou_str::new(message));
        // SAFETY: any thread; writes 32 bytes.
        match unsafe { (self.host.hmac_sha256)(self.host, key, message, out.as_mut_ptr()) } {
            MENLOU_READY => Ok(out),
            _ => Err(Error::internal("the gateway made no HMAC")),
        }
    }

    /// Writes a line to the gateway's log, with tenant, action and request id. Never log a secret, a code, a token or
    /// a phone number.
    pub fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        crate::log::write(self.host, operation::current().call, level, message, fields);
    }
}

/// What an operation must have found.
pub(crate) fn some(finished: Option<operation::Finished>) -> Result<operation::Finished> {
    finished.ok_or_else(|| Error::internal("the gateway found nothing where it must"))
}
