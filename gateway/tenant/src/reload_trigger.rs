//! Requests that the watcher look at the folders of tenants and plugins immediately.

use std::time::Duration;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Maximum time of a reload. Plugins may take long to load.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(20);

/// Requests for the watcher.
pub type ReloadRequests = mpsc::Receiver<oneshot::Sender<()>>;

/// Has the watcher look at the folders immediately.
pub struct ReloadTrigger(mpsc::Sender<oneshot::Sender<()>>);

impl ReloadTrigger {
    /// A trigger, and the requests that are made with it.
    pub fn new() -> (Self, ReloadRequests) {
        let (sender, requests) = mpsc::channel(1);
        (Self(sender), requests)
    }

    /// Returns whether the folders have been read completely.
    pub async fn reload(&self) -> bool {
        let (sender, done) = oneshot::channel();
        let request = async {
            self.0.send(sender).await.ok()?;
            done.await.ok()
        };
        matches!(timeout(RELOAD_TIMEOUT, request).await, Ok(Some(())))
    }
}
