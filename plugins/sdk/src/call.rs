//! A call in flight: the client's request, the settings, and basic services of the gateway.

use crate::{Error, Level, Result, User, ffi, operation, params::Param};
use menlou_abi::*;
use std::{future::Future, marker::PhantomData, net::IpAddr, time::Duration};

/// One call in flight, with the settings `S` of its action in its tenant.
///
/// All operations are scoped to the tenant of the call. They can be awaited only in the action's own future, not on other
/// threads. An operation that is dropped before completion (the client disconnected, a `select`) may or may not have
/// happened.
pub struct Call<S = ()> {
    pub(crate) host: &'static menlou_host,
    request: *const menlou_request,
    settings: *const S,
    _settings: PhantomData<S>,
}

// SAFETY: request and settings are immutable during the call, and host functions without a call may be called on any
// thread.
unsafe impl<S: Sync> Send for Call<S> {}
// SAFETY: as above.
unsafe impl<S: Sync> Sync for Call<S> {}

/// An HTTP request for the gateway to send.
#[derive(Clone, Debug, Default)]
pub struct HttpRequest<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// `http://` or `https://`.
    pub url: &'a str,
    /// Names and values.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body; any bytes.
    pub body: &'a [u8],
    /// Timeout of the complete exchange; `None` is the gateway's default. The call's deadline applies too.
    pub timeout: Option<Duration>,
}

/// The response to an [`HttpRequest`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// The body, at most 1 MiB.
    pub body: Vec<u8>,
}

impl<S> Call<S> {
    /// # Safety
    /// `request` and `settings` are valid and unchanged for the lifetime of this call.
    pub(crate) unsafe fn new(host: &'static menlou_host, request: *const menlou_request, settings: *const S) -> Self {
        Self { host, request, settings, _settings: PhantomData }
    }

    fn request(&self) -> &menlou_request {
        // SAFETY: valid for the lifetime of this call, by the contract of `new`.
        unsafe { &*self.request }
    }

    /// The action's settings in this tenant.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// #[derive(Deserialize, JsonSchema)]
    /// #[serde(deny_unknown_fields)]
    /// struct GreetSettings {
    ///     /// The greeting.
    ///     greeting: String,
    /// }
    ///
    /// impl Settings for GreetSettings {}
    ///
    /// async fn greet(call: &Call<GreetSettings>, _: ()) -> Result<()> {
    ///     call.log(Level::Info, &call.settings().greeting, &[]);
    ///     Ok(())
    /// }
    ///
    /// let host = Host::new().settings(json!({ "greeting": "Good morning" }));
    /// host.run(Action::new("greet", greet), json!({}));
    /// assert_eq!(host.logs(), ["Good morning"]);
    /// ```
    pub fn settings(&self) -> &S {
        // SAFETY: valid for the lifetime of this call, by the contract of `new`.
        unsafe { &*self.settings }
    }

    /// The tenant's name, the `f` of the URL.
    pub fn tenant(&self) -> &str {
        // SAFETY: borrowed until the end of the call, like all text below.
        unsafe { ffi::text(self.request().tenant) }
    }

    /// The action's name in the tenant file, the `a` of the URL.
    pub fn action(&self) -> &str {
        // SAFETY: as above.
        unsafe { ffi::text(self.request().action) }
    }

    /// The HTTP method.
    pub fn method(&self) -> &str {
        // SAFETY: as above.
        unsafe { ffi::text(self.request().method) }
    }

    /// The request id, as in the response's `X-Request-Id` and in the log.
    pub fn request_id(&self) -> &str {
        // SAFETY: as above.
        unsafe { ffi::text(self.request().request_id) }
    }

    /// The caller's language: `zh` or `en`.
    pub fn language(&self) -> &str {
        // SAFETY: as above.
        unsafe { ffi::text(self.request().language) }
    }

    /// The IP address of the client, if known.
    pub fn remote_ip(&self) -> Option<IpAddr> {
        // SAFETY: as above.
        unsafe { ffi::text(self.request().remote_ip) }.parse().ok()
    }

    /// The raw path below the action, beginning with `/`, without `.` and `..` segments. Only in an action with
    /// [`subpaths`](crate::Action::subpaths).
    pub fn subpath(&self) -> &str {
        // SAFETY: as above.
        unsafe { ffi::text(self.request().subpath) }
    }

    /// The raw query of the URL without `f` and `a`. Only in an action with
    /// [`raw_query`](crate::Action::raw_query).
    pub fn query(&self) -> &str {
        // SAFETY: as above.
        unsafe { ffi::text(self.request().query) }
    }

