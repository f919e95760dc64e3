//! Host functions of the platform: requests with the tenant's access token, and operations that need the session key.

use super::entry::begin;
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

/// Maximum length of the JSON fields of a platform request, in bytes.
const MAX_FIELDS: usize = 1 << 20;

pub(super) unsafe extern "C" fn call(
    call: *mut menlou_call,
    method: menlou_str,
    path: menlou_str,
    fields: menlou_str,
) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let method = match text(method)? {
                "GET" => Method::GET,
                "POST" => Method::POST,
                _ => return None,
            };
            let (scope, path) = (call.scope(), text(path)?.to_owned());
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
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let (data, iv) = (text(encrypted_data)?.to_owned(), text(iv)?.to_owned());
            let max_age = Duration::from_millis(max_age_ms);
            with_key(call, move |scope, _, key| async move {
                scope.platform.decrypt(&key, &data, &iv, max_age).map(|plain| OpOutput::Json(Value::Object(plain)))
            })
        })
    }
}

pub(super) unsafe extern "C" fn check_session_key(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            with_key(call, |scope, caller, key| async move {
                scope.platform.check_session_key(&caller.session.openid, &key).await.map(|()| OpOutput::Nothing)
            })
        })
    }
}

pub(super) unsafe extern "C" fn reset_session_key(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            with_key(call, |scope, caller, key| async move {
                // A task of its own stores the new key in the session even if the client closes the connection, because
                // the old key is invalid from then on. The timeouts of the platform and of the store bound the task.
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
        // The session has ended meanwhile.
        false => Err(Error::new(&codes::SESSION_EXPIRED)),
    }
}

/// An operation that uses the key of the caller's session. It fails with `session_expired` if the session has no key.
/// `None` if the caller has no session.
fn with_key<F>(call: &PluginCall, operation: impl FnOnce(TenantScope, Caller, SecretString) -> F) -> Option<OpFuture>
where
    F: Future<Output = Result<OpOutput>> + Send + 'static,
{
    let caller = call.caller.as_ref()?;
    let Some(key) = caller.session.session_key.clone() else {
        let text = Text::fixed(
            "此会话没有 session_key（测试 openid）：请用 code 重新登录",
            "This session has no session_key (a test openid): log in again with a code.",
        );
        return Some(Box::pin(std::future::ready(Err(Error::new(&codes::SESSION_EXPIRED).with_detail(text)))));
    };
    let caller = Caller { token: caller.token, session: caller.session.clone(), user: None };
    Some(Box::pin(operation(call.scope(), caller, key)))
}
