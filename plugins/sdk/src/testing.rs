//! An in-memory gateway for unit tests. It runs an action through the real plugin ABI, with the users, login codes and
//! responses of other servers that the test defines.

mod host_table;
mod state;
mod test_call;
mod test_run;

use crate::{Action, User};
use menlou_abi::menlou_plugin;
use serde_json::Value;
use state::{Account, EncryptedPayload, HttpStub, PlatformStub, State};
pub use state::{PlatformRequest, Reply, SentRequest};
use std::{sync::PoisonError, time::Duration};
use test_run::{ConfiguredAction, Scenario, TestRun};

/// The gateway with one tenant, `test`.
///
/// ```
/// # use menlou_plugin::{testing::Host, User};
/// let host = Host::new()
///     .code("a-code", "openid-1")
///     .bound("openid-1", User { id: 7, name: "Ann".into(), avatar_url: String::new() });
/// ```
#[derive(Default)]
pub struct Host(Scenario);

impl Host {
    /// A gateway without users, codes or settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the action's table of the tenant file.
    pub fn settings(mut self, settings: Value) -> Self {
        self.0.settings = Some(settings);
        self
    }

    /// Sends calls with a session of this openid. As in the gateway, an action sees the openid only if its
    /// [`access`](crate::Action::access) asks for a session, and the account only with
    /// [`Access::User`](crate::Access::User).
    pub fn caller(mut self, openid: &str) -> Self {
        self.0.caller = Some(openid.into());
        self
    }

    /// Sets the HTTP method of calls; default `POST`.
    pub fn method(mut self, method: &str) -> Self {
        self.0.request.method = method.into();
        self
    }

    /// Sets the part of the URL below the action, for an action with [`subpaths`](crate::Action::subpaths), and the
    /// query, for an action with [`raw_query`](crate::Action::raw_query).
    pub fn url(mut self, subpath: &str, query: &str) -> Self {
        (self.0.request.subpath, self.0.request.query) = (subpath.into(), query.into());
        self
    }

