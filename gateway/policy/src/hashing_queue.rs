//! A fair queue for password hashing: each hash occupies a core for a while, so tenants take turns, and a tenant that sends
//! more logins than its share of the queue holds has its own logins rejected.

use menlou_error::{Error, Result, codes, text::Text};
use metrics::counter;
use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};

/// Maximum time that a login waits for its turn.
const MAX_QUEUE_TIME: Duration = Duration::from_secs(5);
/// Maximum number of logins of one tenant that wait, for each hash that may run at a time: one to two seconds of work.
const MAX_WAITING_PER_SLOT: usize = 32;
/// `Retry-After` of a rejected login.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Bounds the number of concurrent hashes, and shares them among tenants.
pub struct HashingQueue {
    max_waiting: usize,
    state: Mutex<QueueState>,
}

struct QueueState {
    /// Slots that are free. While one is free, nobody waits.
    free: usize,
    /// The logins that wait, by tenant; no queue is empty.
    waiting: HashMap<String, VecDeque<oneshot::Sender<HashingPermit>>>,
    /// The tenants with logins that wait, each once, the next one first.
    turns: VecDeque<String>,
}

/// The right to compute one hash. Dropping it gives the slot to the next tenant's login.
pub struct HashingPermit(Option<Arc<HashingQueue>>);

impl HashingQueue {
    /// A queue for this number of concurrent hashes, at least one.
    pub fn new(slots: usize) -> Arc<Self> {
        let free = slots.max(1);
        let state = QueueState { free, waiting: HashMap::new(), turns: VecDeque::new() };
        Arc::new(Self { max_waiting: free * MAX_WAITING_PER_SLOT, state: Mutex::new(state) })
    }

    /// Rejects a login of a tenant whose part of the queue is full. Call this before any work is done for the login.
    ///
    /// # Errors
    /// `overloaded`.
    pub fn check(&self, tenant: &str) -> Result<()> {
        if self.lock().is_full(tenant, self.max_waiting) { Err(rejection(tenant)) } else { Ok(()) }
    }

    /// Waits for the turn of a login of this tenant.
    ///
    /// # Errors
    /// `overloaded` if the tenant's part of the queue is full, or the turn does not come within 5 s.
    pub async fn acquire(self: &Arc<Self>, tenant: &str) -> Result<HashingPermit> {
        let turn = {
            let mut state = self.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(HashingPermit(Some(self.clone())));
            }
            if state.is_full(tenant, self.max_waiting) {
                return Err(rejection(tenant));
            }
            let (sender, turn) = oneshot::channel();
            state.push(tenant, sender);
            turn
        };
        match timeout(MAX_QUEUE_TIME, turn).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(rejection(tenant)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl QueueState {
    fn is_full(&mut self, tenant: &str, max_waiting: usize) -> bool {
        let Some(queue) = self.waiting.get_mut(tenant).filter(|queue| queue.len() >= max_waiting) else { return false };
        // Clients that disconnected do not wait any more.
        queue.retain(|login| !login.is_closed());
        let is_full = queue.len() >= max_waiting;
        if queue.is_empty() {
            self.waiting.remove(tenant);
            self.turns.retain(|waiting| waiting != tenant);
        }
        is_full
    }

    fn push(&mut self, tenant: &str, login: oneshot::Sender<HashingPermit>) {
        if let Some(queue) = self.waiting.get_mut(tenant) {
            queue.push_back(login);
        } else {
            self.waiting.insert(tenant.to_owned(), VecDeque::from([login]));
            self.turns.push_back(tenant.to_owned());
        }
    }

    /// The next login: of the tenant whose turn it is, the one that waits longest.
    fn pop(&mut self) -> Option<oneshot::Sender<HashingPermit>> {
        let tenant = self.turns.pop_front()?;
        let queue = self.waiting.get_mut(&tenant)?;
        let login = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&tenant);
        } else {
            self.turns.push_back(tenant);
        }
        login
    }
}

impl Drop for HashingPermit {
    fn drop(&mut self) {
        let Some(queue) = self.0.take() else { return };
        loop {
            let next = {
                let mut state = queue.lock();
                let next = state.pop();
                state.free += usize::from(next.is_none());
                next
            };
            // Sent without the lock, because a permit that is dropped takes the lock.
            match next.map(|login| login.send(Self(Some(queue.clone())))) {
                None | Some(Ok(())) => return,
                // The client has disconnected: the slot goes to the next login.
                Some(Err(mut returned)) => returned.0 = None,
            }
        }
    }
}

fn rejection(tenant: &str) -> Error {
    // The label comes from configuration, never from a request.
    counter!("menlou_requests_shed_total", "reason" => "password_hashing", "tenant" => tenant.to_owned()).increment(1);
    let text = Text::fixed("登录人数较多，请稍后再试", "Many people are logging in; try again shortly.");
    Error::new(&codes::OVERLOADED).with_message(text).retry_after(RETRY_AFTER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn is_ready<T>(future: std::pin::Pin<&mut impl Future<Output = T>>) -> Option<T> {
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn tenants_take_turns() {
        let queue = HashingQueue::new(1);
        let first = queue.acquire("flood").await.unwrap();
        let mut flood: Vec<_> = (0..3).map(|_| Box::pin(queue.acquire("flood"))).collect();
        for login in &mut flood {
            assert!(is_ready(login.as_mut()).is_none());
        }
        let mut other = pin!(queue.acquire("other"));
        assert!(is_ready(other.as_mut()).is_none());
        drop(first);
        let permit = is_ready(flood[0].as_mut()).unwrap().unwrap();
        assert!(is_ready(other.as_mut()).is_none());
        drop(permit);
        assert!(is_ready(flood[1].as_mut()).is_none());
        assert!(is_ready(other.as_mut()).is_some_and(|turn| turn.is_ok()), "after one login of the flood");
    }

    #[tokio::test]
    async fn only_the_tenant_with_a_full_queue_is_rejected() {
        let queue = HashingQueue::new(1);
        let running = queue.acquire("flood").await.unwrap();
        let mut flood: Vec<_> = (0..MAX_WAITING_PER_SLOT).map(|_| Box::pin(queue.acquire("flood"))).collect();
        for login in &mut flood {
            assert!(is_ready(login.as_mut()).is_none());
        }
        let rejected = queue.acquire("flood").await.err().unwrap();
        assert!(rejected.is(&codes::OVERLOADED) && rejected.wait() == Some(RETRY_AFTER));
        assert!(queue.check("flood").is_err() && queue.check("other").is_ok());
        flood.truncate(1);
        assert!(queue.check("flood").is_ok(), "clients that disconnected count no more");
        drop(running);
        assert!(is_ready(flood[0].as_mut()).is_some_and(|turn| turn.is_ok()));
    }

    #[tokio::test]
    async fn slots_of_clients_that_disconnected_are_not_lost() {
        let queue = HashingQueue::new(2);
        let running = (queue.acquire("a").await.unwrap(), queue.acquire("b").await.unwrap());
        for tenant in ["a", "b", "c"] {
            let mut login = Box::pin(queue.acquire(tenant));
            assert!(is_ready(login.as_mut()).is_none());
        }
        drop(running);
        let free = (queue.acquire("d").await, queue.acquire("d").await);
        assert!(free.0.is_ok() && free.1.is_ok());
        let state = queue.lock();
        assert!(state.free == 0 && state.waiting.is_empty() && state.turns.is_empty());
    }
}
