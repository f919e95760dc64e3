//! An action's future as the gateway drives it: `start`, `poll`, `drop`.
//!
//! **Wakers.** The gateway keeps only wakers of its own. The action's future is polled with a root waker that turns a
//! clone into a handle of the gateway's; operations that executors inside the plugin (`FuturesUnordered`, …) wait for
//! with wakers of their own are [`ParkedOperations`], and asked at the next poll.

use crate::{
    Call, Error, Response, Result, ffi,
    handler::{Handler, HandlerFor},
    operation::{CurrentCall, CurrentCallGuard, ParkedOperations},
    panic_guard, params,
    response::IntoResponse,
    waker::RootWaker,
};
use menlou_abi::*;
use serde::de::DeserializeOwned;
use std::{
    ffi::c_void,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

type Fut<H, S, P, D> = <H as HandlerFor<'static, S, P, D>>::Fut;

/// The state of one call. `future` borrows from `call`, so the whole never moves, and `future` goes first.
struct Task<S: 'static, F> {
    future: Option<F>,
    refused: Option<Error>,
    parked: ParkedOperations,
    call: Call<S>,
}

/// # Safety
/// As the border says of `start`: `host` lives for ever, `request` and `settings` until `drop`.
pub(crate) unsafe extern "C" fn start<H, S, P, D>(
    host: *const menlou_host,
    call: *mut menlou_call,
    request: *const menlou_request,
    settings: *const c_void,
    out: *mut *mut c_void,
) -> i32
where
    H: Handler<S, P, D>,
    S: Send + Sync + 'static,
    P: DeserializeOwned,
    D: IntoResponse,
{
    panic_guard::run(|| {
        // SAFETY: the border's promises, repeated above.
        let shared = unsafe { Call::new(&*host, request, settings.cast::<S>()) };
        let task = Box::new(Task::<S, Fut<H, S, P, D>> {
            future: None,
            refused: None,
            parked: ParkedOperations::default(),
            call: shared,
        });
        let params = params::read::<P>(task.call.raw_params());
        let task = Box::into_raw(task);
        // SAFETY: from the box just made; nobody else has it. Who has a `start` of `H` gave it to `Action::new`.
        unsafe {
            match params {
                Ok(params) => {
                    let inside = CurrentCallGuard::new(CurrentCall { call, parked: &raw const (*task).parked });
                    let made = panic_guard::run(|| {
                        // `call` lives in the box as long as the future does.
                        (*task).future = Some(H::function().call(&(*task).call, params));
                        MENLOU_READY
                    });
                    drop(inside);
                    if made != MENLOU_READY {
                        drop(Box::from_raw(task));
                        return made;
                    }
                }
                Err(refused) => (*task).refused = Some(refused),
            }
            *out = task.cast();
        }
        MENLOU_READY
    })
}

/// # Safety
/// `state` came from [`start`] with the same types and was not dropped.
pub(crate) unsafe extern "C" fn poll<H, S, P, D>(state: *mut c_void, call: *mut menlou_call) -> i32
where
    H: Handler<S, P, D>,
    S: Send + Sync + 'static,
    P: DeserializeOwned,
    D: IntoResponse,
{
    panic_guard::run(|| {
        let task = state.cast::<Task<S, Fut<H, S, P, D>>>();
        // SAFETY: ours (see above); only this thread polls; shared and exclusive parts are reached one by one, because
        // the future holds a reference to `call`.
        let (host, parked, refused, future) =
            unsafe { ((*task).call.host, &(*task).parked, &mut (*task).refused, &mut (*task).future) };
        let result = match (refused.take(), future) {
            (Some(refused), _) => Err(refused),
            (None, None) => return MENLOU_ERR_INVALID,
            (None, Some(future)) => {
                let _inside = CurrentCallGuard::new(CurrentCall { call, parked });
                parked.wake_ready(call);
                let root = RootWaker { host, call };
                // SAFETY: inside this poll, at whose end both go.
                let waker = unsafe { root.waker() };
                // SAFETY: the task never moves.
                match unsafe { Pin::new_unchecked(future) }.poll(&mut Context::from_waker(&waker)) {
                    Poll::Pending => return MENLOU_PENDING,
                    Poll::Ready(result) => result,
                }
            }
        };
        reply(host, call, result)
    })
}

/// # Safety
/// `state` came from [`start`] with the same types; this is its end.
pub(crate) unsafe extern "C" fn drop_task<H, S, P, D>(state: *mut c_void)
where
    H: Handler<S, P, D>,
    S: Send + Sync + 'static,
    P: DeserializeOwned,
    D: IntoResponse,
{
    let task = state.cast::<Task<S, Fut<H, S, P, D>>>();
    panic_guard::run(|| {
        // SAFETY: the caller's promise. The future goes before the box is made again, because it borrows from it.
        unsafe { (*task).future = None }
        MENLOU_READY
    });
    panic_guard::run(|| {
        // SAFETY: the caller's promise. The future is gone, also where its own Drop panicked.
        drop(unsafe { Box::from_raw(task) });
        MENLOU_READY
    });
}

fn reply<D: IntoResponse>(host: &menlou_host, call: *mut menlou_call, result: Result<D>) -> i32 {
    let (mut file, mut given) = (None, false);
    let (data, error) = match result.and_then(|answer| match answer.into_response() {
        Response::Data(data) => Ok(serde_json::to_vec(&data)?),
        Response::File { content_type, body } => {
            file = Some((content_type, body));
            Ok(Vec::new())
        }
        Response::Sent(_) => {
            given = true;
            Ok(Vec::new())
        }
    }) {
        Ok(_) if given => return MENLOU_READY,
        Ok(data) => (data, None),
        Err(e) => (e.data().map(|d| d.to_string().into_bytes()).unwrap_or_default(), Some(e)),
    };
    let (content_type, body) =
        file.as_ref().map_or((menlou_str::NONE, menlou_str::NONE), |(t, b)| (ffi::str(t), menlou_str::new(b)));
    let mut raw = menlou_reply {
        struct_size: size_of::<menlou_reply>() as u32,
        reserved: 0,
        error_code: menlou_str::NONE,
        msg_zh: menlou_str::NONE,
        msg_en: menlou_str::NONE,
        data: if data.is_empty() || data == b"null" { menlou_str::NONE } else { menlou_str::new(&data) },
        content_type,
        body,
    };
    if let Some(e) = &error {
        raw.error_code = ffi::str(e.code());
        raw.msg_zh = ffi::option(Some(e.0.zh.as_ref()).filter(|t| !t.is_empty()));
        raw.msg_en = ffi::option(Some(e.0.en.as_ref()).filter(|t| !t.is_empty()));
        if let Some(cause) = &e.0.cause {
            crate::log::write(host, call, crate::Level::Error, "the action failed", &[("cause", cause)]);
        }
    }
    // SAFETY: inside `poll` of this call; everything is copied.
    unsafe { (host.reply)(call, &raw) }
}