    /// Adds a header to calls; its name in any case.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.0.request.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Sets the raw body of calls. Parameters are not parsed from it; they are passed to [`call`](Self::call).
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.0.request.body = body.into();
        self
    }

    /// Adds a login code that the platform exchanges for this openid, as often as it is asked.
    pub fn code(self, code: &str, openid: &str) -> Self {
        self.with(|s| s.codes.insert(code.into(), Ok(openid.into())))
    }

    /// Adds a login code whose exchange fails with an error code: `invalid_code`, `platform_busy`, …
    pub fn reject_code(self, code: &str, error_code: &str) -> Self {
        self.with(|s| s.codes.insert(code.into(), Err(error_code.into())))
    }

    /// Adds a phone code and its number in E.164.
    pub fn phone_code(self, code: &str, phone: &str) -> Self {
        self.with(|s| s.phone_codes.insert(code.into(), phone.into()))
    }

    /// Allows test openids in the gateway's config.
    pub fn allow_test_openids(self) -> Self {
        self.with(|s| s.test_openids = true)
    }

    /// Adds an account that is bound to an openid.
    pub fn bound(self, openid: &str, user: User) -> Self {
        self.with(|s| {
            s.bindings.insert(openid.into(), user.id);
            s.accounts.push(Account::new(user));
        })
    }

    /// Adds an account with an account name and a password.
    pub fn account(self, account: &str, password: &str, user: User) -> Self {
        self.with(|s| {
            s.accounts.push(Account { password: Some((account.into(), password.into())), ..Account::new(user) });
        })
    }

    /// Defines the response of another server to each request whose URL starts with `url`; see
    /// [`Call::http`](crate::Call::http). A request without a response fails with `upstream_unreachable`.
    ///
    /// Forwarded requests use these responses too. Such a response is returned as [`Reply::file`] with the type
    /// `upstream/<status>`.
    pub fn http_response(self, method: &str, url: &str, status: u16, body: impl Into<Vec<u8>>) -> Self {
        self.with(|s| {
            s.http_stubs.push(HttpStub { method: method.into(), url: url.into(), status, body: body.into() });
        })
    }

    /// Defines the platform's response to each request of this path: JSON, or with another `content_type` a file. See
    /// [`Call::platform`](crate::Call::platform).
    pub fn platform_response(self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let stub = PlatformStub::Response { content_type: content_type.into(), body: body.into() };
        self.with(|s| s.platform_stubs.insert(path.into(), stub))
    }

    /// Defines the error of each platform request of this path: an error code, and data such as `errcode` and `rid`.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::{Map, json};
    ///
    /// async fn check(call: &Call, _: ()) -> Result<()> {
    ///     call.platform("POST", "/wxa/msg_sec_check", &Map::new()).await.map(drop)
    /// }
    ///
    /// let host = Host::new().platform_error("/wxa/msg_sec_check", "platform_quota", json!({ "errcode": 45009 }));
    /// let reply = host.run(Action::new("check", check), json!({}));
    /// assert_eq!((reply.error.as_deref(), &reply.data["errcode"]), (Some("platform_quota"), &json!(45009)));
    /// assert_eq!(host.platform_requests()[0].path, "/wxa/msg_sec_check");
    /// ```
    pub fn platform_error(self, path: &str, error_code: &str, data: Value) -> Self {
        let stub = PlatformStub::Error { code: error_code.into(), data };
        self.with(|s| s.platform_stubs.insert(path.into(), stub))
    }

    /// Adds data that the platform encrypted for the caller: its plain text and its age. See
    /// [`Call::decrypt`](crate::Call::decrypt).
    pub fn encrypted(self, data: &str, iv: &str, plain: Value, age: Duration) -> Self {
        self.with(|s| s.encrypted.push(EncryptedPayload { data: data.into(), iv: iv.into(), plain, age }))
    }

    /// Makes the key of the caller's session invalid; see [`Call::check_session_key`](crate::Call::check_session_key).
    pub fn expired_session_key(self) -> Self {
        self.with(|s| s.session_key_expired = true)
    }

    /// Rejects each attempt to log in with `too_many_attempts`; see [`Call::record_attempt`](crate::Call::record_attempt).
    pub fn exhaust_attempts(self) -> Self {
        self.with(|s| s.attempts_exhausted = true)
    }

    /// Calls an action that belongs to no plugin. The action's descriptor is leaked: for tests only.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn greet(call: &Call, _: ()) -> Result<()> {
    ///     call.openid().map(drop).ok_or_else(|| Error::new("no_openid"))
    /// }
    ///
    /// let reply = Host::new().run(Action::new("greet", greet), json!({}));
    /// assert_eq!(reply.error.as_deref(), Some("no_openid"));
    /// ```
    ///
    /// # Panics
    /// In the cases of [`call`](Self::call).
    pub fn run(&self, action: Action, params: Value) -> Reply {
        let name = action.name();
        let plugin = Box::leak(Box::new(crate::describe("test", "0.0.0", vec![action])));
        self.call(plugin, name, params)
    }

    /// Calls an action of a plugin, whose descriptor is the function that [`plugin!`](crate::plugin) defines.
    ///
    /// # Panics
    /// If the plugin has no such action, the action rejects the settings, or `params` is not an object.
    pub fn call(&self, plugin: &'static menlou_plugin, action: &str, params: Value) -> Reply {
        let mut run = TestRun::start(&self.0, plugin, action, &params);
        loop {
            if let Some(reply) = run.poll() {
                return reply;
            }
        }
    }

    /// Calls an action several times and cancels it at its first `.await` of an operation, then at its second, and so
    /// on. Returns the number of such `.await`s. The action must neither panic nor leak.
    ///
    /// ```standalone_crate
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    /// use std::time::Duration;
    ///
    /// async fn slow(call: &Call, _: ()) -> Result<()> {
    ///     call.sleep(Duration::from_millis(1)).await?;
    ///     call.sleep(Duration::from_millis(1)).await
    /// }
    ///
    /// menlou_plugin::plugin! { name: "slow", actions: [Action::new("slow", slow)] }
    /// # fn main() {
    /// assert_eq!(Host::new().cancel_at_each_await(plugin(), "slow", json!({})), 2);
    /// # }
    /// ```
    pub fn cancel_at_each_await(&self, plugin: &'static menlou_plugin, action: &str, params: Value) -> usize {
        let mut awaits = 0;
        loop {
            let mut run = TestRun::start(&self.0, plugin, action, &params);
            for _ in 0..=awaits {
                if run.poll().is_some() {
                    return awaits;
                }
            }
            awaits += 1;
        }
    }

    /// The errors that an action reports for these settings: JSON pointer, Chinese text, English text. See
    /// [`Settings::check`](crate::Settings::check).
    pub fn config_errors(&self, plugin: &'static menlou_plugin, action: &str) -> Vec<(String, String, String)> {
        ConfiguredAction::new(&self.0, plugin, action).err().unwrap_or_default()
    }

    /// The openid of each open session.
    pub fn sessions(&self) -> Vec<String> {
        self.read(|s| s.sessions.clone())
    }

    /// The account that an openid is bound to.
    pub fn user_for(&self, openid: &str) -> Option<User> {
        self.read(|s| s.user_for(openid))
    }

    /// The number of accounts.
    pub fn account_count(&self) -> usize {
        self.read(|s| s.accounts.len())
    }

    /// The requests to other servers, in their order.
    pub fn http_requests(&self) -> Vec<SentRequest> {
        self.read(|s| s.http_requests.clone())
    }

    /// The requests to the platform, in their order.
    pub fn platform_requests(&self) -> Vec<PlatformRequest> {
        self.read(|s| s.platform_requests.clone())
    }

    /// How many times the key of the caller's session was reset.
    pub fn session_key_resets(&self) -> usize {
        self.read(|s| s.session_key_resets)
    }

    /// The accounts of the attempts to log in that have not succeeded.
    pub fn attempts(&self) -> Vec<String> {
        self.read(|s| s.attempts.clone())
    }

    /// The log lines: message, then ` name=value` for each field.
    pub fn logs(&self) -> Vec<String> {
        self.read(|s| s.logs.clone())
    }

    fn with<T>(self, change: impl FnOnce(&mut State) -> T) -> Self {
        self.read(change);
        self
    }

    fn read<T>(&self, read: impl FnOnce(&mut State) -> T) -> T {
        read(&mut self.0.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
