//! Large bodies, for plugins: read and written piece by piece, or moved by the gateway between client and upstream.

use super::begin;
use crate::configure::{Pointers, Setup};
use crate::ffi::{LONGEST, text};
use crate::operation::OpOutput;
use crate::plugin_call::PluginCall;
use crate::stream::{limited, read};
use ::menlou_upstream::{Forward, Health, Labels, Options, end_to_end};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONNECTION},
};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};
use menlou_abi::*;
use std::{ptr, slice, time::Duration};

// SAFETY of all that is `unsafe` here: see the module's head.

/// How long an upstream may take where the plugin says nothing.
const TIMEOUT: Duration = Duration::from_secs(10);
/// No call passes or sets more headers.
const MAX_HEADERS: usize = 64;
/// An upstream has no more servers.
const MAX_SERVERS: usize = 64;

pub(super) unsafe extern "C" fn upstream_new(
    setup: *mut menlou_setup,
    options: *const menlou_upstream_options,
) -> *mut menlou_upstream {
    super::guard(ptr::null_mut(), || {
        // SAFETY: as above; `setup` is what `configure` was given.
        unsafe {
            let (Some(setup), Some(raw)) = (setup.cast::<Setup>().as_mut(), options.as_ref()) else {
                return ptr::null_mut();
            };
            match read_options(raw, setup.labels()) {
                Some((pointers, options)) => setup.upstream(options, &pointers),
                None => ptr::null_mut(),
            }
        }
    })
}

/// # Safety
/// As above.
unsafe fn read_options(raw: &menlou_upstream_options, labels: Labels) -> Option<(Pointers, Options)> {
    if (raw.struct_size as usize) < size_of::<menlou_upstream_options>() || raw.servers_len > MAX_SERVERS {
        return None;
    }
    // SAFETY: the caller's promise.
    unsafe {
        let servers = array(raw.servers, raw.servers_len)?.iter().map(|s| Some(text(*s)?.to_owned()));
        let health = Some(text(raw.health_path)?).filter(|path| !path.is_empty());
        let options = Options {
            labels,
            servers: servers.collect::<Option<_>>()?,
            break_after: raw.break_after,
            break_for: Duration::from_millis(raw.break_for_ms.into()),
            health: health.map(|path| Health {
                path: path.to_owned(),
                interval: Duration::from_millis(raw.health_interval_ms.into()),
            }),
        };
        let pointers =
            Pointers { servers: text(raw.servers_pointer)?.to_owned(), health: text(raw.health_pointer)?.to_owned() };
        Some((pointers, options))
    }
}

pub(super) unsafe extern "C" fn forward(call: *mut menlou_call, forward: *const menlou_forward) -> *mut menlou_op {
    // SAFETY: as above.
    unsafe {
        begin(call, |flight| {
            let raw = forward.as_ref().filter(|r| r.struct_size as usize >= size_of::<menlou_forward>())?;
            // A pointer is no proof: only an upstream of this very action is one.
            let upstream = flight.action.upstream(raw.upstream)?.clone();
            let (headers, path_and_query) = (headers(flight, raw)?, text(raw.target)?.to_owned());
            let body = match &flight.call.unread {
                Some(unread) => unread.take()?,
                None if flight.call.body.is_empty() => UnsyncBoxBody::new(Empty::new().map_err(|never| match never {})),
                None => whole(flight.call.body.clone()),
            };
            let limit = if raw.max_body == 0 { u64::MAX } else { raw.max_body };
            let (method, retries) = (flight.call.method.clone(), raw.retries);
            let http = flight.action.scope.services.http.clone();
            let timeout = match raw.timeout_ms {
                0 => TIMEOUT,
                ms => Duration::from_millis(ms.into()),
            };
            Some(Box::pin(async move {
                let body = limited(body, limit)?;
                let forward = Forward { method, path_and_query, headers, body, timeout, retries };
                Ok(OpOutput::Forwarded(upstream.forward(&http, forward).await?))
            }))
        })
    }
}

/// # Safety
/// As above.
unsafe fn headers(flight: &PluginCall, raw: &menlou_forward) -> Option<HeaderMap> {
    if raw.pass_len > MAX_HEADERS || raw.headers_len > MAX_HEADERS {
        return None;
    }
    let mut headers = HeaderMap::new();
    // SAFETY: the caller's promise.
    unsafe {
        for name in array(raw.pass, raw.pass_len)? {
            let name = HeaderName::from_bytes(text(*name)?.as_bytes()).ok()?;
            for value in flight.call.headers.get_all(&name) {
                headers.append(&name, value.clone());
            }
        }
        for value in flight.call.headers.get_all(CONNECTION) {
            headers.append(CONNECTION, value.clone());
        }
        end_to_end(&mut headers);
        for header in array(raw.headers, raw.headers_len)? {
            let name = HeaderName::from_bytes(text(header.key)?.as_bytes()).ok()?;
            headers.insert(name, HeaderValue::from_str(text(header.value)?).ok()?);
        }
    }
    headers.entry("x-request-id").or_insert(HeaderValue::from_str(&flight.call.id).ok()?);
    headers.remove(AUTHORIZATION);
    Some(headers)
}

fn whole(body: Bytes) -> ::menlou_call::Pieces {
    UnsyncBoxBody::new(http_body_util::Full::new(body).map_err(|never| match never {}))
}

/// # Safety
/// `first` is NULL or the first of `len` values that can be read for `'a`.
unsafe fn array<'a, T>(first: *const T, len: usize) -> Option<&'a [T]> {
    match (first.is_null(), len) {
        (_, 0) => Some(&[]),
        (true, _) => None,
        // SAFETY: the caller's promise.
        (false, _) => Some(unsafe { slice::from_raw_parts(first, len) }),
    }
}

pub(super) unsafe extern "C" fn body_read(call: *mut menlou_call) -> *mut menlou_op {
    // SAFETY: as above.
    unsafe { begin(call, |flight| Some(Box::pin(read(flight.call.unread.clone()?)))) }
}

pub(super) unsafe extern "C" fn answer_begin(call: *mut menlou_call, content_type: menlou_str) -> i32 {
    super::guard(MENLOU_ERR_FAILED, || {
        // SAFETY: as above.
        match unsafe { (PluginCall::of(call), text(content_type)) } {
            (Some(flight), Some(content_type)) if flight.begin_writing(content_type) => MENLOU_READY,
            _ => MENLOU_ERR_INVALID,
        }
    })
}

pub(super) unsafe extern "C" fn answer_write(call: *mut menlou_call, piece: menlou_str) -> *mut menlou_op {
    // SAFETY: as above.
    unsafe {
        begin(call, |flight| {
            let slot = flight.slot().filter(|_| piece.len <= LONGEST)?;
            let piece = Bytes::copy_from_slice(piece.bytes());
            Some(Box::pin(slot.write(piece)))
        })
    }
}
