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
    folder: TempDir,
}

impl Redis {
    /// Starts one and waits until it answers.
    pub fn start() -> Self {
        let folder = TempDir::with_prefix("menlou-redis-").expect("a temporary folder");
        let port = free_port();
        Self { process: launch(port, &folder), port, folder }
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
    pub fn kill_now(&self) {
        self.process.kill_now();
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
        self.process = launch(self.port, &self.folder);
    }

    /// Sends one command of plain words and gives the raw answer, at most 64 KiB of it.
    pub fn ask(&self, words: &[&str]) -> String {
        ask(self.port, words).expect("an answer from Redis")
    }
}

fn launch(port: u16, folder: &TempDir) -> Process {
    let log = folder.path().join("log");
    let mut command = Command::new("redis-server");
    command.current_dir(folder.path());
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no", "--save", ""]);
    command.args(["--appendonly", "yes", "--appendfsync", "no", "--databases", "2"]);
    let mut process = Process::start(&mut command, &log, "redis-server");
    wait_until("Redis", &log, || {
        let pong = ask(port, &["PING"]).is_ok_and(|answer| answer.starts_with("+PONG"));
        assert!(pong || process.is_running(), "Redis ended: {}", std::fs::read_to_string(&log).unwrap_or_default());
        pong
    });
    process
}

fn ask(port: u16, words: &[&str]) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&loopback(port), Duration::from_secs(1))?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command += &format!("${}\r\n{word}\r\n", word.len());
    }
    // Redis closes the connection after QUIT's answer: that is where the answer to the first command ends.
    command += "*1\r\n$4\r\nQUIT\r\n";
    stream.write_all(command.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
