//! Calls that never end, leaked operations, and operations on the wrong thread.

use crate::{Data, Params};
use menlou_plugin::prelude::*;
use std::{
    future::{pending, poll_fn},
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll},
    thread,
    time::Duration,
};

static LIVE: AtomicU64 = AtomicU64::new(0);

struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::SeqCst);
    }
}

pub async fn echo(_: &Call, params: Params) -> Result<Data> {
    Ok(Data { n: params.n, text: params.text })
}

/// Never completes. With `n`, an operation is pending.
pub async fn never(call: &Call, params: Params) -> Result<Data> {
    LIVE.fetch_add(1, Ordering::SeqCst);
    let _counted = Counted;
    if params.n > 0 {
        call.sleep(Duration::from_secs(3600)).await?;
    }
    pending().await
}

/// Starts a GET of the URL `text` and leaks the operation. With `n`, the call does not end either.
pub async fn leak(call: &Call, params: Params) -> Result<Data> {
    let timeout = Some(Duration::from_secs(600));
    let request = menlou_plugin::HttpRequest { method: "GET", url: &params.text, timeout, ..Default::default() };
    let mut operation = Box::pin(call.http(&request));
    let is_pending = poll_fn(|cx| Poll::Ready(operation.as_mut().poll(cx).is_pending())).await;
    std::mem::forget(operation);
    if params.n > 0 {
        pending::<()>().await;
    }
    Ok(Data { n: is_pending.into(), ..Data::default() })
}

/// Blocks its thread for `n` ms.
pub async fn block(_: &Call, params: Params) -> Result<Data> {
    thread::sleep(Duration::from_millis(params.n));
    Ok(Data { n: params.n, ..Data::default() })
}

/// Number of running calls of `never`.
pub async fn live(_: &Call, _: ()) -> Result<Data> {
    Ok(Data { n: LIVE.load(Ordering::SeqCst), ..Data::default() })
}

/// Starts and polls an operation on a thread of its own. With `n`, the operation is started here and polled there.
pub async fn elsewhere(call: &Call, params: Params) -> Result<Data> {
    poll_fn(|cx| {
        let started = (params.n > 0).then(|| call.sleep(Duration::ZERO));
        let waker = cx.waker();
        let done = thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let started = started.unwrap_or_else(|| call.sleep(Duration::ZERO));
                pin!(started).poll(&mut Context::from_waker(waker)).is_ready()
            });
            thread.join()
        });
        match done {
            Ok(done) => Poll::Ready(Ok(Data { n: done.into(), ..Data::default() })),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
    .await
}

/// Starts a timer and an exchange of the code `text`, polls each once, and drops them on a thread of its own.
pub async fn dropped_elsewhere(call: &Call, params: Params) -> Result<Data> {
    poll_fn(|cx| {
        let mut sleep = Box::pin(call.sleep(Duration::from_secs(3600)));
        let mut exchange = Box::pin(call.exchange(&params.text, Duration::from_secs(1)));
        let pending = [sleep.as_mut().poll(cx).is_pending(), exchange.as_mut().poll(cx).is_pending()];
        thread::scope(|scope| scope.spawn(|| drop((sleep, exchange))).join().is_ok());
        Poll::Ready(Ok(Data { n: pending.iter().map(|p| u64::from(*p)).sum(), ..Data::default() }))
    })
    .await
}
