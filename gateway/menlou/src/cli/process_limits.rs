//! Limits and properties of the process: open files, core dumps, threads.

use menlou_error::text::Text;
use rustix::process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit};
use std::{
    io,
    sync::mpsc,
    thread::{self, JoinHandle, available_parallelism},
};

/// Threads beside the workers of the runtime: for blocking operations, the log, the watchdog, SQLite, file watchers.
const FURTHER_THREADS: usize = 12;

/// Raises the limit of open files to the maximum that the system allows. Each connection needs one file descriptor, and
/// many systems start programs with a limit of 1024.
pub fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // If the limit cannot be raised, the current limit applies.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

/// Keeps the memory of the process, which holds secrets, out of core dumps and from debuggers of the same user.
pub fn forbid_core_dumps() {
    // Where the kernel refuses, the limit below still applies.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: getrlimit(Resource::Core).maximum });
}

/// Reverts [`forbid_core_dumps`].
pub fn allow_core_dumps() {
    let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
    let maximum = getrlimit(Resource::Core).maximum;
    let _ = setrlimit(Resource::Core, Rlimit { current: maximum, maximum });
}

/// Checks that the system lets the process start the threads that it needs. The runtime panics where it does not.
///
/// # Errors
/// The limit is too low.
pub fn check_threads() -> Result<(), Text> {
    let needed = available_parallelism().map_or(1, usize::from) + FURTHER_THREADS;
    let mut started: Vec<(mpsc::Sender<()>, JoinHandle<()>)> = Vec::new();
    let mut failure = None;
    for _ in 0..needed {
        let (stop, stopped) = mpsc::channel::<()>();
        // The thread ends when `stop` is dropped.
        match thread::Builder::new().name("check".to_owned()).spawn(move || {
            let _ = stopped.recv();
        }) {
            Ok(thread) => started.push((stop, thread)),
            Err(e) => {
                failure = Some(e);
                break;
            }
        }
    }
    let count = started.len();
    for (stop, thread) in started {
        drop(stop);
        // It cannot panic.
        let _ = thread.join();
    }
    failure.map_or(Ok(()), |e| Err(too_few(count, needed, &e)))
}

fn too_few(count: usize, needed: usize, e: &io::Error) -> Text {
    Text::new(
        format!(
            "网关需要 {needed} 个线程，系统只允许再启动 {count} 个（{e}）：请调高线程数限制（ulimit -u、systemd 的 TasksMax、cgroup 的 pids.max）"
        ),
        format!(
            "the gateway needs {needed} threads, and the system allows {count} more ({e}): raise the limit of threads (ulimit -u, TasksMax of systemd, pids.max of the cgroup)"
        ),
    )
}
