//! Checkpoints of the write-ahead log, on a thread beside the writer: otherwise all writes would wait while the disk syncs.

use rusqlite::{Connection, hooks::Wal};
use std::{
    cell::Cell,
    ffi::c_int,
    sync::{Arc, Mutex, PoisonError},
    thread::{Builder, JoinHandle},
};

/// Number of pages in the log at which a checkpoint starts. A page that was written several times is copied once.
const CHECKPOINT_PAGES: usize = 8000;

thread_local! {
    /// Number of pages in the log after the last commit on this thread; 0 where nothing was written.
    static PAGES: Cell<usize> = const { Cell::new(0) };
}

/// Keeps the log short. While a thread copies its pages into the file, the writer continues and adds more. The log
/// restarts only when no page is left to copy, so the writer itself copies the last few. Where that fails because a reader
/// still uses the log, it is tried again some pages later.
pub(super) struct WalCheckpointer {
    /// See [`CHECKPOINT_PAGES`].
    threshold: usize,
    beside: Arc<Mutex<Connection>>,
    /// The running checkpoint; returns the number of pages of the log that are in the file.
    checkpoint: Option<JoinHandle<usize>>,
    /// Number of pages after the last commit.
    pages: usize,
    /// Number of pages at which the next step is due.
    next: usize,
}

impl WalCheckpointer {
    /// A checkpointer for the file that `writer` writes. `beside` is another connection to it.
    pub fn new(writer: &Connection, beside: Connection) -> Self {
        // Replaces SQLite's own hook, which would checkpoint on the writer's thread.
        writer.wal_hook(Some(note_pages));
        let beside = Arc::new(Mutex::new(beside));
        Self { threshold: CHECKPOINT_PAGES, beside, checkpoint: None, pages: 0, next: CHECKPOINT_PAGES }
    }

    /// To be called by the writer after each commit, on the same thread. Takes the time of a few pages, unless the log grows
    /// faster than the disk can take it.
    pub fn after_commit(&mut self, writer: &Connection) {
        let pages = match PAGES.take() {
            0 => return,
            pages => pages,
        };
        let was_restarted = pages < self.pages;
        self.pages = pages;
        if was_restarted {
            self.next = self.threshold;
        }
        if pages < self.next {
            return;
        }
        let copied = match self.checkpoint.take() {
            Some(checkpoint) if !checkpoint.is_finished() && pages < 8 * self.threshold => {
                self.checkpoint = Some(checkpoint);
                return;
            }
            Some(checkpoint) => checkpoint.join().unwrap_or(0),
            None => 0,
        };
        if pages.saturating_sub(copied) <= self.threshold / 8 {
            copy_pages(writer);
        } else {
            let beside = self.beside.clone();
            let copy = move || copy_pages(&beside.lock().unwrap_or_else(PoisonError::into_inner));
            self.checkpoint = Builder::new().name("sqlite-checkpoint".into()).spawn(copy).ok();
        }
        self.next = pages + self.threshold / 16;
    }
}

fn note_pages(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    PAGES.set(usize::try_from(pages).unwrap_or(0));
    Ok(())
}

/// Copies as many pages as it can without waiting for readers. Returns how many pages of the log are in the file then; 0
/// where the disk fails, which the next commit reports.
fn copy_pages(connection: &Connection) -> usize {
    let copied = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| row.get::<_, i64>(2));
    copied.ok().and_then(|pages| usize::try_from(pages).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{super::schema, *};
    use std::path::Path;

    fn open(path: &Path, threshold: usize) -> (Connection, WalCheckpointer) {
        let writer = schema::prepare(path).unwrap();
        let checkpointer = WalCheckpointer::new(&writer, Connection::open(path).unwrap());
        (writer, WalCheckpointer { threshold, next: threshold, ..checkpointer })
    }

    fn write(writer: &Connection, checkpointer: &mut WalCheckpointer, n: u32) {
        let value = vec![0_u8; 10_000];
        writer.execute("INSERT OR REPLACE INTO ephemeral VALUES ('a', ?, ?, 0)", (n % 50, value)).unwrap();
        checkpointer.after_commit(writer);
    }

    fn pages_of_log(path: &Path) -> u64 {
        std::fs::metadata(path.with_extension("db-wal")).unwrap().len() / 4096
    }

    #[test]
    fn log_stays_short_under_constant_writes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("menlou.db");
        let (writer, mut checkpointer) = open(&path, 100);
        (0..2000).for_each(|n| write(&writer, &mut checkpointer, n));
        assert!(pages_of_log(&path) < 8 * 100 + 100, "{}", pages_of_log(&path));
    }

    #[test]
    fn log_grows_while_a_reader_uses_it_and_no_longer_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("menlou.db");
        let (writer, mut checkpointer) = open(&path, 100);
        write(&writer, &mut checkpointer, 0);
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM ephemeral").unwrap();
        (0..500).for_each(|n| write(&writer, &mut checkpointer, n));
        let grown = pages_of_log(&path);
        assert!(grown > 1000, "{grown}");
        reader.execute_batch("COMMIT").unwrap();
        (0..1000).for_each(|n| write(&writer, &mut checkpointer, n));
        assert!(pages_of_log(&path) < grown + 300, "{grown} {}", pages_of_log(&path));
    }
}
