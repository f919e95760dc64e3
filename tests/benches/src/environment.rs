//! The environment of the benchmarks: the built programs, the simulator, Redis, and a folder for each gateway.

use crate::{
    Result,
    cores::Cores,
    server::{Server, Wrapper},
    wire,
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

/// Settings of a gateway that differ from the defaults.
#[derive(Clone, Copy, Debug, Default)]
pub struct Variant {
    /// Whether the access log is written to a file; otherwise there is none.
    pub access_log: bool,
    /// Whether sessions are in Redis; otherwise they are in the embedded store.
    pub redis: bool,
}

/// The folder of a gateway.
pub struct Home {
    /// Address of the traffic listener.
    pub address: SocketAddr,
    /// Address of the admin listener.
    pub admin: SocketAddr,
    /// Path of the folder.
    pub folder: PathBuf,
    program: PathBuf,
    cores: Cores,
}

/// All load comes from one address, and its connections are idle while other servers are measured.
const CLIENT_LIMITS: &str = "max_connections_per_address = 1000000\nmax_requests_per_connection = 1000000000\n\
    first_byte_timeout = \"10m\"\nkeep_alive_timeout = \"10m\"\n";

/// Maximum time from listening to the first success; generous, since a gateway under valgrind is slow.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// The environment; dropping it ends its processes and deletes its folder.
pub struct Environment {
    /// The cores of the servers and of the load.
    pub cores: Cores,
    /// The simulated WeChat, on the load's core.
    pub simulator: Simulator,
    /// The folder with the plugins.
    pub plugins: PathBuf,
    /// The upstream of the proxies: bare hyper on the load's core.
    pub upstream: SocketAddr,
    upstream_server: Option<Server>,
    redis: Redis,
    programs: PathBuf,
    folder: TempDir,
}

impl Environment {
    /// Finds the programs in the folder of this one, and starts the servers that the gateways need.
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
        let mut environment =
            Self { cores, simulator, plugins, upstream, upstream_server: None, redis, programs, folder };
        let gateway = environment.gateway("response", Variant::default(), &[])?;
        fs::write(environment.response(), wire::send(gateway.address, &wire::request("empty", None, None))?)?;
        environment.upstream_server = Some(environment.serve(None, upstream, "upstream", &[])?);
        Ok(environment)
    }

    /// The folder for temporary files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Starts bare hyper with the response of the gateway's empty action.
    pub fn bare(&self, wrapper: Wrapper<'_>) -> Result<Server> {
        self.serve(Some(self.cores), loopback(free_port()), "bare", wrapper)
    }

    fn serve(&self, cores: Option<Cores>, address: SocketAddr, name: &str, wrapper: Wrapper<'_>) -> Result<Server> {
        let response = self.response();
        let arguments: [OsString; 5] =
            ["bare".into(), "--listen".into(), address.to_string().into(), "--response".into(), response.into()];
        let program = std::env::current_exe()?;
        Server::start(cores, wrapper, &program, &arguments, address, &self.folder.path().join(format!("{name}.log")))
    }

    /// Creates a folder for a gateway, with a config and without tenants.
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
             [clients]\n{CLIENT_LIMITS}[log]\naccess = {}\n",
            self.plugins.display(),
            variant.access_log
        );
        fs::write(folder.join("menlou.toml"), config)?;
        Ok(Home { program: self.programs.join("menlou"), cores: self.cores, folder, address, admin })
    }

    /// Starts a gateway with one tenant in a new folder, and waits for its first success.
    pub fn gateway(&self, name: &str, variant: Variant, wrapper: Wrapper<'_>) -> Result<Server> {
        let home = self.home(name, variant)?;
        let tenant = format!(
            "name = \"Bench\"\n[wechat]\nappid = \"{DEMO_APPID}\"\nsecret = \"{DEMO_SECRET}\"\nbase_url = \"{}\"\n\
             [actions.empty]\n[actions.openid]\n[actions.login]\nmethods = [\"profile\"]\n[actions.user]\n\
             [actions.proxy]\nupstream = \"http://{}\"\nauth = \"optional\"\nkey = \"0123456789abcdef0123456789abcdef\"\n",
            self.simulator.base_url(),
            self.upstream
        );
        fs::write(home.tenant("bench"), tenant)?;
        home.start(wrapper)
    }

    fn response(&self) -> PathBuf {
        self.folder.path().join("response.http")
    }
}

impl Home {
    /// Path of a tenant's file.
    pub fn tenant(&self, name: &str) -> PathBuf {
        self.folder.join("tenants").join(format!("{name}.toml"))
    }

    /// Starts the gateway, and waits for the first success of the tenant `bench`.
    pub fn start(&self, wrapper: Wrapper<'_>) -> Result<Server> {
        let arguments: [OsString; 3] = ["run".into(), "--config".into(), self.config().into()];
        let log = self.folder.join("log");
        let server = Server::start(Some(self.cores), wrapper, &self.program, &arguments, self.address, &log)?;
        let start = Instant::now();
        while let Err(e) = wire::call(server.address, &wire::request("empty", None, None)) {
            if start.elapsed() > START_TIMEOUT {
                return Err(format!("the gateway is not ready: {e}\n{}", fs::read_to_string(log)?).into());
            }
            // The interval of the polls.
            thread::sleep(Duration::from_millis(5));
        }
        Ok(server)
    }

    /// Runs another command of the program. Returns its output.
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
