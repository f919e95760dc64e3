//! Takes what is asked for at the same time together: a change of threads costs more than most statements.

use tokio::{sync::mpsc::Receiver, task::yield_now};

/// Waits for a job, and takes with it what else waits, `most` in all. None where nobody is left to ask.
pub(super) async fn gather<J>(jobs: &mut Receiver<J>, most: usize) -> Option<Vec<J>> {
    let mut batch = Vec::with_capacity(jobs.len().clamp(1, most));
    if jobs.recv_many(&mut batch, most).await == 0 {
        return None;
    }
    // Who is about to ask comes along.
    yield_now().await;
    while batch.len() < most
        && let Ok(job) = jobs.try_recv()
    {
        batch.push(job);
    }
    Some(batch)
}
