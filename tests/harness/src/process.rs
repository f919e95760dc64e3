//! A child process that can be killed and stopped, and that ends with its owner.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::BTreeSet,
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Maximum time of a server's start; long, since test machines are busy.
pub const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running child process.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts the process, and appends its output to `log`.
    ///
    /// # Panics
    /// Where it cannot be started. The text names `package`, the Debian package of the program.
    pub fn start(command: &mut Command, log: &Path, package: &str) -> Self {
        let errors = open_log(log);
        Self::start_with_errors(command, log, errors, package)
    }

    /// As [`Process::start`], but its standard error goes to `errors`.
    ///
    /// # Panics
    /// Where it cannot be started. The text names `package`, the Debian package of the program.
    pub fn start_with_errors(command: &mut Command, log: &Path, errors: impl Into<Stdio>, package: &str) -> Self {
        command.stdin(Stdio::null()).stdout(open_log(log)).stderr(errors);
        match command.spawn() {
            Ok(child) => Self { child },
            Err(e) => panic!("cannot start {command:?}: {e}; is the Debian package {package} installed?"),
        }
    }

    /// Whether the process is running.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGKILL to the process and its children, and waits for the end of the process.
    pub fn kill(&mut self) {
        let children = children(self.id());
        // A process that has ended already is no error.
        let _ = self.child.kill();
        for child in children {
            signal(child, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    /// Sends SIGKILL to the process, without waiting.
    pub fn send_sigkill(&self) {
        signal(self.id(), Signal::KILL);
    }

    /// Sends SIGTERM to the process, without waiting.
    pub fn send_sigterm(&self) {
        signal(self.id(), Signal::TERM);
    }

    /// Sends a signal to the process.
    pub fn send(&self, which: Signal) {
        signal(self.id(), which);
    }

    /// Sends SIGTERM, and waits for the end of the process.
    ///
    /// # Panics
    /// Where it is still running after twice [`START_TIMEOUT`].
    pub fn terminate(&mut self) -> ExitStatus {
        self.send_sigterm();
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status;
            }
            assert!(start.elapsed() < 2 * START_TIMEOUT, "the process does not end on SIGTERM");
            // The interval of the polls.
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Sends SIGSTOP to the process and its children: connections stay open, nothing responds.
    pub fn freeze(&self) {
        // The parent first, so that it starts no more children.
        signal(self.id(), Signal::STOP);
        for child in children(self.id()) {
            signal(child, Signal::STOP);
        }
    }

    /// Sends SIGCONT to the process and its children.
    pub fn thaw(&self) {
        for child in children(self.id()) {
            signal(child, Signal::CONT);
        }
        signal(self.id(), Signal::CONT);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn open_log(path: &Path) -> File {
    File::options().create(true).append(true).open(path).expect("a log file in the temporary folder")
}

fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // A process that has ended already is no error.
        let _ = kill_process(pid, signal);
    }
}

fn children(id: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// A free loopback port, another one at each call: the kernel alone may return the same port twice.
pub fn free_port() -> u16 {
    static USED: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let port = listener.local_addr().expect("the port just bound").port();
        if USED.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return port;
        }
    }
}

/// The loopback address of a port.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Waits until `ready` returns true.
///
/// # Panics
/// Where it does not within [`START_TIMEOUT`]. The text has the log.
pub fn wait_until(what: &str, log: &Path, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        if start.elapsed() > START_TIMEOUT {
            panic!("{what} did not start within {START_TIMEOUT:?}:\n{}", fs::read_to_string(log).unwrap_or_default());
        }
        // The interval of the polls.
        thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_returned_twice() {
        let ports: BTreeSet<u16> = (0..2000).map(|_| free_port()).collect();
        assert_eq!(ports.len(), 2000);
    }
}
