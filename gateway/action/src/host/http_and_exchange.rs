//! Host functions that reach outside of the gateway: code exchange with the platform, HTTP requests, and timers.

use super::entry::begin;
use crate::ffi::{MAX_ARGUMENT, text};
use crate::operation::{OpFuture, OpOutput};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use menlou_abi::{menlou_call, menlou_http_request, menlou_op, menlou_str};
use menlou_error::{Error, codes};
use menlou_platform::{
    PlatformIdentity,
    http::{HttpFailure, HttpRequest},
};
use std::{sync::Arc, time::Duration};

/// Time in which a repeated phone code of the same session gets the first result again.
const PHONE_REPLAY: Duration = Duration::from_secs(10);
/// Maximum number of headers of an HTTP request.
const MAX_HEADERS: usize = 64;
/// Timeout of an HTTP request for which the plugin sets none.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) unsafe extern "C" fn exchange(
    call: *mut menlou_call,
    code: menlou_str,
    replay_window_ms: u32,
) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let code = text(code).filter(|c| !c.is_empty())?.to_owned();
            let (scope, window) = (call.scope(), Duration::from_millis(replay_window_ms.into()));
            Some(Box::pin(async move {
                let exchanges = &scope.services.exchanges;
                let person = exchanges.exchange(&scope.tenant, &scope.platform, &code, window).await?;
                Ok(OpOutput::Identity { person, test: false })
            }))
        })
    }
}

pub(super) unsafe extern "C" fn test_identity(call: *mut menlou_call, openid: menlou_str) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let openid = text(openid).filter(|o| (1..=256).contains(&o.len()))?.to_owned();
            let outcome = if call.action.scope.services.allow_test_openids {
                let person = Arc::new(PlatformIdentity { openid, unionid: None, session_key: None });
                Ok(OpOutput::Identity { person, test: true })
            } else {
                let (tenant, id) = (call.tenant(), &call.request.id);
                tracing::warn!(tenant, request_id = &**id, "test openid rejected: [testing] allow_test_openids is off");
                Err(Error::new(&codes::TEST_OPENID_REFUSED))
            };
            Some(Box::pin(std::future::ready(outcome)))
        })
    }
}

pub(super) unsafe extern "C" fn phone_number(call: *mut menlou_call, phone_code: menlou_str) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let (scope, code) = (call.scope(), text(phone_code).filter(|c| !c.is_empty())?.to_owned());
            // Without a session there is no openid, so a repeated code cannot get the first result again.
            let openid = call.caller.as_ref().map(|caller| caller.session.openid.clone());
            Some(Box::pin(async move {
                let exchanges = &scope.services.exchanges;
                let phone = match openid {
                    Some(openid) => {
                        exchanges.phone_number(&scope.tenant, &scope.platform, &openid, &code, PHONE_REPLAY).await?
                    }
                    None => scope.platform.phone_number(&code, None).await?,
                };
                Ok(OpOutput::Json(serde_json::json!({ "phone": phone })))
            }))
        })
    }
}

pub(super) unsafe extern "C" fn http_send(
    call: *mut menlou_call,
    request: *const menlou_http_request,
) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let raw = request.as_ref().filter(|r| r.struct_size as usize >= size_of::<menlou_http_request>())?;
            let mut headers = HeaderMap::new();
            if raw.headers_len > MAX_HEADERS
                || raw.headers.is_null() && raw.headers_len > 0
                || raw.body.len > MAX_ARGUMENT
            {
                return None;
            }
            for i in 0..raw.headers_len {
                let header = &*raw.headers.add(i);
                let name = HeaderName::from_bytes(text(header.key)?.as_bytes()).ok()?;
                headers.append(name, HeaderValue::from_str(text(header.value)?).ok()?);
            }
            headers.entry("x-request-id").or_insert(HeaderValue::from_str(&call.request.id).ok()?);
            let timeout = match raw.timeout_ms {
                0 => TIMEOUT,
                ms => Duration::from_millis(ms.into()),
            };
            let request = HttpRequest {
                method: Method::from_bytes(text(raw.method)?.as_bytes()).ok()?,
                url: text(raw.url)?.to_owned(),
                headers,
                body: Bytes::copy_from_slice(raw.body.bytes()),
                timeout,
                repeatable: false,
            };
            Some(send(call.scope(), request))
        })
    }
}

fn send(scope: crate::TenantScope, request: HttpRequest) -> OpFuture {
    Box::pin(async move {
        match scope.services.http.send(request).await {
            Ok(response) => Ok(OpOutput::Http { status: response.status, body: response.body }),
            Err(failure @ (HttpFailure::NotSent(_) | HttpFailure::Unanswered(_))) => {
                Err(Error::new(&codes::UPSTREAM_UNREACHABLE).with_cause(failure))
            }
            Err(failure) => Err(Error::new(&codes::UPSTREAM_ERROR).with_cause(failure)),
        }
    })
}

pub(super) unsafe extern "C" fn sleep_ms(call: *mut menlou_call, ms: u64) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |_| {
            let sleep = tokio::time::sleep(Duration::from_millis(ms));
            Some(Box::pin(async move {
                sleep.await;
                Ok(OpOutput::Nothing)
            }))
        })
    }
}
