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

/// All load comes from one address, and waits on its connections while other servers are measured.
const CLIENTS: &str = "max_connections_per_address = 1000000\nmax_requests_per_connection = 1000000000\n\
    first_byte_timeout = \"10m\"\nkeep_alive_timeout = \"10m\"\n";

/// All that servers need, until dropped.
pub struct House {
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

impl House {
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
        let mut house = Self { cores, simulator, plugins, upstream, asked: None, redis, programs, folder };
        let model = house.gateway("model", Variant::default(), &[])?;
        fs::write(house.answer(), post::send(model.address, &post::request("empty", None, None))?)?;
        house.asked = Some(house.serve(None, upstream, "upstream", &[])?);
        Ok(house)
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

    /// Starts a gateway in a folder of its own, and waits until it serves.
    pub fn gateway(&self, name: &str, variant: Variant, under: Under<'_>) -> Result<Server> {
        let folder = self.folder.path().join(name);
        let tenants = folder.join("tenants");
        fs::create_dir_all(&tenants)?;
        let address = loopback(free_port());
        let sessions = match variant.redis {
            true => format!("sessions = \"{}\"\n", self.redis.url()),
            false => String::new(),
        };
        let config = format!(
            "[server]\nlisten = \"{address}\"\n[admin]\nlisten = \"{}\"\n[plugins]\ndir = \"{}\"\n[store]\n{sessions}\
             [clients]\n{CLIENTS}[log]\naccess = {}\n",
            loopback(free_port()),
            self.plugins.display(),
            variant.access_log
        );
        let tenant = format!(
            "name = \"Bench\"\n[wechat]\nappid = \"{DEMO_APPID}\"\nsecret = \"{DEMO_SECRET}\"\nbase_url = \"{}\"\n\
             [actions.empty]\n[actions.openid]\n[actions.login]\nmethods = [\"profile\"]\n[actions.user]\n\
             [actions.proxy]\nupstream = \"http://{}\"\nlogin = \"none\"\nkey = \"0123456789abcdef0123456789abcdef\"\n",
            self.simulator.base_url(),
            self.upstream
        );
        fs::write(tenants.join("bench.toml"), tenant)?;
        fs::write(folder.join("menlou.toml"), config)?;
        let arguments: [OsString; 3] = ["run".into(), "--config".into(), folder.join("menlou.toml").into()];
        let program = self.programs.join("menlou");
        let server = Server::start(Some(self.cores), under, &program, &arguments, address, &folder.join("log"))?;
        let start = Instant::now();
        while let Err(e) = post::ask(server.address, &post::request("empty", None, None)) {
            if start.elapsed() > Duration::from_secs(30) {
                return Err(
                    format!("the gateway does not serve: {e}\n{}", fs::read_to_string(folder.join("log"))?).into()
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(server)
    }

    fn answer(&self) -> PathBuf {
        self.folder.path().join("answer")
    }
}
