//! Measures how far the replica is behind the primary.

use super::{
    connection::ConnectionManager,
    replica::{DEADLINE, MAX_LAG, Replica, millis},
};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::{sleep, timeout};

/// Interval of measurements.
const INTERVAL: Duration = Duration::from_millis(500);
/// Maximum time for which a commit may be visible before it is written to the log (with `synchronous_commit` off).
const MAX_UNWRITTEN: Duration = Duration::from_secs(1);

/// Measures the lag, and records in the replica up to which time it is complete; never returns.
pub(super) async fn measure(replica: Arc<Replica>, primary: Arc<ConnectionManager>) {
    // Times and positions of the primary's log, oldest first.
    let mut positions: VecDeque<(u64, i64)> = VecDeque::new();
    loop {
        sleep(INTERVAL).await;
        let now = replica.now();
        if let Some(position) = written(&primary).await {
            positions.push_back((now, position));
        }
        let Some(replayed) = replica.replayed().await else { continue };
        let mut complete = None;
        while let Some((at, position)) = positions.front().copied()
            && (position <= replayed || at + 2 * millis(MAX_LAG) < now)
        {
            positions.pop_front();
            if position <= replayed {
                complete = Some(at);
            }
        }
        if let Some(complete) = complete {
            replica.complete_to(complete.saturating_sub(millis(MAX_UNWRITTEN)));
        }
    }
}

/// Position up to which the primary's log is written, in bytes.
async fn written(primary: &ConnectionManager) -> Option<i64> {
    let pool = primary.pool().ok()?;
    let sql = "SELECT pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint";
    timeout(DEADLINE, sqlx::query_scalar(sql).fetch_one(&pool)).await.ok()?.ok()
}
