//! The gateway: built whole from its config, then run until told to stop. The one place that composes.

use crate::telemetry;
use arc_swap::ArcSwap;
use menlou_action::{PluginRegistry, Services, Watchdog};
use menlou_admin::tokens::FailedAttempts;
use menlou_config::{
    keyring::Keyring,
    server::{Certificate, Config},
};
use menlou_error::text::{Language, Text};
use menlou_platform::{exchange::CodeExchange, http::Http};
use menlou_policy::{
    attempts::AttemptLimits,
    limits::{AdmissionController, Limiter},
};
use menlou_server::proxies::Proxies;
use menlou_server::tls::Tls;
use menlou_server::{TrafficState, wire};
use menlou_store::{StoreConfig, Stores};
use menlou_tenant::{PluginReloader, ReloadHistory, TenantRegistry, Watcher};
use metrics_exporter_prometheus::PrometheusHandle;
use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::available_parallelism,
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::Semaphore,
    task::JoinSet,
    time::{interval, sleep},
};

/// How many connections wait to be taken up; where the system allows fewer (net.core.somaxconn), those.
const BACKLOG: u32 = 4096;

/// How many platforms admins may have asked at once whether credentials work.
const MAX_VERIFICATIONS: usize = 4;

/// A gateway that is about to serve: everything is built, its ports are taken.
pub struct Gateway {
    config: Config,
    library: Arc<ArcSwap<PluginRegistry>>,
    services: Arc<Services>,
    registry: Arc<TenantRegistry>,
    watcher: Watcher,
    admission: Arc<AdmissionController>,
    tls: Option<Arc<Tls>>,
    traffic: TcpListener,
    admin: TcpListener,
    admin_tls: Option<Arc<Tls>>,
    swaps: Arc<ReloadHistory>,
    metrics: PrometheusHandle,
    /// Told of plugins that never return, until it is dropped.
    _watchdog: Watchdog,
}

impl Gateway {
    /// Builds everything. Bad tenants and plugins are told and left out; the stores may be away for now.
    ///
    /// # Errors
    /// What makes serving impossible: a port that is taken, a plugin folder or database file that can't be opened.
    pub async fn build(config: Config) -> Result<Self, Text> {
        telemetry::log(&config.log);
        let metrics = telemetry::metrics().map_err(|e| failed("指标", "the metrics", e))?;
        let library = open_library(&config)?;
        for plugin in library.plugins() {
            let actions = plugin.actions.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(",");
            tracing::info!(plugin = plugin.name, version = plugin.version, actions, "plugin loaded");
        }
        for refused in library.rejected() {
            let why = refused.why.text();
            let why = why.get(Language::for_operator());
            tracing::error!(file = %refused.path.display(), "plugin refused: {why}");
        }
        let services = Arc::new(services(&config).await?);
        let registry = Arc::new(TenantRegistry::default());
        let library = Arc::new(ArcSwap::from_pointee(library));
        let admin_tls = load_admin_certificate(&config)?;
        warn_of_keys(&config.keyring);
        let plugins = PluginReloader::new(plugin_folder(&config)?, library.clone(), config.keyring.clone());
        let admission = Arc::new(AdmissionController::new(
            config.server.max_concurrent_requests,
            config.server.max_concurrent_requests_per_tenant,
        ));
        let limiter = Arc::new(Limiter::new(services.stores.rate_limits.clone(), admission.clone()));
        let swaps = plugins.swaps();
        let mut watcher =
            Watcher::new(config.tenants.dir.clone(), plugins, services.clone(), limiter, registry.clone());
        tokio::task::block_in_place(|| watcher.look());
        let tls = load_certificates(&config)?;
        let traffic = listen(config.server.listen)?;
        let admin = listen(config.admin.listen)?;
        let watchdog = Watchdog::start().map_err(|e| failed("线程", "a thread", e))?;
        Ok(Self {
            config,
            library,
            services,
            registry,
            watcher,
            admission,
            tls,
            traffic,
            admin,
            admin_tls,
            swaps,
            metrics,
            _watchdog: watchdog,
        })
    }

