//! Host functions of bodies: chunks read and written by the plugin, and requests that the gateway forwards to an upstream.

use super::entry::{begin, guard};
use crate::configure::{ConfigureContext, UpstreamPointers};
use crate::ffi::{MAX_ARGUMENT, text};
use crate::operation::OpOutput;
use crate::plugin_call::PluginCall;
use crate::stream::{buffer, limited, read};
use ::menlou_upstream::{ForwardRequest, HealthCheckOptions, Upstream, UpstreamLabels, UpstreamOptions};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONNECTION},
};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use menlou_abi::*;
use std::{ptr, slice, time::Duration};

/// Timeout of a forwarded request for which the plugin sets none.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of headers that a forwarded request passes on, and of headers that it sets.
const MAX_HEADERS: usize = 64;
/// Maximum number of servers of an upstream.
const MAX_SERVERS: usize = 64;

pub(super) unsafe extern "C" fn upstream_new(
    setup: *mut menlou_setup,
    options: *const menlou_upstream_options,
) -> *mut menlou_upstream {
    guard(ptr::null_mut(), || {
        // SAFETY: see `entry`; `setup` is the pointer that `configure` got.
        unsafe {
            let (Some(context), Some(raw)) = (setup.cast::<ConfigureContext>().as_mut(), options.as_ref()) else {
                return ptr::null_mut();
            };
            match read_options(raw, context.labels()) {
                Some((pointers, options)) => context.add_upstream(options, &pointers),
                None => ptr::null_mut(),
            }
        }
    })
}

/// Converts the options of an upstream. `None` if one is invalid.
///
/// # Safety
/// See `entry`.
unsafe fn read_options(
    raw: &menlou_upstream_options,
    labels: UpstreamLabels,
) -> Option<(UpstreamPointers, UpstreamOptions)> {
    if (raw.struct_size as usize) < size_of::<menlou_upstream_options>() || raw.servers_len > MAX_SERVERS {
        return None;
    }
    // SAFETY: promised by the caller.
    unsafe {
        let servers = array(raw.servers, raw.servers_len)?.iter().map(|s| Some(text(*s)?.to_owned()));
        let health = Some(text(raw.health_path)?).filter(|path| !path.is_empty());
        let options = UpstreamOptions {
            labels,
            servers: servers.collect::<Option<_>>()?,
            break_after: raw.break_after,
            break_for: Duration::from_millis(raw.break_for_ms.into()),
            health: health.map(|path| HealthCheckOptions {
                path: path.to_owned(),
                interval: Duration::from_millis(raw.health_interval_ms.into()),
            }),
        };
        let pointers = UpstreamPointers {
            servers: text(raw.servers_pointer)?.to_owned(),
            health: text(raw.health_pointer)?.to_owned(),
        };
        Some((pointers, options))
    }
}

pub(super) unsafe extern "C" fn forward(call: *mut menlou_call, forward: *const menlou_forward) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let raw = forward.as_ref().filter(|r| r.struct_size as usize >= size_of::<menlou_forward>())?;
            if raw.flags & !MENLOU_FORWARD_KEEP_LOCATION != 0 {
                return None;
            }
            let keep_location = raw.flags & MENLOU_FORWARD_KEEP_LOCATION != 0;
            // A plugin may pass any pointer. It is valid only if it is one of this action's upstreams.
            let upstream = call.action.upstream(raw.upstream)?.clone();
            let (headers, path_and_query) = (headers(call, &upstream, raw)?, text(raw.target)?.to_owned());
            let body = match &call.request.unread {
                Some(unread) => unread.take()?,
                None if call.request.body.is_empty() => {
                    UnsyncBoxBody::new(Empty::new().map_err(|never| match never {}))
                }
                None => full(call.request.body.clone()),
            };
            let limit = if raw.max_body == 0 { u64::MAX } else { raw.max_body };
            let (method, retries) = (call.request.method.clone(), raw.retries);
            let http = call.action.scope.services.http.clone();
            let timeout = match raw.timeout_ms {
                0 => TIMEOUT,
                ms => Duration::from_millis(ms.into()),
            };
            Some(Box::pin(async move {
                let body = limited(body, limit)?;
                let forward = ForwardRequest { method, path_and_query, headers, body, timeout, retries, keep_location };
                Ok(OpOutput::Forwarded(upstream.forward(&http, forward).await?))
            }))
        })
    }
}

