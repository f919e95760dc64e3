//! A Redis server for one test.

use crate::process::{Process, free_port, loopback, wait_until};
use std::{
    io::{Read, Write},
    net::TcpStream,
    process::Command,
    time::Duration,
};
use tempfile::TempDir;

/// A Redis server on a free loopback port, with its data in a temporary folder. Every write is in its log before the response,
/// so that a killed server restarts with the same data.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    port: u16,
    options: Vec<String>,
    folder: TempDir,
}

impl Redis {
    /// Starts a server, and waits until it responds.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// As [`Redis::start`], with additional command line options.
    pub fn with(options: &[&str]) -> Self {
        let folder = TempDir::with_prefix("menlou-redis-").expect("a temporary folder");
        let (port, options) = (free_port(), options.iter().map(|option| (*option).to_owned()).collect::<Vec<_>>());
        Self { process: launch(port, &options, &folder), port, options, folder }
    }

    /// `redis://127.0.0.1:<port>/0`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    /// The port of the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends SIGKILL, from any thread. [`Redis::restart`] waits for the end.
    pub fn send_sigkill(&self) {
        self.process.send_sigkill();
    }

    /// Sends SIGSTOP: connections stay open, nothing responds.
    pub fn freeze(&self) {
        self.process.freeze();
    }

    /// Sends SIGCONT.
    pub fn thaw(&self) {
        self.process.thaw();
    }

    /// Restarts the server on the same port with the same data, and waits until it responds.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(self.port, &self.options, &self.folder);
    }

    /// Whether it is a primary whose replicas have all its writes. False where it has no replica.
    pub fn has_synced_replicas(&self) -> bool {
        let info = self.command(&["INFO", "replication"]);
        let lines = || info.lines().map(str::trim);
        let Some(offset) = lines().find_map(|line| line.strip_prefix("master_repl_offset:")) else { return false };
        let mut replicas = lines().filter(|line| line.starts_with("slave") && line.contains("state=")).peekable();
        replicas.peek().is_some() && replicas.all(|line| line.split(',').any(|part| part == format!("offset={offset}")))
    }

    /// Whether it is a replica that is connected to its primary.
    pub fn is_replica(&self) -> bool {
        self.command(&["INFO", "replication"]).contains("master_link_status:up")
    }

    /// Sends a command, and returns the raw response, at most 64 KiB.
    pub fn command(&self, words: &[&str]) -> String {
        send(self.port, words).expect("a response from Redis")
    }
}

fn launch(port: u16, options: &[String], folder: &TempDir) -> Process {
    let log = folder.path().join("log");
    let mut command = Command::new("redis-server");
    command.current_dir(folder.path());
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "no", "--databases", "2"]);
    // A replica need not wait for others to join it.
    command.args(["--repl-diskless-sync-delay", "0"]).args(options);
    let mut process = Process::start(&mut command, &log, "redis-server");
    wait_until("Redis", &log, || {
        // A replica may have no primary yet.
        let up = |response: String| response.starts_with("+PONG") || response.starts_with("-MASTERDOWN");
        let pong = send(port, &["PING"]).is_ok_and(up);
        assert!(pong || process.is_running(), "Redis ended: {}", std::fs::read_to_string(&log).unwrap_or_default());
        pong
    });
    process
}

/// Sends a command. Redis closes the connection after the response to QUIT, which marks the end of the first response.
fn send(port: u16, words: &[&str]) -> std::io::Result<String> {
    send_until(port, words, "QUIT", "")
}

/// Sends a command followed by `last`, and returns all bytes up to the response `end` of `last`, or up to the end of the
/// connection.
pub(crate) fn send_until(port: u16, words: &[&str], last: &str, end: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&loopback(port), Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut bytes = format!("*{}\r\n", words.len());
    for word in words {
        bytes += &format!("${}\r\n{word}\r\n", word.len());
    }
    bytes += &format!("*1\r\n${}\r\n{last}\r\n", last.len());
    stream.write_all(bytes.as_bytes())?;
    let (mut response, mut chunk) = (Vec::new(), [0; 4096]);
    while response.len() < 64 * 1024 && (end.is_empty() || !response.ends_with(end.as_bytes())) {
        match stream.read(&mut chunk)? {
            0 => break,
            length => response.extend_from_slice(&chunk[..length]),
        }
    }
    Ok(String::from_utf8_lossy(&response).into_owned())
}