    /// The body as it came; empty in an action with [`raw_body`](crate::Action::raw_body).
    pub fn body(&self) -> &[u8] {
        // SAFETY: as above.
        unsafe { self.request().body.bytes() }
    }

    /// A header by its lower-case name; `authorization` is never found.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn note(call: &Call, _: ()) -> Result<()> {
    ///     match call.header("x-version") {
    ///         Some("2") => Ok(()),
    ///         _ => Err(Error::new("update_needed").with_message("请更新小程序", "Please update.")),
    ///     }
    /// }
    ///
    /// let host = Host::new().header("X-Version", "2");
    /// assert_eq!(host.run(Action::new("note", note), json!({})).error, None);
    /// assert_eq!(Host::new().run(Action::new("note", note), json!({})).error.as_deref(), Some("update_needed"));
    /// ```
    pub fn header(&self, name: &str) -> Option<&str> {
        let call = operation::current().call;
        if call.is_null() {
            return None;
        }
        let mut value = menlou_str::NONE;
        // SAFETY: inside this call; the value is borrowed until its end.
        unsafe { ((self.host.header)(call, ffi::str(name), &mut value) == MENLOU_READY).then(|| ffi::text(value)) }
    }

    /// When the gateway gives up on this call, Unix milliseconds.
    pub fn deadline_unix_ms(&self) -> u64 {
        self.request().deadline_unix_ms
    }

