//! The functions `start`, `poll` and `drop` of an action, which drive its future.
//!
//! **Wakers.** The gateway stores only wakers of its own. The action's future is polled with a root waker, whose clones
//! are waker handles of the gateway. Executors inside the plugin (`FuturesUnordered`, …) wait for operations with wakers
//! of their own; such operations are [`ParkedOperations`] and are polled at the next poll of the call.

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

/// The state of one call. `future` borrows from `call`, so a task never moves, and `future` is dropped first.
struct Task<S: 'static, F> {
    future: Option<F>,
    invalid_params: Option<Error>,
    parked: ParkedOperations,
    call: Call<S>,
}

/// # Safety
/// The ABI's contract of `start`: `host` is valid until the process ends, `request` and `settings` until `drop`.
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
        // SAFETY: the caller's contract.
        let shared = unsafe { Call::new(&*host, request, settings.cast::<S>()) };
        let task = Box::new(Task::<S, Fut<H, S, P, D>> {
            future: None,
            invalid_params: None,
            parked: ParkedOperations::default(),
            call: shared,
        });
        let params = params::read::<P>(task.call.raw_params());
        let task = Box::into_raw(task);
        // SAFETY: `task` was just allocated and is not shared. `H` was passed to `Action::new`, which made this function.
        unsafe {
            match params {
                Ok(params) => {
                    let inside = CurrentCallGuard::new(CurrentCall { call, parked: &raw const (*task).parked });
                    let made = panic_guard::run(|| {
                        // `call` is in the same allocation as the future.
                        (*task).future = Some(H::function().call(&(*task).call, params));
                        MENLOU_READY
                    });
                    drop(inside);
                    if made != MENLOU_READY {
                        drop(Box::from_raw(task));
                        return made;
                    }
                }
                Err(error) => (*task).invalid_params = Some(error),
            }
            *out = task.cast();
        }
        MENLOU_READY
    })
}

/// # Safety
/// `state` came from [`start`] with the same types and has not been dropped.
pub(crate) unsafe extern "C" fn poll<H, S, P, D>(state: *mut c_void, call: *mut menlou_call) -> i32
where
    H: Handler<S, P, D>,
    S: Send + Sync + 'static,
    P: DeserializeOwned,
    D: IntoResponse,
{
    panic_guard::run(|| {
        let task = state.cast::<Task<S, Fut<H, S, P, D>>>();
        // SAFETY: the caller's contract; only this thread polls. The fields are borrowed one by one, because the future
        // holds a reference to `call`.
        let (host, parked, invalid_params, future) =
            unsafe { ((*task).call.host, &(*task).parked, &mut (*task).invalid_params, &mut (*task).future) };
        let result = match (invalid_params.take(), future) {
            (Some(error), _) => Err(error),
            (None, None) => return MENLOU_ERR_INVALID,
            (None, Some(future)) => {
                let _inside = CurrentCallGuard::new(CurrentCall { call, parked });
                parked.wake_ready(call);
                let root = RootWaker { host, call };
                // SAFETY: inside this poll; waker and root are dropped at its end.
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
/// `state` came from [`start`] with the same types; it must not be used afterwards.
pub(crate) unsafe extern "C" fn drop_task<H, S, P, D>(state: *mut c_void)
where
    H: Handler<S, P, D>,
    S: Send + Sync + 'static,
    P: DeserializeOwned,
    D: IntoResponse,
{
    let task = state.cast::<Task<S, Fut<H, S, P, D>>>();
    panic_guard::run(|| {
        // SAFETY: the caller's contract. The future is dropped before the box is restored, because it borrows from it.
        unsafe { (*task).future = None }
        MENLOU_READY
    });
    panic_guard::run(|| {
        // SAFETY: the caller's contract. The future is dropped, even if its Drop panicked.
        drop(unsafe { Box::from_raw(task) });
        MENLOU_READY
    });
}

fn reply<D: IntoResponse>(host: &menlou_host, call: *mut menlou_call, result: Result<D>) -> i32 {
    let (mut file, mut sent) = (None, false);
    let (data, error) = match result.and_then(|output| match output.into_response() {
        Response::Data(data) => Ok(serde_json::to_vec(&data)?),
        Response::File { content_type, body } => {
            file = Some((content_type, body));
            Ok(Vec::new())
        }
        Response::Sent(_) => {
            sent = true;
            Ok(Vec::new())
        }
    }) {
        Ok(_) if sent => return MENLOU_READY,
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
    // SAFETY: inside `poll` of this call; the gateway copies the reply.
    unsafe { (host.reply)(call, &raw) }
}
