//! What the benches stand on: the built programs, the simulator, Redis, and a folder for each gateway.

use crate::{
    Result,
    cores::Cores,
    post,
    server::{Server, Under},
};
use menlou_harness::{
    Redis,
    process::{free_port, loopback},
};
use menlou_simulator::{DEMO_APPID, DEMO_SECRET, Options, Simulator};
use std::{
    ffi::OsString,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// How a gateway differs from its defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Variant {
    /// One line for each call, to a file; otherwise none.
    pub access_log: bool,
    /// Sessions live in Redis; otherwise in the embedded store.
    pub redis: bool,
}

/// A folder in which a gateway runs.
pub struct Home {
    /// Where it listens for calls.
    pub address: SocketAddr,
    /// Where its admin side is.
    pub admin: SocketAddr,
    /// The folder itself.
    pub folder: PathBuf,
    program: PathBuf,
    cores: Cores,
}

/// All load comes from one address, and waits on its connections while other servers are measured.
const CLIENTS: &str = "max_connections_per_address = 1000000\nmax_requests_per_connection = 1000000000\n\
    first_byte_timeout = \"10m\"\nkeep_alive_timeout = \"10m\"\n";

/// How long a gateway that listens may take until it serves: under a tool everything is slow.
const PATIENCE: Duration = Duration::from_secs(30);

/// All that servers need, until dropped.
pub struct Environment {
    /// Which core is whose.
    pub cores: Cores,
    /// WeChat, on a thread beside the load.
    pub simulator: Simulator,
    /// The folder with the plugins.
    pub plugins: PathBuf,
    /// Who is asked by those that forward: bare hyper, beside the load.
    pub upstream: SocketAddr,
    asked: Option<Server>,
    redis: Redis,
    programs: PathBuf,
    folder: TempDir,
}

impl Environment {
    /// Finds the programs beside this one and starts what they talk to.
    pub fn new() -> Result<Self> {
        let cores = Cores::split()?;
        let program = std::env::current_exe()?;
        let programs = program.parent().ok_or("this program has no folder")?.to_owned();
        let folder = TempDir::with_prefix("menlou-benches-")?;
        let plugins = folder.path().join("plugins");
        fs::create_dir(&plugins)?;
        for name in ["empty", "openid", "account", "proxy"] {
            let library = programs.join(format!("libmenlou_{name}.so"));
            fs::copy(&library, plugins.join(format!("{name}.so")))
                .map_err(|e| format!("{}: {e}; build the whole workspace first", library.display()))?;
        }
        let simulator = Simulator::start(Options::default())?;
        let (upstream, redis) = (loopback(free_port()), Redis::start());
        let mut environment = Self { cores, simulator, plugins, upstream, asked: None, redis, programs, folder };
        let model = environment.gateway("model", Variant::default(), &[])?;
        fs::write(environment.answer(), post::send(model.address, &post::request("empty", None, None))?)?;
        environment.asked = Some(environment.serve(None, upstream, "upstream", &[])?);
        Ok(environment)
    }

    /// The folder for passing things.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts bare hyper with the answer of the gateway's empty action.
    pub fn bare(&self, under: Under<'_>) -> Result<Server> {
        self.serve(Some(self.cores), loopback(free_port()), "bare", under)
    }

    fn serve(&self, cores: Option<Cores>, address: SocketAddr, name: &str, under: Under<'_>) -> Result<Server> {
        let answer = self.answer();
        let arguments: [OsString; 5] =
            ["bare".into(), "--listen".into(), address.to_string().into(), "--answer".into(), answer.into()];
        let program = std::env::current_exe()?;
        Server::start(cores, under, &program, &arguments, address, &self.folder.path().join(format!("{name}.log")))
    }

    /// Makes a folder for a gateway, with its config and with no tenant so far.
    pub fn home(&self, name: &str, variant: Variant) -> Result<Home> {
        let folder = self.folder.path().join(name);
        fs::create_dir_all(folder.join("tenants"))?;
        let (address, admin) = (loopback(free_port()), loopback(free_port()));
        let sessions = match variant.redis {
            true => format!("sessions = \"{}\"\n", self.redis.url()),
            false => String::new(),
        };
        let config = format!(
            "[server]\nlisten = \"{address}\"\n[admin]\nlisten = \"{admin}\"\n[plugins]\ndir = \"{}\"\n[store]\n{sessions}\
             [clients]\n{CLIENTS}[log]\naccess = {}\n",
            self.plugins.display(),
            variant.access_log
        );
        fs::write(folder.join("menlou.toml"), config)?;
        Ok(Home { program: self.programs.join("menlou"), cores: self.cores, folder, address, admin })
    }

    /// Starts a gateway with one tenant in a folder of its own, and waits until it serves.
    pub fn gateway(&self, name: &str, variant: Variant, under: Under<'_>) -> Result<Server> {
        let home = self.home(name, variant)?;
        let tenant = format!(
            "name = \"Bench\"\n[wechat]\nappid = \"{DEMO_APPID}\"\nsecret = \"{DEMO_SECRET}\"\nbase_url = \"{}\"\n\
             [actions.empty]\n[actions.openid]\n[actions.login]\nmethods = [\"profile\"]\n[actions.user]\n\
             [actions.proxy]\nupstream = \"http://{}\"\nauth = \"optional\"\nkey = \"0123456789abcdef0123456789abcdef\"\n",
            self.simulator.base_url(),
            self.upstream
        );
        fs::write(home.tenant("bench"), tenant)?;
        home.start(under)
    }

    fn answer(&self) -> PathBuf {
        self.folder.path().join("answer")
    }
}

impl Home {
    /// The file of a tenant.
    pub fn tenant(&self, name: &str) -> PathBuf {
        self.folder.join("tenants").join(format!("{name}.toml"))
    }

    /// Starts the gateway, and waits until a tenant of the name `bench` serves.
    pub fn start(&self, under: Under<'_>) -> Result<Server> {
        let arguments: [OsString; 3] = ["run".into(), "--config".into(), self.config().into()];
        let log = self.folder.join("log");
        let server = Server::start(Some(self.cores), under, &self.program, &arguments, self.address, &log)?;
        let start = Instant::now();
        while let Err(e) = post::ask(server.address, &post::request("empty", None, None)) {
            if start.elapsed() > PATIENCE {
                return Err(format!("the gateway does not serve: {e}\n{}", fs::read_to_string(log)?).into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// Runs another command of the program, and gives what it prints.
    pub fn command(&self, arguments: &[&str]) -> Result<String> {
        let output = Command::new(&self.program).args(arguments).arg("--config").arg(self.config()).output()?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into()),
        }
    }

    fn config(&self) -> PathBuf {
        self.folder.join("menlou.toml")
    }
}