/// The headers of a forwarded request. `None` if one is invalid.
///
/// # Safety
/// See `entry`.
unsafe fn headers(call: &PluginCall, upstream: &Upstream, raw: &menlou_forward) -> Option<HeaderMap> {
    if raw.pass_headers_len > MAX_HEADERS || raw.headers_len > MAX_HEADERS {
        return None;
    }
    let mut headers = HeaderMap::new();
    // SAFETY: promised by the caller.
    unsafe {
        for name in array(raw.pass_headers, raw.pass_headers_len)? {
            let name = HeaderName::from_bytes(text(*name)?.as_bytes()).ok()?;
            for value in call.request.headers.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        for value in call.request.headers.get_all(CONNECTION) {
            headers.append(CONNECTION, value.clone());
        }
        let added = array(raw.headers, raw.headers_len)?;
        let names = added.iter().map(|header| text(header.key)).collect::<Option<Vec<_>>>()?;
        upstream.keep_end_to_end(&mut headers, &call.request.path, &names);
        for header in added {
            let name = HeaderName::from_bytes(text(header.key)?.as_bytes()).ok()?;
            headers.insert(name, HeaderValue::from_str(text(header.value)?).ok()?);
        }
    }
    headers.entry("x-request-id").or_insert(HeaderValue::from_str(&call.request.id).ok()?);
    headers.remove(AUTHORIZATION);
    Some(headers)
}

fn full(body: Bytes) -> ::menlou_call::BodyStream {
    UnsyncBoxBody::new(http_body_util::Full::new(body).map_err(|never| match never {}))
}

/// An array of a plugin. `None` if it is NULL but not empty.
///
/// # Safety
/// `first` is NULL or points to `len` values that are readable for `'a`.
unsafe fn array<'a, T>(first: *const T, len: usize) -> Option<&'a [T]> {
    match (first.is_null(), len) {
        (_, 0) => Some(&[]),
        (true, _) => None,
        // SAFETY: promised by the caller.
        (false, _) => Some(unsafe { slice::from_raw_parts(first, len) }),
    }
}

pub(super) unsafe extern "C" fn body_read(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe { begin(call, |call| Some(Box::pin(read(call.request.unread.clone()?)))) }
}

pub(super) unsafe extern "C" fn body_buffer(call: *mut menlou_call, max_len: u64) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe { begin(call, |call| Some(Box::pin(buffer(call.request.unread.clone()?, max_len)))) }
}

pub(super) unsafe extern "C" fn response_begin(call: *mut menlou_call, content_type: menlou_str) -> i32 {
    guard(MENLOU_ERR_FAILED, || {
        // SAFETY: see `entry`.
        match unsafe { (PluginCall::from_handle(call), text(content_type)) } {
            (Some(call), Some(content_type)) if call.begin_body(content_type) => MENLOU_READY,
            _ => MENLOU_ERR_INVALID,
        }
    })
}

pub(super) unsafe extern "C" fn response_write(call: *mut menlou_call, chunk: menlou_str) -> *mut menlou_op {
    // SAFETY: see `entry`.
    unsafe {
        begin(call, |call| {
            let (_, slot) = call.streamed().filter(|_| chunk.len <= MAX_ARGUMENT)?;
            let chunk = Bytes::copy_from_slice(chunk.bytes());
            Some(Box::pin(slot.write(chunk)))
        })
    }
}
