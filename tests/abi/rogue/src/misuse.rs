//! Calls that never end, and services used where they must not be.

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

/// Waits for what never comes; with `n`, with an operation under way.
pub async fn never(call: &Call, params: Params) -> Result<Data> {
    LIVE.fetch_add(1, Ordering::SeqCst);
    let _counted = Counted;
    if params.n > 0 {
        call.sleep(Duration::from_secs(3600)).await?;
    }
    pending().await
}

/// Begins a GET of the URL `text`, and gives it back neither here nor later; with `n`, the call doesn't end either.
pub async fn leak(call: &Call, params: Params) -> Result<Data> {
    let timeout = Some(Duration::from_secs(600));
    let request = menlou_plugin::HttpRequest { method: "GET", url: &params.text, timeout, ..Default::default() };
    let mut asked = Box::pin(call.http(&request));
    let waits = poll_fn(|cx| Poll::Ready(asked.as_mut().poll(cx).is_pending())).await;
    std::mem::forget(asked);
    if params.n > 0 {
        pending::<()>().await;
    }
    Ok(Data { n: waits.into(), ..Data::default() })
}

/// Keeps its thread for `n` ms.
pub async fn block(_: &Call, params: Params) -> Result<Data> {
    thread::sleep(Duration::from_millis(params.n));
    Ok(Data { n: params.n, ..Data::default() })
}

/// How many calls of `never` there are.
pub async fn live(_: &Call, _: ()) -> Result<Data> {
    Ok(Data { n: LIVE.load(Ordering::SeqCst), ..Data::default() })
}

/// Asks for a service on a thread of its own; with `n`, it is begun here and only polled there.
pub async fn elsewhere(call: &Call, params: Params) -> Result<Data> {
    poll_fn(|cx| {
        let begun = (params.n > 0).then(|| call.sleep(Duration::ZERO));
        let waker = cx.waker();
        let done = thread::scope(|scope| {
            let there = scope.spawn(move || {
                let begun = begun.unwrap_or_else(|| call.sleep(Duration::ZERO));
                pin!(begun).poll(&mut Context::from_waker(waker)).is_ready()
            });
            there.join()
        });
        match done {
            Ok(done) => Poll::Ready(Ok(Data { n: done.into(), ..Data::default() })),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
    .await
}

/// Begins services, polls each once, and drops them on a thread of its own: a wait, and with `text` an exchange.
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
