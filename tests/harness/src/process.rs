//! A child process that can be killed and frozen, and that ends with its owner.

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

/// How long a server may take to start. Generous: machines that test are busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running child process.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it, its output going to the end of `log`.
    ///
    /// # Panics
    /// When it can't be started; the text names `package`, the Debian package that has the program.
    pub fn start(command: &mut Command, log: &Path, package: &str) -> Self {
        let log = File::options().create(true).append(true).open(log).expect("a log file in the temporary folder");
        let errors = log.try_clone().expect("a second handle to the log");
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        match command.spawn() {
            Ok(child) => Self { child },
            Err(e) => panic!("cannot start {command:?}: {e}; is the Debian package {package} installed?"),
        }
    }

    /// Whether it is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and its children at once with SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) {
        let children = children(self.id());
        // Each may find its process gone already, which is what is wanted.
        let _ = self.child.kill();
        for child in children {
            signal(child, Signal::KILL);
        }
        let _ = self.child.wait();
    }

    /// Sends it SIGKILL, without waiting and without its children.
    pub fn send_sigkill(&self) {
        signal(self.id(), Signal::KILL);
    }

    /// Asks it to end with SIGTERM, without waiting.
    pub fn send_sigterm(&self) {
        signal(self.id(), Signal::TERM);
    }

    /// Asks it to end with SIGTERM, and waits until it is gone.
    ///
    /// # Panics
    /// When it is still there after twice [`PATIENCE`].
    pub fn terminate(&mut self) -> ExitStatus {
        self.send_sigterm();
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status;
            }
            assert!(start.elapsed() < 2 * PATIENCE, "it does not end on SIGTERM");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Stops it and its children with SIGSTOP: connections stay open, nothing answers.
    pub fn freeze(&self) {
        // The parent first, so that it makes no new children meanwhile.
        signal(self.id(), Signal::STOP);
        for child in children(self.id()) {
            signal(child, Signal::STOP);
        }
    }

    /// Lets it and its children go on.
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

fn signal(id: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
        // It may have ended by itself meanwhile.
        let _ = kill_process(pid, signal);
    }
}

fn children(id: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    list.split_ascii_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// A loopback port that is free now, another one each time: the kernel may well give the same to both sides of a gateway.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let port = listener.local_addr().expect("the port just bound").port();
        if GIVEN.lock().unwrap_or_else(PoisonError::into_inner).insert(port) {
            return port;
        }
    }
}

/// The loopback address of a port.
pub fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// Waits until `ready` says so.
///
/// # Panics
/// When it never does; the text ends with what the process has written.
pub fn wait_until(what: &str, log: &Path, mut ready: impl FnMut() -> bool) {
    let start = Instant::now();
    while !ready() {
        if start.elapsed() > PATIENCE {
            panic!("{what} did not start within {PATIENCE:?}:\n{}", fs::read_to_string(log).unwrap_or_default());
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let given: BTreeSet<u16> = (0..2000).map(|_| free_port()).collect();
        assert_eq!(given.len(), 2000);
    }
}
