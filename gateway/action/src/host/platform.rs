//! The tenant's account at the platform, for plugins: calls with its access token, and what hangs on the session's key.

use super::begin;
use crate::ffi::text;
use crate::operation::{OpFuture, OpOutput};
use crate::plugin_call::PluginCall;
use crate::services::TenantScope;
use http::Method;
use menlou_abi::{menlou_call, menlou_op, menlou_str};
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use menlou_platform::{PlatformQuery, PlatformReply};
use menlou_policy::Caller;
use menlou_store::Session;
use secrecy::SecretString;
use serde_json::{Map, Value};
use std::time::Duration;

// SAFETY of all that is `unsafe` here: see the module's head.

/// The largest JSON that a plugin may have sent to the platform, in bytes.
const MAX_FIELDS: usize = 1 << 20;

pub(super) unsafe extern "C" fn call(
    call: *mut menlou_call,
    method: menlou_str,
    path: menlou_str,
    fields: menlou_str,
) -> *mut menlou_op {
    // SAFETY: as above.
    unsafe {
        begin(call, |flight| {
            let method = match text(method)? {
                "GET" => Method::GET,
                "POST" => Method::POST,
                _ => return None,
            };
            let (scope, path) = (flight.scope(), text(path)?.to_owned());
            let fields: Map<String, Value> = match text(fields).filter(|f| f.len() <= MAX_FIELDS)? {
                "" => Map::new(),
                json => serde_json::from_str(json).ok()?,
            };
            if !scope.platform.may_call(&path) || fields.contains_key("access_token") {
                return None;
            }
            Some(Box::pin(async move {
                Ok(match scope.platform.call(PlatformQuery { method, path, fields }).await? {
                    PlatformReply::Fields(fields) => OpOutput::Json(Value::Object(fields)),
                    PlatformReply::File { content_type, body } => OpOutput::File { content_type, body },
                })
            }))
        })
    }
}

pub(super) unsafe extern "C" fn decrypt(
    call: *mut menlou_call,
    encrypted_data: menlou_str,
    iv: menlou_str,
    max_age_ms: u64,
) -> *mut menlou_op {
    // SAFETY: as above.
    unsafe {
        begin(call, |flight| {
            let (data, iv) = (text(encrypted_data)?.to_owned(), text(iv)?.to_owned());
            let max_age = Duration::from_millis(max_age_ms);
            with_key(flight, move |scope, _, key| async move {
                scope.platform.decrypt(&key, &data, &iv, max_age).map(|plain| OpOutput::Json(Value::Object(plain)))
            })
        })
    }
}

pub(super) unsafe extern "C" fn check_session_key(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: as above.
    unsafe {
        begin(call, |flight| {
            with_key(flight, |scope, caller, key| async move {
                scope.platform.check_session_key(&caller.session.openid, &key).await.map(|()| OpOutput::Nothing)
            })
        })
    }
}

pub(super) unsafe extern "C" fn reset_session_key(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: as above.
    unsafe {
        begin(call, |flight| {
            with_key(flight, |scope, caller, key| async move {
                // In a task of its own, so that a new key gets into the session though the client hangs up: the old one
                // is worth nothing by then. The platform's and the store's deadlines bound it.
                let renewed = tokio::spawn(async move { renew(&scope, &caller, &key).await }).await;
                renewed.map_err(|e| Error::new(&codes::INTERNAL_ERROR).with_cause(e))?.map(|()| OpOutput::Nothing)
            })
        })
    }
}

async fn renew(scope: &TenantScope, caller: &Caller, key: &SecretString) -> Result<()> {
    let old = &*caller.session;
    let session_key = Some(scope.platform.reset_session_key(&old.openid, key).await?);
    let (platform, openid, unionid) = (old.platform.clone(), old.openid.clone(), old.unionid.clone());
    let Session { test, created_at, expires_at, .. } = *old;
    let session = Session { platform, openid, unionid, session_key, test, created_at, expires_at };
    match scope.services.stores.sessions.replace(&scope.tenant, &caller.token, session).await? {
        true => Ok(()),
        // It ended meanwhile.
        false => Err(Error::new(&codes::SESSION_EXPIRED)),
    }
}

/// An operation with the key of the caller's session; refused where that has none. `None` without a session.
fn with_key<F>(flight: &PluginCall, how: impl FnOnce(TenantScope, Caller, SecretString) -> F) -> Option<OpFuture>
where
    F: Future<Output = Result<OpOutput>> + Send + 'static,
{
    let caller = flight.caller.as_ref()?;
    let Some(key) = caller.session.session_key.clone() else {
        let text = Text::fixed(
            "此会话没有 session_key（测试 openid）：请用 code 重新登录",
            "This session has no session_key (a test openid): log in again with a code.",
        );
        return Some(Box::pin(std::future::ready(Err(Error::new(&codes::SESSION_EXPIRED).with_message(text)))));
    };
    let caller = Caller { token: caller.token, session: caller.session.clone(), user: None };
    Some(Box::pin(how(flight.scope(), caller, key)))
}
