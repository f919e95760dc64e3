//! The gateway as users run it: the real binary in a temporary folder with config, tenants and plugins.

use crate::{
    artifacts::{binary, example, plugin_library, run},
    client::{Client, Secrets},
    http::{Request, Response},
    process::{Process, START_TIMEOUT, free_port, loopback, wait_until},
    setup::Setup,
    terminal::Terminal,
};
use rustix::process::Signal;
use std::{
    fs,
    io::{PipeReader, pipe},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Named in the error where the binary is missing.
const PACKAGE: &str = "menlou (a Cargo package of this workspace)";

/// The log counts as written when it has not grown for this time.
const LOG_PAUSE: Duration = Duration::from_millis(30);

/// A log that grows all the time is not waited for.
const MAX_PAUSES: u32 = 10;

/// A running gateway. It ends when it is dropped; then its log is searched for every secret that its [`Client`]s sent or
/// received, and a match fails the test.
#[derive(Debug)]
pub struct Gateway {
    process: Option<Process>,
    home: GatewayFolder,
    addr: SocketAddr,
    admin: SocketAddr,
    secrets: Secrets,
    log_pipe: Option<PipeReader>,
}

impl Gateway {
    /// Starts a gateway, and waits until it is ready.
    ///
    /// # Panics
    /// Where it does not start. The text has the log.
    pub fn start(setup: Setup) -> Self {
        let gateway = Self::launch(setup);
        gateway.wait_until_ready();
        gateway
    }

    /// Starts a gateway, and waits until it responds, ready or not.
    ///
    /// # Panics
    /// Where it does not start. The text has the log.
    pub fn launch(setup: Setup) -> Self {
        let has_log_pipe = setup.log_pipe;
        let home = GatewayFolder::new(setup);
        let mut gateway = Self {
            log_pipe: None,
            process: None,
            home,
            addr: loopback(free_port()),
            admin: loopback(free_port()),
            secrets: Secrets::default(),
        };
        if has_log_pipe {
            let (reader, writer) = pipe().expect("a pipe");
            gateway.log_pipe = Some(reader);
            gateway.process =
                Some(gateway.spawn(|command, log| Process::start_with_errors(command, log, writer, PACKAGE)));
            wait_until("a gateway that responds", &gateway.home.log(), || gateway.admin("/healthz").is_ok());
        } else {
            gateway.relaunch();
        }
        gateway
    }

    /// The reading end of standard error, where the setup made it a pipe.
    ///
    /// # Panics
    /// Where it did not, or the reading end was taken.
    pub fn take_log_pipe(&mut self) -> PipeReader {
        self.log_pipe.take().expect("the pipe of the log")
    }

    /// Waits until `/readyz` returns 200.
    ///
    /// # Panics
    /// Where it does not within [`START_TIMEOUT`].
    pub fn wait_until_ready(&self) {
        wait_until("a ready gateway", &self.home.log(), || self.admin("/readyz").is_ok_and(|a| a.status == 200));
    }

    /// The address of the traffic listener.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A client of a tenant, without a session.
    pub fn client(&self, tenant: &str) -> Client {
        Client::new(self.addr, tenant, self.secrets.clone())
    }

    /// The secrets that must not be in the log.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Sends GET to the admin listener.
    ///
    /// # Errors
    /// Where it does not respond.
    pub fn admin(&self, path: &str) -> std::io::Result<Response> {
        Request::new("GET", path).send(self.admin)
    }

    /// The address of the admin listener.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin
    }

    /// Status and body of `/readyz`.
    ///
    /// # Panics
    /// Where the body is not JSON.
    pub fn readiness(&self) -> (u16, serde_json::Value) {
        let answer = self.admin("/readyz").expect("a response of /readyz");
        (answer.status, serde_json::from_slice(&answer.body).expect("JSON"))
    }

    /// The log of all its runs so far. A thread of the gateway writes it: this waits for a pause of the thread, so that
    /// lines about what a test has just seen are there.
    pub fn log(&self) -> String {
        let read = || fs::read_to_string(self.home.log()).unwrap_or_default();
        let mut log = read();
        for _ in 0..MAX_PAUSES {
            std::thread::sleep(LOG_PAUSE);
            let later = read();
            if later.len() == log.len() {
                break;
            }
            log = later;
        }
        log
    }

    /// The folder with the tenants' files.
    pub fn tenants(&self) -> PathBuf {
        self.home.tenants()
    }

    /// The folder with the plugins.
    pub fn plugins(&self) -> PathBuf {
        self.home.plugins()
    }

    /// Writes a tenant's file as editors do: to a temporary file that is then renamed.
    pub fn write_tenant(&self, name: &str, file: &str) {
        self.home.write_tenant(name, file);
    }

    /// Deletes a tenant's file.
    pub fn remove_tenant(&self, name: &str) {
        fs::remove_file(self.tenants().join(format!("{name}.toml"))).expect("the tenant's file");
    }

    /// The process id; 0 where it is not running.
    pub fn id(&self) -> u32 {
        self.process.as_ref().map_or(0, Process::id)
    }

    /// Whether the process is running.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(Process::is_running)
    }

    /// Sends SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Sends SIGKILL, from any thread. [`Gateway::restart`] waits for the end.
    pub fn send_sigkill(&self) {
        if let Some(process) = &self.process {
            process.send_sigkill();
        }
    }

    /// Sends SIGTERM, without waiting.
    pub fn send_sigterm(&self) {
        self.send(Signal::TERM);
    }

    /// Sends a signal.
    pub fn send(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.send(signal);
        }
    }

    /// Sends SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// Where it does not end, or was not running.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.take().expect("a running gateway").terminate()
    }

    /// Restarts it on the same ports with the same folder, and waits until it is ready.
    pub fn restart(&mut self) {
        self.relaunch();
        self.wait_until_ready();
    }

    /// Runs a command of the same binary with the same config and environment.
    pub fn command(&self, arguments: &[&str]) -> Output {
        self.home.command(arguments, b"")
    }

    /// As [`Gateway::command`], with this standard input.
    pub fn command_with_input(&self, arguments: &[&str], input: &str) -> Output {
        self.home.command(arguments, input.as_bytes())
    }

    /// As [`Gateway::command`], with the address of the admin listener, for commands that call the running gateway.
    pub fn command_with_admin(&self, arguments: &[&str]) -> Output {
        let mut command = self.home.prepare();
        command.args(arguments).arg("--config").arg(self.home.config());
        run(command.env("MENLOU_ADMIN__LISTEN", self.admin.to_string()), b"")
    }

    /// Creates an account with a password by `menlou user add`.
    ///
    /// # Panics
    /// Where that fails.
    pub fn add_user(&self, tenant: &str, account: &str, name: &str, password: &str) {
        self.secrets.add(password);
        let arguments = ["user", "add", "--tenant", tenant, "--account", account, "--name", name];
        let output = self.command_with_input(&arguments, password);
        assert!(output.status.success(), "user add: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Restarts it on the same ports with the same folder, and waits until it responds, ready or not.
    ///
    /// # Panics
    /// Where it does not start. The text has the log.
    pub fn relaunch(&mut self) {
        self.kill();
        let deadline = Instant::now() + START_TIMEOUT;
        let mut process = self.spawn(|command, log| Process::start(command, log, PACKAGE));
        while self.admin("/healthz").is_err() {
            if !process.is_running() {
                // Another process may have taken the port.
                let log = self.log();
                let taken = log.contains("in use") && Instant::now() < deadline;
                assert!(taken, "the gateway ended:\n{log}");
                (self.addr, self.admin) = (loopback(free_port()), loopback(free_port()));
                process = self.spawn(|command, log| Process::start(command, log, PACKAGE));
            }
            assert!(
                Instant::now() < deadline,
                "the gateway does not respond within {START_TIMEOUT:?}:\n{}",
                self.log()
            );
            // The interval of the polls.
            std::thread::sleep(Duration::from_millis(10));
        }
        self.process = Some(process);
    }

    fn spawn(&self, start: impl FnOnce(&mut Command, &Path) -> Process) -> Process {
        let mut command = match &self.home.example {
            None => {
                let mut command = self.home.prepare();
                command.args(["run", "--config"]);
                command
            }
            Some(name) => self.home.with_environment(example(name)),
        };
        command.env("MENLOU_SERVER__LISTEN", self.addr.to_string());
        command.env("MENLOU_ADMIN__LISTEN", self.admin.to_string());
        start(command.arg(self.home.config()), &self.home.log())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if !std::thread::panicking() {
            self.secrets.assert_absent_from(&self.log());
        } else {
            eprintln!("--- the gateway's log ---\n{}", self.log());
        }
    }
}

/// A temporary folder with config, tenants and plugins, without a running gateway.
#[derive(Debug)]
pub struct GatewayFolder {
    folder: TempDir,
    env: Vec<(String, String)>,
    example: Option<String>,
}

impl GatewayFolder {
    /// Creates the folder.
    pub fn new(setup: Setup) -> Self {
        let folder = TempDir::with_prefix("menlou-gateway-").expect("a temporary folder");
        let home = Self { folder, env: setup.env, example: setup.example };
        for folder in [home.tenants(), home.plugins()] {
            fs::create_dir(folder).expect("a folder");
        }
        let line = |(name, value): &(String, String)| format!("{name} = {value}\n");
        let config: String = setup.settings.iter().map(line).collect();
        fs::write(home.config(), format!("plugins.dir = \"plugins\"\n{config}")).expect("the config");
        for (name, file) in &setup.tenants {
            home.write_tenant(name, file);
        }
        if !setup.without_plugins {
            for name in ["openid", "account", "wechat", "proxy"] {
                link_or_copy(&plugin_library(name), &home.plugins().join(format!("{name}.so")));
            }
        }
        home
    }

    /// Path of the folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Path of the config file.
    pub fn config(&self) -> PathBuf {
        self.path().join("menlou.toml")
    }

    /// The folder with the tenants' files.
    pub fn tenants(&self) -> PathBuf {
        self.path().join("tenants")
    }

    /// The folder with the plugins.
    pub fn plugins(&self) -> PathBuf {
        self.path().join("plugins")
    }

    /// Writes a tenant's file as editors do: to a temporary file that is then renamed.
    pub fn write_tenant(&self, name: &str, file: &str) {
        let draft = self.tenants().join(format!(".{name}.toml.new"));
        fs::write(&draft, file).expect("a tenant's file");
        fs::rename(draft, self.tenants().join(format!("{name}.toml"))).expect("a tenant's file");
    }

    /// Runs a command with this config.
    ///
    /// # Panics
    /// Where the binary is missing.
    pub fn command(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.prepare();
        command.args(arguments).arg("--config").arg(self.config());
        run(&mut command, input)
    }

    /// Runs a command with this config to its end, with these as standard output and standard error.
    ///
    /// # Panics
    /// Where the binary is missing.
    pub fn command_with_outputs(&self, arguments: &[&str], stdout: Stdio, stderr: Stdio) -> Output {
        let mut command = self.prepare();
        command.args(arguments).arg("--config").arg(self.config());
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        command.spawn().and_then(Child::wait_with_output).expect("the command")
    }

    /// Runs a command with this config on a terminal; `env` is added to the folder's environment.
    pub fn terminal(&self, arguments: &[&str], env: &[(&str, &str)]) -> Terminal {
        let mut command = self.prepare();
        command.args(arguments).arg("--config").arg(self.config()).envs(env.iter().copied());
        Terminal::start(&command)
    }

    /// Runs a command with this config through another program, which gets it as its last arguments: `setpriv`, `sh -c …`.
    ///
    /// # Panics
    /// Where that program is missing.
    pub fn command_through(&self, by: &[&str], arguments: &[&str]) -> Output {
        let own = self.prepare();
        let mut command = Command::new(by[0]);
        command.args(&by[1..]).arg(own.get_program()).args(arguments).arg("--config").arg(self.config());
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        run(command.current_dir(self.path()), b"")
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }

    /// The binary with this folder's environment, and without the `MENLOU_` variables of the test process.
    fn prepare(&self) -> Command {
        self.with_environment(binary())
    }

    fn with_environment(&self, mut command: Command) -> Command {
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("MENLOU_") {
                command.env_remove(name);
            }
        }
        // A killed gateway leaves its temporary files, which are deleted with this folder.
        command.current_dir(self.path()).env("TMPDIR", self.path()).env("MENLOU_LANG", "en");
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// Makes a hard link, or a copy where that fails.
fn link_or_copy(from: &Path, to: &Path) {
    if fs::hard_link(from, to).is_err() {
        fs::copy(from, to).expect("a copy of the plugin");
    }
}
