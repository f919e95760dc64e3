//! A server process under load, and its CPU time and memory as counted by the kernel.

use crate::{Result, cores::Cores};
use menlou_harness::process::{Process, wait_until};
use menlou_simulator::DEMO_SECRET;
use std::{
    ffi::OsString,
    fs,
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

/// The environment variable with the secret of tenants.
pub const SECRET_VARIABLE: &str = "BENCHES_WECHAT_SECRET";

/// A tool and its options that run the server's program; empty for none.
pub type Wrapper<'a> = &'a [OsString];

/// A running server; it ends when it is dropped.
pub struct Server {
    process: Process,
    /// Address of the listener.
    pub address: SocketAddr,
}

impl Server {
    /// Starts a program on the servers' core, or on the load's where `cores` is `None`, and waits until it listens.
    pub fn start(
        cores: Option<Cores>,
        wrapper: Wrapper<'_>,
        program: &Path,
        arguments: &[OsString],
        address: SocketAddr,
        log: &Path,
    ) -> Result<Self> {
        let mut line: Vec<OsString> = wrapper.to_vec();
        line.push(program.into());
        line.extend_from_slice(arguments);
        let mut command = Command::new(&line[0]);
        command.args(&line[1..]);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("MENLOU_")) {
            command.env_remove(name);
        }
        command.env(SECRET_VARIABLE, DEMO_SECRET);
        let package = if program.is_absolute() { "valgrind" } else { "nginx-light" };
        let mut start = || Process::start(&mut command, log, package);
        let process = match cores {
            Some(cores) => cores.on_server(start)?,
            None => start(),
        };
        let mut server = Self { process, address };
        wait_until(&program.display().to_string(), log, || {
            let listens = TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
            listens || !server.process.is_running()
        });
        match server.process.is_running() {
            true => Ok(server),
            false => Err(format!("{} ended at its start:\n{}", program.display(), fs::read_to_string(log)?).into()),
        }
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Sends SIGTERM and waits for the end of the process.
    pub fn terminate(mut self) {
        self.process.terminate();
    }

    /// The resident memory in bytes.
    pub fn resident(&self) -> Result<usize> {
        let status = fs::read_to_string(PathBuf::from(format!("/proc/{}/status", self.id())))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
    }

    /// User and system CPU time of all threads, including ended ones. The kernel counts in ticks, usually of 10 ms.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(PathBuf::from(format!("/proc/{}/stat", self.id())))?;
        // The program's name, in parentheses, may contain any character; utime and stime are fields 14 and 15.
        let fields = stat.rsplit_once(')').ok_or("an unreadable /proc/…/stat")?.1;
        let mut ticks = 0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>()?;
        }
        Ok(Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32)
    }
}
