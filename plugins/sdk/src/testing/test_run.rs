//! Runs one call of an action: `configure`, `start`, `poll`, `drop`, `release`.

use super::{
    host_table,
    state::{ClientRequest, ConfigErrorList, Reply, State},
    test_call::TestCall,
};
use crate::ffi;
use menlou_abi::*;
use serde_json::{Value, json};
use std::{
    ffi::c_void,
    ptr,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Waker},
};

/// The gateway, the tenant's settings and the client's request, as the test defined them.
#[derive(Default)]
pub(super) struct Scenario {
    pub state: Arc<Mutex<State>>,
    pub settings: Option<Value>,
    /// The openid of the caller's session.
    pub caller: Option<String>,
    pub request: ClientRequest,
}

/// An action with its configured settings.
pub(super) struct ConfiguredAction {
    action: &'static menlou_action,
    host: &'static menlou_host,
    settings: *mut c_void,
}

impl ConfiguredAction {
    pub fn new(scenario: &Scenario, plugin: &'static menlou_plugin, action: &str) -> Result<Self, ConfigErrorList> {
        // SAFETY: a descriptor made by `plugin!` has the length that it says, and lives as long as the process.
        let actions = unsafe { std::slice::from_raw_parts(plugin.actions, plugin.actions_len) };
        // SAFETY: text of that descriptor.
        let found = actions.iter().find(|a| unsafe { ffi::text(a.name) } == action);
        let Some(action) = found else { panic!("the plugin has no action {action:?}") };
        let host: &'static menlou_host = Box::leak(Box::new(host_table::host_table(scenario.state.clone())));
        let (mut settings, mut errors) = (ptr::null_mut(), ConfigErrorList::new());
        if let Some(configure) = action.configure {
            let json = scenario.settings.clone().unwrap_or_else(|| json!({})).to_string();
            let setup = (&raw mut errors).cast();
            // SAFETY: the ABI's contract; `setup` is the list that our `config_error` expects.
            let status = unsafe { configure(host, setup, ffi::str("test"), ffi::str(&json), &mut settings) };
            if status != MENLOU_READY {
                return Err(errors);
            }
        }
        Ok(Self { action, host, settings })
    }
}

impl Drop for ConfiguredAction {
    fn drop(&mut self) {
        if let Some(release) = self.action.release.filter(|_| !self.settings.is_null()) {
            // SAFETY: from `configure`; no call uses it any more.
            unsafe { release(self.settings) }
        }
    }
}

/// One call in flight.
pub(super) struct TestRun {
    state: *mut c_void,
    /// Allocated in `start`, freed in `drop`. Only shared references exist in between: the plugin holds some too.
    call: *mut TestCall,
    rejected: Option<Reply>,
    configured: ConfiguredAction,
}

impl TestRun {
    pub fn start(scenario: &Scenario, plugin: &'static menlou_plugin, action: &str, params: &Value) -> Self {
        let configured = match ConfiguredAction::new(scenario, plugin, action) {
            Ok(configured) => configured,
            Err(errors) => panic!("the action rejects these settings: {errors:?}"),
        };
        let openid = scenario.caller.as_deref();
        let user =
            openid.and_then(|openid| scenario.state.lock().unwrap_or_else(PoisonError::into_inner).user_for(openid));
        let auth = scenario.settings.as_ref().and_then(|s| s.get("auth")).and_then(Value::as_str);
        // Whether the caller may call the action, and what the action learns about the caller.
        let (allowed, caller) = match (configured.action.access, auth) {
            (MENLOU_ACCESS_ANYONE, _) => (true, (None, None)),
            (MENLOU_ACCESS_BY_SETTING, Some("optional")) => (true, (openid, None)),
            (MENLOU_ACCESS_USER, _) | (MENLOU_ACCESS_BY_SETTING, Some("required")) => (user.is_some(), (openid, user)),
            _ => (openid.is_some(), (openid, None)),
        };
        let call = TestCall::new(scenario.state.clone(), configured.action, action, caller, params, &scenario.request);
        let (mut state, mut rejected) = (ptr::null_mut(), None);
        if !allowed {
            rejected = Some(Reply::error("login_required"));
        } else if let Some(start) = configured.action.start {
            let request = TestCall::request(call);
            // SAFETY: the ABI's contract; request and settings live as long as this run.
            let status = unsafe { start(configured.host, call.cast(), request, configured.settings, &mut state) };
            if status != MENLOU_READY {
                rejected = Some(Reply::plugin_failed());
            }
        }
        Self { state, call, rejected, configured }
    }

    /// Polls the call once; `None` while it is pending.
    pub fn poll(&mut self) -> Option<Reply> {
        if let Some(reply) = self.rejected.take() {
            return Some(reply);
        }
        let mut context = Context::from_waker(Waker::noop());
        // SAFETY: ours, until `drop`.
        let call = unsafe { &*self.call };
        let status = call.with_waker(&mut context, || match self.configured.action.poll {
            // SAFETY: `state` came from `start` and was not dropped.
            Some(poll) => unsafe { poll(self.state, self.call.cast()) },
            None => MENLOU_ERR_INVALID,
        });
        match status {
            MENLOU_PENDING => None,
            MENLOU_READY => Some(call.take_reply().unwrap_or_else(Reply::plugin_failed)),
            _ => Some(Reply::plugin_failed()),
        }
    }
}

impl Drop for TestRun {
    fn drop(&mut self) {
        if let Some(drop) = self.configured.action.drop.filter(|_| !self.state.is_null()) {
            // SAFETY: from `start`; once, and not during `poll`.
            unsafe { drop(self.state) }
        }
        // SAFETY: ours; the plugin holds no reference any more.
        std::mem::drop(unsafe { Box::from_raw(self.call) });
    }
}
