//! Settings that count how often they are released.

use crate::{Data, Params};
use menlou_plugin::prelude::*;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

static RELEASED: AtomicU64 = AtomicU64::new(0);

/// `[actions.set]`
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Set {
    /// Even numbers.
    even: Vec<u64>,
    /// Whether the check panics.
    panic: bool,
    #[serde(skip)]
    _counted: Counted,
}

impl Settings for Set {
    fn check(&self, errors: &mut ConfigErrors) {
        assert!(!self.panic, "requested by the setting");
        for (i, n) in self.even.iter().enumerate().filter(|(_, n)| *n % 2 == 1) {
            errors.add(format!("/even/{i}"), format!("{n} 不是偶数"), format!("{n} is odd"));
        }
    }
}

#[derive(Default)]
struct Counted;

impl Drop for Counted {
    fn drop(&mut self) {
        RELEASED.fetch_add(1, Ordering::SeqCst);
    }
}

/// Waits `n` ms, then returns the sum of its settings.
pub async fn set(call: &Call<Set>, params: Params) -> Result<Data> {
    call.sleep(Duration::from_millis(params.n)).await?;
    Ok(Data { n: call.settings().even.iter().sum(), text: RELEASED.load(Ordering::SeqCst).to_string() })
}

pub async fn released(_: &Call, _: ()) -> Result<Data> {
    Ok(Data { n: RELEASED.load(Ordering::SeqCst), ..Data::default() })
}
