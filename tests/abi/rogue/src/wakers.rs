//! Wakers: many in an executor inside the plugin, some used on other threads, some kept beyond the call.

use crate::{Data, Params};
use futures_util::{StreamExt, stream::FuturesUnordered};
use menlou_plugin::prelude::*;
use std::{
    future::poll_fn,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Poll, Waker},
    thread,
    time::Duration,
};

static KEPT: Mutex<Option<Waker>> = Mutex::new(None);

/// Waits for `n` timers at the same time, and returns how often it was polled.
pub async fn many(call: &Call, params: Params) -> Result<Data> {
    let mut waits: FuturesUnordered<_> =
        (0..params.n).map(|i| call.sleep(Duration::from_millis(20 * (i % 5)))).collect();
    let mut polls = 0;
    let mut all = pin!(async {
        let mut done = 0;
        while let Some(waited) = waits.next().await {
            waited?;
            done += 1;
        }
        Ok(done)
    });
    let done: u64 = poll_fn(|cx| {
        polls += 1;
        all.as_mut().poll(cx)
    })
    .await
    .inspect_err(|e: &Error| call.log(Level::Error, &e.to_string(), &[]))?;
    Ok(Data { n: polls, text: done.to_string() })
}

/// Waits for a thread of its own, `n` times in a row.
pub async fn thread_wakes(_: &Call, params: Params) -> Result<Data> {
    for _ in 0..params.n {
        let (done, mut started) = (Arc::new(AtomicBool::new(false)), false);
        poll_fn(|cx| {
            if !std::mem::replace(&mut started, true) {
                let (done, waker) = (done.clone(), cx.waker().clone());
                thread::spawn(move || {
                    done.store(true, Ordering::Release);
                    waker.wake();
                });
            }
            if done.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
    Ok(Data { n: params.n, ..Data::default() })
}

/// Keeps its waker beyond the end of the call.
pub async fn keep(_: &Call, _: ()) -> Result<Data> {
    *kept() = Some(poll_fn(|cx| Poll::Ready(cx.waker().clone())).await);
    Ok(Data::default())
}

/// Wakes the kept waker, here and on another thread.
pub async fn wake_kept(_: &Call, _: ()) -> Result<Data> {
    let waker = kept().take();
    let found = waker.is_some();
    if let Some(waker) = waker {
        waker.wake_by_ref();
        thread::spawn(move || waker.wake()).join().map_err(|_| Error::internal("waking panicked"))?;
    }
    Ok(Data { n: found.into(), ..Data::default() })
}

fn kept() -> std::sync::MutexGuard<'static, Option<Waker>> {
    KEPT.lock().unwrap_or_else(PoisonError::into_inner)
}
