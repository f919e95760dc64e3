//! Panics wherever one can happen.
#![expect(clippy::panic, reason = "it is what this is for")]

use crate::{Data, Params};
use menlou_plugin::prelude::*;
use std::{future::pending, time::Duration};

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in a Drop");
    }
}

/// Not an async fn: it panics before there is a future, with `n` of 0; else at the first poll.
pub fn now(_: &Call, params: Params) -> impl Future<Output = Result<Data>> + Send + use<> {
    assert!(params.n > 0, "before there is a future");
    async { panic!("a code that is secret: 12345678") }
}

pub async fn later(call: &Call, _: Params) -> Result<Data> {
    call.sleep(Duration::from_millis(1)).await?;
    // The payload's own Drop panics as well.
    std::panic::panic_any(PanicsInDrop)
}

/// Panics at its end; with `n` it never ends, and panics when it is given up.
pub async fn in_drop(call: &Call, params: Params) -> Result<Data> {
    let _late = PanicsInDrop;
    call.sleep(Duration::from_millis(1)).await?;
    if params.n > 0 {
        pending::<()>().await;
    }
    Ok(Data::default())
}
