//! Takes expired sessions and shared values away, a few at a time so that nobody waits for it.

use super::{
    super::clock,
    writer::{Durability, Writer},
};
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

const EVERY: Duration = Duration::from_secs(60);
/// Rows per transaction.
const FEW: u32 = 500;

const STATEMENTS: [&str; 2] = [
    "DELETE FROM sessions WHERE (tenant, token) IN (SELECT tenant, token FROM sessions WHERE expires_at <= ? LIMIT ?)",
    "DELETE FROM shared WHERE (tenant, key) IN (SELECT tenant, key FROM shared WHERE expires_at <= ? LIMIT ?)",
];

/// Sweeps at once and then every minute, for ever.
pub(super) async fn run(writer: Writer) {
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for statement in STATEMENTS {
            while sweep(&writer, statement).await == FEW as usize {}
        }
    }
}

/// How many rows went; none where the file can't be written now, which the writer has logged.
async fn sweep(writer: &Writer, statement: &'static str) -> usize {
    let swept = writer.run(Durability::Process, move |connection| {
        connection.prepare_cached(statement)?.execute((clock::millis(), FEW))
    });
    swept.await.unwrap_or(0)
}
