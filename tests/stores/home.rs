//! Opened stores, with what they stand on.

use menlou::store::{Sessions, Shared, Sqlite, Users};
use std::{any::Any, sync::Arc};

/// An open store of each kind that a promise may be held against, and what has to live as long.
pub struct Home {
    pub sessions: Arc<dyn Sessions>,
    pub shared: Arc<dyn Shared>,
    pub users: Arc<dyn Users>,
    _ground: Box<dyn Any + Send + Sync>,
}

/// All in one SQLite file.
pub async fn embedded() -> Home {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Sqlite::open(&folder.path().join("menlou.db")).await.unwrap());
    Home { sessions: store.clone(), shared: store.clone(), users: store, _ground: Box::new(folder) }
}
