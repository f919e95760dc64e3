//! An in-memory gateway for unit tests: it runs an action through the true border, with people, codes and answers of
//! other servers as the test says.

mod host;
mod world;

use crate::{Action, User, raw};
use host::TestCall;
use menlou_abi::*;
use serde_json::{Value, json};
use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Waker},
    time::Duration,
};
use world::{Answer, Encrypted, Person, PlatformAnswer, Sent, World};
pub use world::{PlatformRequest, SentRequest};

/// The gateway, as one tenant called `test` sees it.
///
/// ```
/// # use menlou_plugin::{testing::Host, User};
/// let host = Host::new()
///     .code("a-code", "openid-1")
///     .bound("openid-1", User { id: 7, name: "Ann".into(), avatar_url: String::new() });
/// ```
#[derive(Default)]
pub struct Host {
    world: Arc<Mutex<World>>,
    settings: Option<Value>,
    caller: Option<String>,
    sent: Sent,
}

/// What an action answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The error's word; `None` is success.
    pub error: Option<String>,
    /// The sentence for people, where the action gave one: Chinese, English.
    pub msg: Option<(String, String)>,
    /// The answer's data; an empty object where there is none.
    pub data: Value,
    /// A file in place of data: media type and bytes.
    pub file: Option<(String, Vec<u8>)>,
}

impl Host {
    /// An empty world.
    pub fn new() -> Self {
        Self::default()
    }

    /// The action's table in the tenant file.
    pub fn settings(mut self, settings: Value) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Whose session the calls come with. As in the gateway, the action learns of it only where its
    /// [`access`](crate::Action::access) has it looked up, and of the account only with [`Access::User`](crate::Access::User).
    pub fn caller(mut self, openid: &str) -> Self {
        self.caller = Some(openid.into());
        self
    }

    /// The HTTP method of the calls; else `POST`.
    pub fn method(mut self, method: &str) -> Self {
        self.sent.method = method.into();
        self
    }

    /// What the calls' URL has after the action, for an action with [`subpaths`](crate::Action::subpaths), and its query,
    /// for one with [`raw_query`](crate::Action::raw_query).
    pub fn url(mut self, subpath: &str, query: &str) -> Self {
        (self.sent.subpath, self.sent.query) = (subpath.into(), query.into());
        self
    }

