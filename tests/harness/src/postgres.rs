//! A PostgreSQL server for one test.

use crate::{
    process::{Process, START_TIMEOUT, free_port, wait_until},
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

/// A PostgreSQL server on a free loopback port, with its data in a temporary folder. It does not sync to disk: data survives a
/// killed server, but not a crash of the machine.
///
/// PostgreSQL refuses to run as root. Where the tests run as root, it runs as the system user `postgres`.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    programs: PathBuf,
    port: u16,
    folder: TempDir,
}

impl Postgres {
    /// Starts a server with an empty database, and waits until it responds.
    pub fn start() -> Self {
        let programs = programs();
        let folder = TempDir::with_prefix("menlou-postgres-").expect("a temporary folder");
        copy(&template(&programs), &folder.path().join("data"));
        change_owner(folder.path());
        let port = free_port();
        let process = launch(&programs, port, folder.path());
        Self { process, programs, port, folder }
    }

    /// Starts a read-only replica of this server by streaming replication, and waits until it responds.
    ///
    /// # Panics
    /// Where that fails.
    pub fn replica(&self) -> Self {
        let programs = programs();
        let folder = TempDir::with_prefix("menlou-postgres-").expect("a temporary folder");
        change_owner(folder.path());
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

    /// The port of the server.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Sends SIGKILL, from any thread. [`Postgres::restart`] waits for the end.
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
        self.process = launch(&self.programs, self.port, self.folder.path());
    }

    /// Offers TLS from now on, with this certificate. Connections without TLS are still accepted.
    pub fn use_tls(&self, ca: &TestCa) {
        let data = self.folder.path().join("data");
        for (from, to) in [(ca.certificate(), "server.crt"), (ca.key(), "server.key")] {
            let to = data.join(to);
            fs::copy(from, &to).expect("a copy");
            // The server accepts a key only if nobody else can read it.
            fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).expect("permissions");
            change_owner(&to);
        }
        self.query("ALTER SYSTEM SET ssl = on");
        self.query("SELECT pg_reload_conf()");
        let start = Instant::now();
        while self.query("SHOW ssl") != "on" {
            assert!(start.elapsed() < START_TIMEOUT, "PostgreSQL does not enable TLS");
        }
    }

    /// Runs an SQL command, and returns its result: one row per line, columns separated by `|`.
    pub fn query(&self, sql: &str) -> String {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"]);
        let output = psql.args(["--command", sql, &self.url()]).output().expect("psql, of the same package");
        assert!(output.status.success(), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }
}

/// Starts the server. The children of a killed server end a little later, and the start fails until then.
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

/// An initialised data folder, created once per machine, user and version, since initdb is slow.
fn template(programs: &Path) -> PathBuf {
    let version = programs.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    let uid = rustix::process::getuid().as_raw();
    let done = std::env::temp_dir().join(format!("menlou-postgres-template-{version}-{uid}"));
    if done.exists() {
        return done;
    }
    let folder = TempDir::with_prefix("menlou-postgres-template-").expect("a temporary folder");
    change_owner(folder.path());
    let mut initdb = unprivileged(&programs.join("initdb"));
    initdb.current_dir(folder.path()).arg("-D").arg(folder.path().join("data"));
    initdb.args(["--username=menlou", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]);
    let output = initdb.stdin(Stdio::null()).output().expect("initdb, of the same package");
    assert!(output.status.success(), "initdb: {}", String::from_utf8_lossy(&output.stderr));
    // Renamed when it is complete. Where a concurrent test was faster, its folder is used.
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

/// A command that runs as `postgres` where the tests run as root.
fn unprivileged(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// Changes the owner of a file or folder, not recursively, to `postgres` where the tests run as root.
fn change_owner(path: &Path) {
    if is_root() {
        let status = Command::new("chown").arg("postgres:postgres").arg(path).status();
        assert!(status.is_ok_and(|status| status.success()), "the user postgres: install the Debian package {PACKAGE}");
    }
}
