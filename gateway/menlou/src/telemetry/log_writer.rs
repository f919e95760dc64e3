//! The log's writer: a bounded queue, and a thread that writes it, so that a slow or stuck reader of the log delays nothing.

use std::{
    fs::{File, OpenOptions, Permissions},
    io::{self, ErrorKind, Write},
    os::{
        fd::AsFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::Path,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Bytes that may wait to be written. As many again may be in the hands of the thread that writes.
const MAX_PENDING: usize = 4 * 1024 * 1024;

/// A buffer that has grown beyond this is not kept.
const KEPT_BUFFER: usize = 64 * 1024;

/// Pause before the next attempt where standard error is non-blocking and full.
const RETRY: Duration = Duration::from_millis(10);

/// Mode of a log file that is created: its owner writes it, its group reads it.
const FILE_MODE: u32 = 0o640;

/// A handle to the log. Writing never waits: a line that does not fit into the queue is dropped and counted.
#[derive(Clone)]
pub struct LogWriter {
    queue: Arc<Queue>,
}

struct Queue {
    state: Mutex<State>,
    /// Notified when there is something to write or to reopen.
    arrived: Condvar,
    /// Notified when everything has been written, and when the file has been reopened.
    done: Condvar,
}

#[derive(Default)]
struct State {
    pending: Vec<u8>,
    is_writing: bool,
    dropped: u64,
    reopen: Option<File>,
}

impl LogWriter {
    /// Starts the thread that writes to this file, or to standard error.
    ///
    /// # Errors
    /// The file cannot be opened, or the thread cannot be started.
    pub fn start(file: Option<&Path>) -> io::Result<Self> {
        let output = open(file)?;
        let queue = Arc::new(Queue { state: Mutex::default(), arrived: Condvar::new(), done: Condvar::new() });
        let own = queue.clone();
        thread::Builder::new().name("log".to_owned()).spawn(move || own.write_all_to(output))?;
        Ok(Self { queue })
    }

    /// Opens the log file by its path again, so that the file can be moved away before; or standard error. Lines that are
    /// logged from now on go there.
    ///
    /// # Errors
    /// The file cannot be opened; the earlier one stays in use.
    pub fn reopen(&self, file: Option<&Path>) -> io::Result<()> {
        let file = open(file)?;
        self.queue.lock().reopen = Some(file);
        self.queue.arrived.notify_one();
        Ok(())
    }

    /// Waits until everything that was logged has been written, but no longer than `limit`.
    pub fn flush(&self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut state = self.queue.lock();
        while !state.pending.is_empty() || state.is_writing {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            state = self.queue.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Write for LogWriter {
    /// Queues one line. A line is written completely or not at all.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.queue.lock();
        if state.pending.len() + line.len() > MAX_PENDING {
            state.dropped += 1;
            drop(state);
            count_dropped(1);
        } else {
            state.pending.extend_from_slice(line);
            drop(state);
            self.queue.arrived.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is queued, for the rest of the process.
    fn write_all_to(&self, mut output: File) {
        let mut batch = Vec::new();
        loop {
            let mut state = self.lock();
            state.is_writing = false;
            if state.pending.is_empty() {
                self.done.notify_all();
            }
            while state.pending.is_empty() && state.reopen.is_none() {
                state = self.arrived.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
            state.is_writing = true;
            std::mem::swap(&mut batch, &mut state.pending);
            let dropped = std::mem::take(&mut state.dropped);
            let reopened = state.reopen.take();
            drop(state);
            let is_written = write_retrying(&mut output, &batch).is_ok();
            if !is_written {
                // The reader is gone or the disk is full. There is nowhere to report it but the metric.
                count_dropped(batch.iter().filter(|byte| **byte == b'\n').count() as u64);
            }
            batch.clear();
            if batch.capacity() > KEPT_BUFFER {
                batch = Vec::new();
            }
            if let Some(file) = reopened {
                output = file;
            }
            if dropped > 0 && is_written {
                tracing::warn!(
                    lines = dropped,
                    "log lines were dropped: the log was not read or written fast enough; check what reads it"
                );
            }
        }
    }
}

fn open(file: Option<&Path>) -> io::Result<File> {
    match file {
        Some(path) => match OpenOptions::new().create_new(true).append(true).mode(FILE_MODE).open(path) {
            // The umask may have removed the permission of the group.
            Ok(file) => file.set_permissions(Permissions::from_mode(FILE_MODE)).map(|()| file),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => OpenOptions::new().create(true).append(true).open(path),
            Err(e) => Err(e),
        },
        // A handle of its own: a thread that holds the lock of `io::stderr` would block others while the reader is stuck.
        None => Ok(File::from(io::stderr().as_fd().try_clone_to_owned()?)),
    }
}

/// Writes everything. The parent process may have made standard error non-blocking.
fn write_retrying(output: &mut File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match output.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(e) if e.kind() == ErrorKind::Interrupted => {}
            Err(e) if e.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn count_dropped(lines: u64) {
    metrics::counter!("menlou_log_lines_dropped_total").increment(lines);
}
