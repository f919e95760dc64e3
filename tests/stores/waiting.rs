//! Waits for conditions.

use std::{future::Future, time::Duration};
use tokio::time::{Instant, sleep};

/// Waits until `condition` holds, and asserts that it does within `limit`.
pub async fn within<F: Future<Output = bool>>(limit: Duration, what: &str, mut condition: impl FnMut() -> F) {
    let start = Instant::now();
    while !condition().await {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        // The interval of the polls.
        sleep(Duration::from_millis(10)).await;
    }
}
