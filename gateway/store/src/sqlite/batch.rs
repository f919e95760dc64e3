//! Collects jobs that arrive together: a change of threads costs more than most statements.

use tokio::{sync::mpsc::Receiver, task::yield_now};

/// Waits for a job, and returns it with up to `max - 1` others that are queued. `None` where all senders are gone.
pub(super) async fn next_batch<J>(jobs: &mut Receiver<J>, max: usize) -> Option<Vec<J>> {
    let mut batch = Vec::with_capacity(jobs.len().clamp(1, max));
    if jobs.recv_many(&mut batch, max).await == 0 {
        return None;
    }
    // Tasks that are about to send get the chance to join this batch.
    yield_now().await;
    while batch.len() < max
        && let Ok(job) = jobs.try_recv()
    {
        batch.push(job);
    }
    Some(batch)
}
