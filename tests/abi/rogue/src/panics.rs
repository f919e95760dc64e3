//! Panics at every point of a call.
#![expect(clippy::panic, reason = "this module tests panics")]

use crate::{Data, Params};
use menlou_plugin::prelude::*;
use std::{future::pending, time::Duration};

struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic!("in a Drop");
    }
}

/// Panics before it returns a future if `n` is 0, otherwise at the first poll. It is not an `async fn` for that reason.
pub fn now(_: &Call, params: Params) -> impl Future<Output = Result<Data>> + Send + use<> {
    assert!(params.n > 0, "before there is a future");
    async { panic!("a code that is secret: 12345678") }
}

pub async fn later(call: &Call, _: Params) -> Result<Data> {
    call.sleep(Duration::from_millis(1)).await?;
    // The payload panics in its `Drop` as well.
    std::panic::panic_any(PanicsInDrop)
}

/// Panics at its end. With `n` it never ends, and panics when it is cancelled.
pub async fn in_drop(call: &Call, params: Params) -> Result<Data> {
    let _late = PanicsInDrop;
    call.sleep(Duration::from_millis(1)).await?;
    if params.n > 0 {
        pending::<()>().await;
    }
    Ok(Data::default())
}