    /// Serves until `stop` is ready, then lets the calls in call end.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let address = |listener: &TcpListener| listener.local_addr().map_or_else(|e| e.to_string(), |a| a.to_string());
        tracing::info!(
            traffic = %format!("http{}://{}/srv/", if self.tls.is_some() { "s" } else { "" }, address(&self.traffic)),
            admin = %format!("http{}://{}/", if self.admin_tls.is_some() { "s" } else { "" }, address(&self.admin)),
            tenants = self.registry.len(),
            sessions = place(&self.config, self.config.store.sessions.is_some(), "Redis"),
            users = place(&self.config, self.config.store.users.is_some(), "PostgreSQL"),
            "menlou {} serves", env!("CARGO_PKG_VERSION"),
        );
        if self.config.testing.allow_test_openids {
            tracing::warn!("[testing] allow_test_openids is on: the test openids of tenants log in without a code");
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        tasks.spawn(self.watcher.run());
        if let Some(tls) = &self.tls {
            tasks.spawn(tls.clone().follow());
        }
        tasks.spawn(upkeep(self.metrics.clone()));
        let proxies = Arc::new(Proxies::new(&self.config.proxies));
        let admin_state = menlou_admin::AdminState {
            registry: self.registry.clone(),
            tenants_folder: self.config.tenants.dir.clone(),
            keyring: self.config.keyring.clone(),
            library: self.library,
            reload_history: self.swaps,
            stores: self.services.stores.clone(),
            http: self.services.http.clone(),
            verifications: Semaphore::new(MAX_VERIFICATIONS),
            failed_attempts: FailedAttempts::new(),
            metrics: self.metrics,
            traffic_addr: self.config.server.listen,
            allowed_upstream_hosts: self.config.admin.allowed_upstream_hosts.as_slice().into(),
            proxies: proxies.clone(),
            stopping: stopping.clone(),
        };
        let limits = wire::Limits::of(&self.config.server, &self.config.clients, &self.config.http2);
        tasks.spawn(menlou_admin::serve(self.admin, self.admin_tls, limits, Arc::new(admin_state)));
        let traffic = TrafficState {
            registry: self.registry,
            admission: self.admission,
            limits: self.config.server.clone(),
            clients: self.config.clients.clone(),
            proxies: proxies.clone(),
            tls: self.tls,
            handshake_timeout: self.config.tls.handshake_timeout.get(),
            http2: self.config.http2.clone(),
            access_log: self.config.log.access,
        };
        let stop = async {
            stop.await;
            stopping.store(true, Ordering::Release);
            if let Some(delay) = self.config.server.drain_delay {
                sleep(delay.get()).await;
            }
        };
        menlou_server::serve(self.traffic, Arc::new(traffic), stop).await;
        tasks.shutdown().await;
        tracing::info!("menlou has stopped");
    }
}

/// Tells what is wrong with the keys of sealed secrets. Tenants with sealed secrets show it again, each at its place.
fn warn_of_keys(keyring: &Keyring) {
    let language = Language::for_operator();
    if let Some(text) = keyring.is_set().then(|| keyring.keys().err()).flatten() {
        tracing::error!("[secrets] keys_file: {}", text.get(language));
    }
    if let Some(text) = keyring.warning() {
        tracing::warn!("{}", text.get(language));
    }
}

/// The certificates of the traffic port; `None` where it speaks no TLS.
///
/// # Errors
/// A certificate or key that can't be used.
pub fn load_certificates(config: &Config) -> Result<Option<Arc<Tls>>, Text> {
    let tls = &config.tls;
    if tls.certificates.is_empty() {
        return Ok(None);
    }
    let protocols: &[&str] = if config.http2.enabled { &["h2", "http/1.1"] } else { &["http/1.1"] };
    Tls::load(&tls.certificates, tls.client_ca.as_deref(), protocols).map(Some)
}

