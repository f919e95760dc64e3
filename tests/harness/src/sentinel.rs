//! A Redis primary with two replicas, watched by three Sentinels.

use crate::{
    process::{Process, free_port, wait_until},
    redis::{self, Redis},
};
use std::{fs, path::PathBuf, process::Command};
use tempfile::TempDir;

/// Name of the primary in the Sentinels' configuration.
const NAME: &str = "mymaster";
/// Number of Sentinels, and of servers.
const COUNT: usize = 3;

/// Three servers and three Sentinels. A killed primary is replaced within about two seconds.
#[derive(Debug)]
pub struct Sentinels {
    /// The servers; the first one is the initial primary.
    pub servers: Vec<Redis>,
    sentinels: Vec<Process>,
    ports: Vec<u16>,
    _folder: TempDir,
}

impl Sentinels {
    /// Starts all, and waits until the Sentinels know each other and all servers.
    ///
    /// # Panics
    /// Where that does not happen.
    pub fn start() -> Self {
        let mut servers = vec![Redis::start()];
        let primary = servers[0].port().to_string();
        for _ in 1..COUNT {
            servers.push(Redis::with(&["--replicaof", "127.0.0.1", &primary]));
        }
        let folder = TempDir::with_prefix("menlou-sentinels-").expect("a temporary folder");
        let ports: Vec<u16> = (0..COUNT).map(|_| free_port()).collect();
        let log = folder.path().join("log");
        let launch = |port: &u16| {
            let path: PathBuf = folder.path().join(format!("{port}.conf"));
            let config = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor {NAME} 127.0.0.1 {primary} 2\n\
                 sentinel down-after-milliseconds {NAME} 500\nsentinel failover-timeout {NAME} 2000\n"
            );
            fs::write(&path, config).expect("a config");
            let mut command = Command::new("redis-server");
            Process::start(command.arg(path).arg("--sentinel").current_dir(folder.path()), &log, "redis-server")
        };
        let sentinels = ports.iter().map(launch).collect();
        let this = Self { servers, sentinels, ports, _folder: folder };
        wait_until("the Sentinels", &log, || {
            let is_complete = |port: &u16| {
                let state = send(*port, &["SENTINEL", "MASTER", NAME]).unwrap_or_default();
                let words: Vec<_> = state.lines().map(str::trim).filter(|line| !line.starts_with(['$', '*'])).collect();
                let value =
                    |name| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1)).copied();
                (value("num-slaves"), value("num-other-sentinels"), value("flags"))
                    == (Some("2"), Some("2"), Some("master"))
            };
            let synced = |server: &Redis| server.command(&["INFO", "replication"]).contains("master_link_status:up");
            this.ports.iter().all(is_complete) && this.servers[1..].iter().all(synced)
        });
        this
    }

    /// `redis+sentinel://…`, naming all Sentinels.
    pub fn url(&self) -> String {
        let hosts: Vec<_> = self.ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis+sentinel://{}/{NAME}/0", hosts.join(","))
    }

    /// Index of the primary, according to the first Sentinel that responds.
    pub fn primary(&self) -> Option<usize> {
        let named = |port: &u16| send(*port, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME]).ok();
        let response = self.ports.iter().find_map(named)?;
        self.servers.iter().position(|server| response.lines().any(|line| line.trim() == server.port().to_string()))
    }

    /// Starts a failover although the primary works. Returns the raw response.
    pub fn fail_over(&self) -> String {
        send(self.ports[0], &["SENTINEL", "FAILOVER", NAME]).expect("a response of a Sentinel")
    }

    /// Sends SIGSTOP to a Sentinel.
    pub fn freeze_sentinel(&self, at: usize) {
        self.sentinels[at].freeze();
    }
}

/// Sends a command. Sentinels do not support QUIT.
fn send(port: u16, words: &[&str]) -> std::io::Result<String> {
    redis::send_until(port, words, "PING", "+PONG\r\n")
}
