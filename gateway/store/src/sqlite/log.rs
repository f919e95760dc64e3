//! The log of the SQLite file: a thread beside the writer brings it into the file, or all would wait while the disk syncs.

use rusqlite::{Connection, hooks::Wal};
use std::{
    cell::Cell,
    ffi::c_int,
    sync::{Arc, Mutex, PoisonError},
    thread::{Builder, JoinHandle},
};

/// How many pages the log has before they are brought into the file. A page that changes again meanwhile is brought once.
const LONG: usize = 8000;

thread_local! {
    /// The pages of the log after what this thread committed last; 0 where nothing was written.
    static PAGES: Cell<usize> = const { Cell::new(0) };
}

/// Sees to it that the log stays short. While a thread brings its pages into the file, the writer goes on and adds more;
/// the log begins anew when none is left, so the writer itself brings the last few. Where that fails, as somebody reads
/// from the log, it is tried again when some more have come.
pub(super) struct Log {
    long: usize,
    beside: Arc<Mutex<Connection>>,
    /// Gives how many pages of the log are in the file.
    pass: Option<JoinHandle<usize>>,
    /// How many pages it had after the last commit.
    pages: usize,
    /// With how many it is seen to.
    next: usize,
}

impl Log {
    /// Of the file that `writer` writes, and another connection to it.
    pub fn new(writer: &Connection, beside: Connection) -> Self {
        // In place of SQLite's own hook, by which the writer brings all of it.
        writer.wal_hook(Some(note));
        Self { long: LONG, beside: Arc::new(Mutex::new(beside)), pass: None, pages: 0, next: LONG }
    }

    /// To be called by the writer after each commit, on the same thread. Takes the time of a few pages, unless the log
    /// grows faster than the disk takes it.
    pub fn keep_short(&mut self, writer: &Connection) {
        let pages = match PAGES.take() {
            0 => return,
            pages => pages,
        };
        let anew = pages < self.pages;
        self.pages = pages;
        if anew {
            self.next = self.long;
        }
        if pages < self.next {
            return;
        }
        let brought = match self.pass.take() {
            Some(pass) if !pass.is_finished() && pages < 8 * self.long => {
                self.pass = Some(pass);
                return;
            }
            Some(pass) => pass.join().unwrap_or(0),
            None => 0,
        };
        if pages.saturating_sub(brought) <= self.long / 8 {
            bring(writer);
        } else {
            let beside = self.beside.clone();
            let pass = move || bring(&beside.lock().unwrap_or_else(PoisonError::into_inner));
            self.pass = Builder::new().name("sqlite-log".into()).spawn(pass).ok();
        }
        self.next = pages + self.long / 16;
    }
}

fn note(_: &Wal, pages: c_int) -> rusqlite::Result<()> {
    PAGES.set(usize::try_from(pages).unwrap_or(0));
    Ok(())
}

/// Brings what it can into the file without waiting for anybody. Gives how many pages of the log are there then; none
/// where the disk fails, of which the next commit tells.
fn bring(connection: &Connection) -> usize {
    let brought = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", (), |row| row.get::<_, i64>(2));
    brought.ok().and_then(|pages| usize::try_from(pages).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::schema;
    use std::path::Path;

    fn log(path: &Path, long: usize) -> (Connection, Log) {
        let writer = schema::prepare(path).unwrap();
        let log = Log::new(&writer, Connection::open(path).unwrap());
        (writer, Log { long, next: long, ..log })
    }

    fn write(writer: &Connection, log: &mut Log, n: u32) {
        let value = vec![0_u8; 10_000];
        writer.execute("INSERT OR REPLACE INTO shared VALUES ('a', ?, ?, 0)", (n % 50, value)).unwrap();
        log.keep_short(writer);
    }

    fn pages_of_log(path: &Path) -> u64 {
        std::fs::metadata(path.with_extension("db-wal")).unwrap().len() / 4096
    }

    #[test]
    fn the_log_stays_short_while_it_is_written_on_and_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("menlou.db");
        let (writer, mut log) = log(&path, 100);
        (0..2000).for_each(|n| write(&writer, &mut log, n));
        assert!(pages_of_log(&path) < 8 * 100 + 100, "{}", pages_of_log(&path));
    }

    #[test]
    fn a_log_that_somebody_reads_from_grows_until_they_have_done() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("menlou.db");
        let (writer, mut log) = log(&path, 100);
        write(&writer, &mut log, 0);
        let reader = Connection::open(&path).unwrap();
        reader.execute_batch("BEGIN; SELECT * FROM shared").unwrap();
        (0..500).for_each(|n| write(&writer, &mut log, n));
        let grown = pages_of_log(&path);
        assert!(grown > 1000, "{grown}");
        reader.execute_batch("COMMIT").unwrap();
        (0..1000).for_each(|n| write(&writer, &mut log, n));
        assert!(pages_of_log(&path) < grown + 300, "{grown} {}", pages_of_log(&path));
    }
}