    /// Every parameter as it came, also those that the action's type doesn't name: texts, or JSON values.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn sum(call: &Call, _: ()) -> Result<()> {
    ///     let sum: i64 = call.params().values().filter_map(|value| value.as_i64()).sum();
    ///     call.log(Level::Info, &sum.to_string(), &[]);
    ///     Ok(())
    /// }
    ///
    /// let host = Host::new();
    /// host.run(Action::new("sum", sum), json!({ "a": 1, "b": 2, "c": "three" }));
    /// assert_eq!(host.logs(), ["3"]);
    /// ```
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
            // SAFETY: `params_len` elements, borrowed until the end of the call.
            false => unsafe { std::slice::from_raw_parts(request.params, request.params_len) },
        };
        // SAFETY: as above.
        params.iter().map(|p| unsafe { Param::borrow(p) })
    }

    /// The openid of the caller's session; `None` without a session.
    pub fn openid(&self) -> Option<&str> {
        // SAFETY: as above.
        Some(unsafe { ffi::text(self.request().openid) }).filter(|t| !t.is_empty())
    }

    /// The id of the caller's account, in an action with [`Access::User`](crate::Access::User).
    pub fn user_id(&self) -> Option<i64> {
        Some(self.request().user_id).filter(|id| *id != 0)
    }

    /// The caller's account. Fails unless the action has [`Access::User`](crate::Access::User).
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn mine(call: &Call, _: ()) -> Result<User> {
    ///     call.user()
    /// }
    ///
    /// let ann = User { id: 7, name: "Ann".into(), avatar_url: String::new() };
    /// let host = Host::new().caller("o-ann").bound("o-ann", ann);
    /// let action = || Action::new("mine", mine).access(Access::User);
    /// assert_eq!(host.run(action(), json!({})).data["name"], "Ann");
    /// assert_eq!(Host::new().run(action(), json!({})).error.as_deref(), Some("login_required"));
    /// ```
    pub fn user(&self) -> Result<User> {
        let request = self.request();
        if request.user_id == 0 {
            return Err(Error::internal("the action has no user: declare it with Access::User"));
        }
        // SAFETY: as above.
        let (name, avatar_url) = unsafe { (ffi::text(request.user_name), ffi::text(request.user_avatar_url)) };
        Ok(User { id: request.user_id, name: name.to_owned(), avatar_url: avatar_url.to_owned() })
    }

    /// Sends an HTTP request from the gateway. Redirects are not followed.
    ///
    /// ```
    /// use menlou_plugin::{HttpRequest, prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn stock(call: &Call, _: ()) -> Result<()> {
    ///     let request = HttpRequest { method: "GET", url: "https://stock.example.com/7", ..HttpRequest::default() };
    ///     match call.http(&request).await?.status {
    ///         200 => Ok(()),
    ///         404 => Err(Error::new("sold_out").with_message("已售罄", "It is sold out.")),
    ///         status => Err(Error::internal(format!("the stock service returned {status}"))),
    ///     }
    /// }
    ///
    /// let host = Host::new().http_response("GET", "https://stock.example.com/", 404, "");
    /// assert_eq!(host.run(Action::new("stock", stock), json!({})).error.as_deref(), Some("sold_out"));
    /// assert_eq!(host.http_requests()[0].url, "https://stock.example.com/7");
    /// ```
    pub fn http(&self, request: &HttpRequest<'_>) -> impl Future<Output = Result<HttpResponse>> + Send {
        let headers: Vec<menlou_kv> =
            request.headers.iter().map(|(k, v)| menlou_kv { key: ffi::str(k), value: ffi::str(v) }).collect();
        let raw = menlou_http_request {
            struct_size: size_of::<menlou_http_request>() as u32,
            timeout_ms: request.timeout.map_or(0, |t| u32::try_from(t.as_millis()).unwrap_or(u32::MAX).max(1)),
            method: ffi::str(request.method),
            url: ffi::str(request.url),
            headers: headers.as_ptr(),
            headers_len: headers.len(),
            body: menlou_str::new(request.body),
        };
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.http_send)(c, &raw) });
        async {
            let output = operation::found(op.await?)?;
            Ok(HttpResponse { status: output.http_status, body: output.bytes().to_vec() })
        }
    }

    /// Completes after this time.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// use std::time::Duration;
    ///
    /// async fn delayed(call: &Call, _: ()) -> Result<()> {
    ///     call.sleep(Duration::from_millis(200)).await
    /// }
    ///
    /// // The in-memory gateway does not wait.
    /// assert_eq!(Host::new().run(Action::new("delayed", delayed), json!({})).error, None);
    /// ```
    pub fn sleep(&self, time: Duration) -> impl Future<Output = Result<()>> + Send {
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        // SAFETY: see `exchange`.
        let op = operation::start(self.host, |c| unsafe { (self.host.sleep_ms)(c, ms) });
        async { op.await.map(drop) }
    }

    /// The Unix time in milliseconds, from the gateway's clock.
    pub fn now_unix_ms(&self) -> u64 {
        // SAFETY: callable on any thread.
        unsafe { (self.host.now_unix_ms)(self.host) }
    }

    /// Random bytes that are fit for keys.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn ticket(call: &Call, _: ()) -> Result<()> {
    ///     let key: [u8; 16] = call.random()?;
    ///     assert_ne!(key, [0; 16]);
    ///     Ok(())
    /// }
    ///
    /// assert_eq!(Host::new().run(Action::new("ticket", ticket), json!({})).error, None);
    /// ```
    pub fn random<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        // SAFETY: callable on any thread; writes N bytes.
        match unsafe { (self.host.random)(self.host, bytes.as_mut_ptr(), N) } {
            MENLOU_READY => Ok(bytes),
            _ => Err(Error::internal("the gateway returned no random bytes")),
        }
    }

    /// The HMAC-SHA256 of a message.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn sign(call: &Call, _: ()) -> Result<()> {
    ///     let tag = call.hmac_sha256(b"key", b"The quick brown fox jumps over the lazy dog")?;
    ///     assert_eq!(tag[..4], [0xf7, 0xbc, 0x83, 0xf4]);
    ///     Ok(())
    /// }
    ///
    /// assert_eq!(Host::new().run(Action::new("sign", sign), json!({})).error, None);
    /// ```
    pub fn hmac_sha256(&self, key: &[u8], message: &[u8]) -> Result<[u8; 32]> {
        let mut out = [0; 32];
        let (key, message) = (menlou_str::new(key), menlou_str::new(message));
        // SAFETY: callable on any thread; writes 32 bytes.
        match unsafe { (self.host.hmac_sha256)(self.host, key, message, out.as_mut_ptr()) } {
            MENLOU_READY => Ok(out),
            _ => Err(Error::internal("the gateway returned no HMAC")),
        }
    }

    /// Logs a line in the gateway's log, with tenant, action and request id. Never log a secret, a code, a token or a
    /// phone number.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn order(call: &Call, _: ()) -> Result<()> {
    ///     call.log(Level::Info, "order accepted", &[("items", "3")]);
    ///     Ok(())
    /// }
    ///
    /// let host = Host::new();
    /// host.run(Action::new("order", order), json!({}));
    /// assert_eq!(host.logs(), ["order accepted items=3"]);
    /// ```
    pub fn log(&self, level: Level, message: &str, fields: &[(&str, &str)]) {
        crate::log::write(self.host, operation::current().call, level, message, fields);
    }
}
