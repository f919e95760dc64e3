//! A PostgreSQL server of a test's own.

use crate::{
    process::{PATIENCE, Process, free_port, wait_until},
    test_ca::TestCa,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};
use tempfile::TempDir;

/// The Debian package with the server.
const PACKAGE: &str = "postgresql";

/// A PostgreSQL server on a free loopback port, with its data in a temporary folder. It does not sync to disk: a killed
/// server keeps its data, a fallen machine would not.
///
/// PostgreSQL refuses to run as root; where the tests do, it runs as the system user `postgres`.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    programs: PathBuf,
    port: u16,
    folder: TempDir,
}

impl Postgres {
    /// Starts one with an empty database and waits until it answers.
    pub fn start() -> Self {
        let programs = programs();
        let folder = TempDir::with_prefix("menlou-postgres-").expect("a temporary folder");
        copy(&template(&programs), &folder.path().join("data"));
        hand_over(folder.path());
        let port = free_port();
        let process = launch(&programs, port, folder.path());
        Self { process, programs, port, folder }
    }

    /// Starts a read-only replica of this one, by streaming replication, and waits until it answers.
    ///
    /// # Panics
    /// When that fails.
    pub fn replica(&self) -> Self {
        let programs = programs();
        let folder = TempDir::with_prefix("menlou-postgres-").expect("a temporary folder");
        hand_over(folder.path());
        let mut copying = unprivileged(&programs.join("pg_basebackup"));
        copying.current_dir(folder.path()).arg("-D").arg(folder.path().join("data"));
        copying.args(["-h", "127.0.0.1", "-U", "menlou", "-R", "-X", "stream", "-c", "fast", "--no-sync"]);
        let output = copying.args(["-p", &self.port.to_string()]).stdin(Stdio::null()).output();
        let output = output.expect("pg_basebackup, of the same package");
        assert!(output.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&output.stderr));
        let port = free_port();
        let process = launch(&programs, port, folder.path());
        Self { process, programs, port, folder }
    }

    /// `postgres://menlou@127.0.0.1:<port>/postgres`.
    pub fn url(&self) -> String {
        format!("postgres://menlou@127.0.0.1:{}/postgres", self.port)
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends it SIGKILL, from any thread; [`Postgres::restart`] then clears up.
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

    /// Starts it again, after a [`Postgres::kill`], on the same port with the same data, and waits until it answers.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = launch(&self.programs, self.port, self.folder.path());
    }

    /// Has it offer TLS from now on, with this certificate; connections without TLS are taken, too.
    pub fn use_tls(&self, authority: &TestCa) {
        let data = self.folder.path().join("data");
        for (from, to) in [(authority.certificate(), "server.crt"), (authority.key(), "server.key")] {
            let to = data.join(to);
            fs::copy(from, &to).expect("a copy");
            // The server takes a key only if nobody else can read it.
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("permissions");
            hand_over(&to);
        }
        self.ask("ALTER SYSTEM SET ssl = on");
        self.ask("SELECT pg_reload_conf()");
        let start = Instant::now();
        while self.ask("SHOW ssl") != "on" {
            assert!(start.elapsed() < PATIENCE, "PostgreSQL does not switch TLS on");
        }
    }

    /// Runs one SQL command and gives what it returns, unaligned, one row a line.
    pub fn ask(&self, sql: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
        let output = psql.args(["--command", sql, &self.url()]).output().expect("psql, of the same package");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// Starts the server. One that was killed leaves children which end a little later, and nothing starts beside them.
fn launch(programs: &Path, port: u16, folder: &Path) -> Process {
    let log = folder.join("log");
    let start = || {
        let mut command = unprivileged(&programs.join("postgres"));
        command.current_dir(folder).arg("-D").arg(folder.join("data"));
        command.args(["-p", &port.to_string(), "-h", "127.0.0.1", "-k", ""]);
        command.args(["-c", "fsync=off", "-c", "max_connections=50", "-c", "shared_buffers=16MB"]);
        Process::start(&mut command, &log, PACKAGE)
    };
    let mut process = start();
    wait_until("PostgreSQL", &log, || {
        if !process.is_running() {
            process = start();
        }
        let mut ready = Command::new(programs.join("pg_isready"));
        ready.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string(), "-t", "1"]);
        ready.status().is_ok_and(|status| status.success())
    });
    process
}

/// The folder of the newest installed version's programs.
fn programs() -> PathBuf {
    let mut versions: Vec<PathBuf> =
        fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    versions.sort();
    let found = versions.into_iter().rev().map(|version| version.join("bin/postgres")).find(|server| server.exists());
    let server = found.expect("a PostgreSQL server under /usr/lib/postgresql: install the Debian package postgresql");
    server.parent().map(Path::to_owned).unwrap_or_default()
}

/// An initialised data folder, made once per machine, user and version: initdb takes longer than all else here.
fn template(programs: &Path) -> PathBuf {
    let version = programs.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let uid = rustix::process::getuid().as_raw();
    let done = std::env::temp_dir().join(format!("menlou-postgres-template-{version}-{uid}"));
    if done.exists() {
        return done;
    }
    let folder = TempDir::with_prefix("menlou-postgres-template-").expect("a temporary folder");
    hand_over(folder.path());
    let mut initdb = unprivileged(&programs.join("initdb"));
    initdb.current_dir(folder.path()).arg("-D").arg(folder.path().join("data"));
    initdb.args(["--username=menlou", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
    let output = initdb.stdin(Stdio::null()).output().expect("initdb, of the same package");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    // Renamed at the end, so that nobody finds half of it. Where another was faster, theirs serves as well.
    let _ = fs::rename(folder.path().join("data"), &done);
    done
}

fn copy(from: &Path, to: &Path) {
    let status = Command::new("cp").args(["-a", "--reflink=auto"]).arg(from).arg(to).status();
    assert!(status.is_ok_and(|status| status.success()), "cp {} {}", from.display(), to.display());
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A command that runs as `postgres` where we are root.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// Gives a file or folder (not what is in it) to `postgres` where we are root.
fn hand_over(path: &Path) {
    if is_root() {
        let status = Command::new("chown").arg("postgres:postgres").arg(path).status();
        assert!(status.is_ok_and(|status| status.success()), "the user postgres: install the Debian package {PACKAGE}");
    }
}
