//! A Redis server of a test's own.

use crate::process::{Process, free_port, loopback, wait_until};
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// A Redis server on a free loopback port, with its data in a temporary folder: every write is in its log before it is
/// answered, so that a killed server comes back with the same data.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: u16,
    options: Vec<String>,
    folder: TempDir,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// As [`Redis::start`], with more options on its command line.
    pub fn with(options: &[&str]) -> Self {
        let folder = TempDir::with_prefix("menlou-redis-").expect("a temporary folder");
        let (port, options) = (free_port(), options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>());
        Self { process: launch(port, &options, &folder), port, options, folder }
    }

    /// `redis://127.0.0.1:<port>/0`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends it SIGKILL, from any thread; [`Redis::restart`] then clears up.
    pub fn send_sigkill(&self) {
        self.process.send_sigkill();
    }

    /// Stops it with SIGSTOP: connections stay open, nothing answers.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Starts it again, after a [`Redis::kill`], on the same port with the same data, and waits until it answers.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(self.port, &self.options, &self.folder);
    }

    /// Sends one command of plain words and gives the raw answer, at most 64 KiB of it.
    pub fn ask(&self, words: &[&str]) -> String {
        ask(self.port, words).expect("an answer from Redis")
    }
}

fn launch(port: u16, options: &[String], folder: &TempDir) -> Process {
    let log = folder.path().join("log");
    let mut command = Command::new("redis-server");
    command.current_dir(folder.path());
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "no", "--databases", "2"]);
    // A replica is not kept waiting for others to join it.
    command.args(["--repl-diskless-sync-delay", "0"]).args(options);
    let mut process = Process::start(&mut command, &log, "redis-server");
    wait_until("Redis", &log, || {
        // One that replicates may have no primary yet.
        let up = |answer: String| answer.starts_with("+PONG") || answer.starts_with("-MASTERDOWN");
        let pong = ask(port, &["PING"]).is_ok_and(up);
        assert!(pong || process.is_running(), "Redis ended: {}", std::fs::read_to_string(&log).unwrap_or_default());
        pong
    });
    process
}

/// Redis closes the connection after QUIT's answer: that is where the answer to the first command ends.
fn ask(port: u16, words: &[&str]) -> std::io::Result<String> {
    ask_until(port, words, "QUIT", "")
}

/// Sends a command and one more behind it, and gives what comes until that is answered with `end` or by closing.
pub(crate) fn ask_until(port: u16, words: &[&str], last: &str, end: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&loopback(port), Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command += &format!("${}\r\n{word}\r\n", word.len());
    }
    command += &format!("*1\r\n${}\r\n{last}\r\n", last.len());
    stream.write_all(command.as_bytes())?;
    let (mut answer, mut piece) = (Vec::new(), [0; 4096]);
    while answer.len() < 64 * 1024 && (end.is_empty() || !answer.ends_with(end.as_bytes())) {
        match stream.read(&mut piece)? {
            0 => break,
            length => answer.extend_from_slice(&piece[..length]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