    /// A header that the calls come with; its name in any case.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.sent.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// The body of the calls as it came; their parameters are given by themselves.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.sent.body = body.into();
        self
    }

    /// A login code of a person; as with a platform, it can be asked about again within the replay window only.
    pub fn code(self, code: &str, openid: &str) -> Self {
        self.with(|w| w.codes.insert(code.into(), Ok(openid.into())))
    }

    /// A login code that is refused with a word: `invalid_code`, `platform_busy`, …
    pub fn refuse_code(self, code: &str, word: &str) -> Self {
        self.with(|w| w.codes.insert(code.into(), Err(word.into())))
    }

    /// A phone code and its number in E.164.
    pub fn phone_code(self, code: &str, phone: &str) -> Self {
        self.with(|w| w.phone_codes.insert(code.into(), phone.into()))
    }

    /// The gateway's config allows test openids.
    pub fn allow_test_openids(self) -> Self {
        self.with(|w| w.test_openids = true)
    }

    /// An account, bound to an openid.
    pub fn bound(self, openid: &str, user: User) -> Self {
        self.with(|w| {
            w.bindings.insert(openid.into(), user.id);
            w.people.push(Person::of(user));
        })
    }

    /// An account with a password.
    pub fn account(self, account: &str, password: &str, user: User) -> Self {
        self.with(|w| {
            w.people.push(Person { account: Some((account.into(), password.into())), ..Person::of(user) });
        })
    }

    /// What another server answers to each request whose URL starts like this; see [`Call::http`](crate::Call::http).
    /// Where nothing is said, it can't be reached: `upstream_unreachable`.
    /// Calls that are forwarded ask here too: the answer comes as a [`Reply::file`] of the type `upstream/<status>`.
    pub fn http(self, method: &str, url: &str, status: u16, body: impl Into<Vec<u8>>) -> Self {
        self.with(|w| {
            w.answers.push(Answer { method: method.into(), url: url.into(), status, body: body.into() });
        })
    }

    /// What the platform answers to each call of this path, as JSON or, with another `content_type`, as a file; see
    /// [`Call::platform`](crate::Call::platform).
    pub fn platform(self, path: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let given = PlatformAnswer::Given { content_type: content_type.into(), body: body.into() };
        self.with(|w| w.platform.insert(path.into(), given))
    }

    /// What the platform refuses each call of this path with: a word, and data such as `errcode` and `rid`.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// use serde_json::Map;
    ///
    /// async fn check(call: &Call, _: ()) -> Result<()> {
    ///     call.platform("POST", "/wxa/msg_sec_check", &Map::new()).await.map(drop)
    /// }
    ///
    /// let host = Host::new().platform_refuses("/wxa/msg_sec_check", "platform_quota", json!({ "errcode": 45009 }));
    /// let reply = host.run(Action::new("check", check), json!({}));
    /// assert_eq!((reply.error.as_deref(), &reply.data["errcode"]), (Some("platform_quota"), &json!(45009)));
    /// assert_eq!(host.platform_calls()[0].path, "/wxa/msg_sec_check");
    /// ```
    pub fn platform_refuses(self, path: &str, word: &str, data: Value) -> Self {
        let refused = PlatformAnswer::Refused { word: word.into(), data };
        self.with(|w| w.platform.insert(path.into(), refused))
    }

    /// What the platform encrypted for the caller: what it says when opened, and how old it is; see
    /// [`Call::decrypt`](crate::Call::decrypt).
    pub fn encrypted(self, data: &str, iv: &str, plain: Value, age: Duration) -> Self {
        self.with(|w| w.encrypted.push(Encrypted { data: data.into(), iv: iv.into(), plain, age }))
    }

    /// The key of the caller's session is no longer valid; see [`Call::check_session_key`](crate::Call::check_session_key).
    pub fn stale_session_key(self) -> Self {
        self.with(|w| w.stale_session_key = true)
    }

    /// Calls an action without a plugin around it. What it says of itself stays in memory: for tests only.
    ///
    /// ```
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// async fn greet(call: &Call, _: ()) -> Result<()> {
    ///     call.openid().map(drop).ok_or_else(|| Error::new("nobody_to_greet"))
    /// }
    ///
    /// let reply = Host::new().run(Action::new("greet", greet), json!({}));
    /// assert_eq!(reply.error.as_deref(), Some("nobody_to_greet"));
    /// ```
    ///
    /// # Panics
    /// As [`call`](Self::call) does.
    pub fn run(&self, action: Action, params: Value) -> Reply {
        let name = action.name();
        let plugin = Box::leak(Box::new(crate::describe("test", "0.0.0", vec![action])));
        self.call(plugin, name, params)
    }

    /// Calls an action of a plugin; [`plugin!`](crate::plugin) gives it.
    ///
    /// # Panics
    /// Where the test itself is wrong: no such action, settings that the action refuses, parameters that are no object.
    pub fn call(&self, plugin: &'static menlou_plugin, action: &str, params: Value) -> Reply {
        let mut run = Run::start(self, plugin, action, &params);
        loop {
            if let Some(reply) = run.poll() {
                return reply;
            }
        }
    }

    /// Calls an action again and again, the client hanging up at its first wait, then at its second, and so on; gives
    /// the number of waits. Nothing may panic or leak.
    ///
    /// ```standalone_crate
    /// use menlou_plugin::{prelude::*, testing::Host};
    /// use serde_json::json;
    ///
    /// use std::time::Duration;
    ///
    /// async fn slow(call: &Call, _: ()) -> Result<()> {
    ///     call.sleep(Duration::from_millis(1)).await?;
    ///     call.sleep(Duration::from_millis(1)).await
    /// }
    ///
    /// menlou_plugin::plugin! { name: "slow", actions: [Action::new("slow", slow)] }
    /// # fn main() {
    /// assert_eq!(Host::new().hang_up_at_each_wait(plugin(), "slow", json!({})), 2);
    /// # }
    /// ```
    pub fn hang_up_at_each_wait(&self, plugin: &'static menlou_plugin, action: &str, params: Value) -> usize {
        let mut waits = 0;
        loop {
            let mut run = Run::start(self, plugin, action, &params);
            for _ in 0..=waits {
                if run.poll().is_some() {
                    return waits;
                }
            }
            waits += 1;
        }
    }

    /// The faults that an action tells of these settings: JSON pointer, Chinese, English. See
    /// [`Settings::check`](crate::Settings::check).
    pub fn faults(&self, plugin: &'static menlou_plugin, action: &str) -> Vec<(String, String, String)> {
        match Ready::new(self, plugin, action) {
            Ok(_) => Vec::new(),
            Err(faults) => faults,
        }
    }

    /// The openid of each open session.
    pub fn sessions(&self) -> Vec<String> {
        self.look(|w| w.sessions.clone())
    }

    /// The account that an openid is bound to.
    pub fn user_of(&self, openid: &str) -> Option<User> {
        self.look(|w| w.user_of(openid))
    }

    /// How many accounts there are.
    pub fn accounts(&self) -> usize {
        self.look(|w| w.people.len())
    }

    /// What was sent to other servers.
    pub fn sent(&self) -> Vec<SentRequest> {
        self.look(|w| w.sent.clone())
    }

    /// What the platform was asked.
    pub fn platform_calls(&self) -> Vec<PlatformRequest> {
        self.look(|w| w.asked.clone())
    }

    /// How often the caller got a new session key.
    pub fn session_key_resets(&self) -> usize {
        self.look(|w| w.resets)
    }

    /// What was logged.
    pub fn logs(&self) -> Vec<String> {
        self.look(|w| w.logs.clone())
    }

    fn with<T>(self, change: impl FnOnce(&mut World) -> T) -> Self {
        self.look(change);
        self
    }

    fn look<T>(&self, look: impl FnOnce(&mut World) -> T) -> T {
        look(&mut self.world.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An action with its settings made ready.
struct Ready {
    action: &'static menlou_action,
    host: &'static menlou_host,
    settings: *mut c_void,
}

impl Ready {
    fn new(host: &Host, plugin: &'static menlou_plugin, action: &str) -> Result<Self, Vec<(String, String, String)>> {
        // SAFETY: a descriptor made by `plugin!` tells its true length, and lives for ever.
        let actions = unsafe { std::slice::from_raw_parts(plugin.actions, plugin.actions_len) };
        // SAFETY: text of that descriptor.
        let found = actions.iter().find(|a| unsafe { raw::text(a.name) } == action);
        let Some(action) = found else { panic!("the plugin has no action {action:?}") };
        let table: &'static menlou_host = Box::leak(Box::new(host::table(host.world.clone())));
        let (mut settings, mut faults) = (ptr::null_mut(), Vec::new());
        if let Some(configure) = action.configure {
            let json = host.settings.clone().unwrap_or_else(|| json!({})).to_string();
            let setup = (&raw mut faults).cast();
            // SAFETY: as the border says; `setup` is what our `fault` takes it for.
            let made = unsafe { configure(table, setup, raw::str("test"), raw::str(&json), &mut settings) };
            if made != MENLOU_READY {
                return Err(faults);
            }
        }
        Ok(Self { action, host: table, settings })
    }
}

impl Drop for Ready {
    fn drop(&mut self) {
        if let Some(release) = self.action.release.filter(|_| !self.settings.is_null()) {
            // SAFETY: from `configure`; no call uses it any more.
            unsafe { release(self.settings) }
        }
    }
}

/// One call in flight.
struct Run {
    state: *mut c_void,
    /// Made in `start`, freed in `drop`; only shared in between, because the plugin holds references into it.
    call: *mut TestCall,
    refused: Option<Reply>,
    ready: Ready,
}

impl Run {
    fn start(host: &Host, plugin: &'static menlou_plugin, action: &str, params: &Value) -> Self {
        let ready = match Ready::new(host, plugin, action) {
            Ok(ready) => ready,
            Err(faults) => panic!("the action refuses these settings: {faults:?}"),
        };
        let user = host.caller.as_ref().and_then(|openid| host.user_of(openid));
        let login = host.settings.as_ref().and_then(|s| s.get("login")).and_then(Value::as_str);
        // Who is served, and what the action learns of them.
        let openid = host.caller.as_deref();
        let (served, caller) = match (ready.action.access, login) {
            (MENLOU_ACCESS_ANYONE, _) => (true, (None, None)),
            (MENLOU_ACCESS_BY_SETTING, Some("none")) => (true, (openid, None)),
            (MENLOU_ACCESS_USER, _) | (MENLOU_ACCESS_BY_SETTING, Some("required")) => (user.is_some(), (openid, user)),
            _ => (openid.is_some(), (openid, None)),
        };
        let call = TestCall::new(host.world.clone(), ready.action, action, caller, params, &host.sent);
        let (mut state, mut refused) = (ptr::null_mut(), None);
        if !served {
            refused = Some(Reply { error: Some("login_required".into()), msg: None, data: json!({}), file: None });
        } else if let Some(start) = ready.action.start {
            // SAFETY: as the border says; request and settings live as long as this run.
            let began = unsafe { start(ready.host, call.cast(), TestCall::request(call), ready.settings, &mut state) };
            if began != MENLOU_READY {
                refused = Some(Reply::failed());
            }
        }
        Self { state, call, refused, ready }
    }

    fn poll(&mut self) -> Option<Reply> {
        if let Some(reply) = self.refused.take() {
            return Some(reply);
        }
        let mut context = Context::from_waker(Waker::noop());
        // SAFETY: ours, until `drop`.
        let call = unsafe { &*self.call };
        let polled = call.inside(&mut context, || match self.ready.action.poll {
            // SAFETY: `state` came from `start` and was not dropped.
            Some(poll) => unsafe { poll(self.state, self.call.cast()) },
            None => MENLOU_ERR_INVALID,
        });
        match polled {
            MENLOU_PENDING => None,
            MENLOU_READY => Some(call.reply().unwrap_or_else(Reply::failed)),
            _ => Some(Reply::failed()),
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(drop) = self.ready.action.drop.filter(|_| !self.state.is_null()) {
            // SAFETY: from `start`, once, not during `poll`.
            unsafe { drop(self.state) }
        }
        // SAFETY: ours, and the plugin has let go of it.
        std::mem::drop(unsafe { Box::from_raw(self.call) });
    }
}

impl Reply {
    /// What the gateway answers where the action panicked or gave no answer.
    fn failed() -> Self {
        Self { error: Some("plugin_failed".into()), msg: None, data: json!({}), file: None }
    }
}