/// Loads the certificate of the admin side; `None` where it speaks plain HTTP.
///
/// # Errors
/// A file that can't be used.
pub fn load_admin_certificate(config: &Config) -> Result<Option<Arc<Tls>>, Text> {
    let (Some(cert), Some(key)) = (&config.admin.tls_cert, &config.admin.tls_key) else { return Ok(None) };
    let certificate = Certificate { cert: cert.clone(), key: key.clone() };
    Tls::load(&[certificate], None, &["http/1.1"]).map(Some)
}

/// Opens the plugin folder: the configured one, else `plugins` beside the program.
///
/// # Errors
/// Where the folder can't be read.
pub fn open_library(config: &Config) -> Result<PluginRegistry, Text> {
    let folder = plugin_folder(config)?;
    PluginRegistry::load(&folder).map_err(|e| {
        let folder = folder.display();
        Text::new(
            format!("无法读取插件文件夹 {folder}：{e}（用 [plugins] dir 指定）"),
            format!("the plugin folder {folder} can't be read: {e} (name it with [plugins] dir)"),
        )
    })
}

/// What the stores are opened by.
pub fn store_settings(config: &Config) -> StoreConfig {
    // Resolved when the config was loaded, so nothing is read here.
    let url =
        |reference: &Option<menlou_config::secret::SecretRef>| reference.as_ref().and_then(|r| r.literal().cloned());
    StoreConfig {
        path: config.store.path.clone(),
        sessions: url(&config.store.sessions),
        users: url(&config.store.users),
        users_replica: url(&config.store.users_replica),
        ca_file: config.store.ca_file.clone(),
        prefix: config.store.prefix.clone(),
    }
}

/// What all tenants share, opened.
pub async fn services(config: &Config) -> Result<Services, Text> {
    let stores = Stores::open(&store_settings(config)).await.map_err(|e| failed("存储", "the store", e))?;
    let passwords = &config.passwords;
    Ok(Services {
        exchanges: CodeExchange::new(stores.ephemeral.clone()),
        stores,
        http: Http::new().map_err(|e| failed("HTTP 客户端", "the HTTP client", e))?,
        allow_test_openids: config.testing.allow_test_openids,
        attempts: AttemptLimits {
            per_account: passwords.attempts_per_account,
            per_address: passwords.attempts_per_address,
            window: passwords.attempts_window.get(),
        },
        hashing: Arc::new(Semaphore::new(available_parallelism().map_or(1, usize::from))),
    })
}

/// Where plugins are: the configured folder, else `plugins` beside the program.
///
/// # Errors
/// Where the program's own place can't be told.
pub fn plugin_folder(config: &Config) -> Result<PathBuf, Text> {
    if let Some(folder) = &config.plugins.dir {
        return Ok(folder.clone());
    }
    let program = std::env::current_exe().map_err(|e| failed("程序位置", "the program's place", e))?;
    Ok(program.parent().unwrap_or(Path::new(".")).join("plugins"))
}

fn listen(address: SocketAddr) -> Result<TcpListener, Text> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A port whose last connections are closing is free.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|e| Text::new(format!("无法监听 {address}：{e}"), format!("can't listen on {address}: {e}")))
}

fn failed(zh: &str, en: &str, e: impl std::fmt::Display) -> Text {
    Text::new(format!("{zh}不可用：{e}"), format!("{en} can't be had: {e}"))
}

fn place(config: &Config, elsewhere: bool, name: &str) -> String {
    if elsewhere { name.to_owned() } else { config.store.path.display().to_string() }
}

/// Keeps the histograms' memory bounded, whether or not anyone reads them.
async fn upkeep(metrics: PrometheusHandle) {
    let mut every = interval(Duration::from_secs(5));
    loop {
        every.tick().await;
        metrics.run_upkeep();
    }
}
