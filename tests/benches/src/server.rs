//! A server process under load, bare hyper or the gateway, and what the kernel has counted of it.

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

/// The variable of its environment from which tenants' secrets may come.
pub const SECRET_VARIABLE: &str = "BENCHES_WECHAT_SECRET";

/// What a server is started under: nothing, or a tool with its options.
pub type Under<'a> = &'a [OsString];

/// A running server; ends when dropped.
pub struct Server {
    process: Process,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Server {
    /// Starts a program on the servers' core, or beside the load where none is given, and waits until it listens.
    pub fn start(
        cores: Option<Cores>,
        under: Under<'_>,
        program: &Path,
        arguments: &[OsString],
        address: SocketAddr,
        log: &Path,
    ) -> Result<Self> {
        let mut words: Vec<OsString> = under.to_vec();
        words.push(program.into());
        words.extend_from_slice(arguments);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
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
            let open = TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok();
            open || !server.process.is_running()
        });
        match server.process.is_running() {
            true => Ok(server),
            false => Err(format!("{} ended:\n{}", program.display(), fs::read_to_string(log)?).into()),
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Asks it to end, and waits until it has.
    pub fn terminate(mut self) {
        self.process.terminate();
    }

    /// How much memory it has, in bytes.
    pub fn resident(&self) -> Result<usize> {
        let status = fs::read_to_string(PathBuf::from(format!("/proc/{}/status", self.id())))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<usize>()? * 1024)
    }

    /// The processor time that all its threads have taken, those that have ended too: the kernel's user and system
    /// time, whose sum is exact to its tick of 10 ms.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = fs::read_to_string(PathBuf::from(format!("/proc/{}/stat", self.id())))?;
        // The program's name, in brackets, may hold anything; utime and stime are the 14th and 15th field.
        let fields = stat.rsplit_once(')').ok_or("an unreadable /proc/…/stat")?.1;
        let mut ticks = 0;
        for field in fields.split_whitespace().skip(11).take(2) {
            ticks += field.parse::<u64>()?;
        }
        Ok(Duration::from_secs(ticks) / rustix::param::clock_ticks_per_second() as u32)
    }
}
