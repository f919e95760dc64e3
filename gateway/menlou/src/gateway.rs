//! The gateway: built from its config, then run until it is stopped. The only place where the crates are composed.

use crate::{
    control::ControlSocket,
    permissions,
    reload::{ConfigSource, ReloadHandle, ReloadRequests, Reloader},
    telemetry::{self, Metrics, metrics_upkeep},
};
use arc_swap::ArcSwap;
use menlou_action::{ExitGuard, PluginRegistry, Services, Watchdog};
use menlou_admin::{ReadinessLog, tokens::FailedAttempts};
use menlou_config::{config_error::ConfigError, keyring::Keyring, server::Config};
use menlou_error::text::{Language, Text};
use menlou_platform::{
    exchange::CodeExchange,
    http::{HttpClient, KeepAlive},
};
use menlou_policy::{
    HashingQueue,
    admission::AdmissionController,
    rate_limits::{AttemptLimits, LoginAttempts, RateLimiter},
};
use menlou_server::{HttpService, TrafficService, TrafficState, guard_config, proxies::Proxies, tls::Tls};
use menlou_store::{StoreConfig, Stores};
use menlou_tenant::{PluginReloader, ReloadHistory, ReloadTrigger, TenantRegistry, TenantWatcher};
use std::{
    future::Future,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::available_parallelism,
};
use tokio::{
    net::{TcpListener, TcpSocket},
    sync::{Semaphore, oneshot},
    task::JoinSet,
    time::sleep,
};
use tower::{
    Layer,
    layer::util::{Identity, Stack},
};

/// How many connections may wait to be accepted. The kernel may allow fewer (`net.core.somaxconn`).
const BACKLOG: u32 = 4096;

/// How many checks of credentials with a platform may run at the same time.
const MAX_VERIFICATIONS: usize = 4;

/// A gateway that is ready to serve: everything is built and its ports are bound. `L` are the layers that were added to
/// its request path, see [`Gateway::layer`].
pub struct Gateway<L = Identity> {
    built: Built,
    layers: L,
}

struct Built {
    config: Config,
    library: Arc<ArcSwap<PluginRegistry>>,
    services: Arc<Services>,
    registry: Arc<TenantRegistry>,
    watcher: TenantWatcher,
    admission: Arc<AdmissionController>,
    tls: Option<Arc<Tls>>,
    traffic: TcpListener,
    admin: TcpListener,
    admin_tls: Option<Arc<Tls>>,
    reload_history: Arc<ReloadHistory>,
    metrics: Metrics,
    source: Option<ConfigSource>,
    reload: ReloadHandle,
    reload_requests: ReloadRequests,
    /// Reports plugins that block a worker thread, until it is dropped.
    _watchdog: Watchdog,
    /// Keeps plugins from ending the process as if it had been stopped, until it is dropped.
    _exit_guard: ExitGuard,
}

impl Gateway {
    /// Builds everything. Invalid tenants and plugins are logged and left out; the stores may be down for now.
    ///
    /// # Errors
    /// Whatever makes serving impossible: a port in use, a plugin folder or database file that cannot be opened.
    pub async fn build(config: Config) -> Result<Self, Text> {
        telemetry::log(&config.log)?;
        let metrics = telemetry::metrics()?;
        // Before the code of a plugin runs.
        permissions::check(&config, &plugin_folder(&config)?)?;
        let library = open_library(&config)?;
        for plugin in library.plugins() {
            let actions = plugin.actions.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(",");
            tracing::info!(plugin = plugin.name, version = plugin.version, actions, "plugin loaded");
        }
        for rejected in library.rejected() {
            let why = rejected.why.text();
            let why = why.get(Language::for_operator());
            tracing::error!(file = %rejected.path.display(), "plugin rejected: {why}");
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
        let limiter = Arc::new(RateLimiter::new(services.stores.rate_limits.clone(), admission.clone()));
        let reload_history = plugins.history();
        let mut watcher =
            TenantWatcher::new(config.tenants.dir.clone(), plugins, services.clone(), limiter, registry.clone());
        tokio::task::block_in_place(|| watcher.reload());
        let tls = load_certificates(&config)?;
        let traffic = listen(config.server.listen)?;
        let admin = listen(config.admin.listen)?;
        let (reload, reload_requests) = ReloadHandle::new();
        let workers = tokio::runtime::Handle::current().metrics().num_workers();
        let watchdog = Watchdog::start(workers).map_err(|e| failed("线程", "a thread", e))?;
        let ports = [&traffic, &admin].map(|listener| listener.local_addr().map_or(0, |address| address.port()));
        let built = Built {
            source: None,
            reload,
            reload_requests,
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
            reload_history,
            metrics,
            _watchdog: watchdog,
            _exit_guard: ExitGuard::start(&ports),
        };
        Ok(Self { built, layers: Identity::new() })
    }
}

impl<L> Gateway<L> {
    /// Adds a `tower::Layer` to the request path of the traffic port, outside those that were added before.
    ///
    /// The layer finds a [`RequestContext`](menlou_server::layers::request_context::RequestContext) in the extensions of
    /// requests, and sees every response but those to requests that the guard refuses. Its panics are caught. Its error
    /// type has to be `Infallible`, as that of the service inside it: failures are responses.
    pub fn layer<T>(self, layer: T) -> Gateway<Stack<L, T>> {
        Gateway { built: self.built, layers: Stack::new(self.layers, layer) }
    }

    /// Sets how a reload reads the config. Without it, a reload keeps the config.
    pub fn config_source(
        mut self,
        source: impl Fn() -> Result<Config, Vec<ConfigError>> + Send + Sync + 'static,
    ) -> Self {
        self.built.source = Some(Box::new(source));
        self
    }

    /// Requests reloads of the running gateway.
    pub fn reload_handle(&self) -> ReloadHandle {
        self.built.reload.clone()
    }

    /// Serves until `stop` is ready and the requests in flight have ended.
    pub async fn run(self, stop: impl Future<Output = ()>)
    where
        L: Layer<TrafficService, Service: HttpService>,
    {
        self.built.run(self.layers, stop).await;
    }
}

impl Built {
    async fn run<L>(self, layers: L, stop: impl Future<Output = ()>)
    where
        L: Layer<TrafficService, Service: HttpService>,
    {
        let address = |listener: &TcpListener| listener.local_addr().map_or_else(|e| e.to_string(), |a| a.to_string());
        tracing::info!(
            traffic = %format!("http{}://{}/srv/", if self.tls.is_some() { "s" } else { "" }, address(&self.traffic)),
            admin = %format!("http{}://{}/", if self.admin_tls.is_some() { "s" } else { "" }, address(&self.admin)),
            tenants = self.registry.len(),
            sessions = store_name(&self.config, self.config.store.sessions.is_some(), "Redis"),
            users = store_name(&self.config, self.config.store.users.is_some(), "PostgreSQL"),
            "menlou {} serves", env!("CARGO_PKG_VERSION"),
        );
        if self.config.testing.allow_test_openids {
            tracing::warn!("[testing] allow_test_openids is on: test openids of tenants can log in without a code");
        }
        let stopping = Arc::new(AtomicBool::new(false));
        let mut tasks = JoinSet::new();
        let (reload_tenants, tenant_reloads) = ReloadTrigger::new();
        tasks.spawn(self.watcher.run(tenant_reloads));
        for tls in self.tls.iter().chain(&self.admin_tls) {
            tasks.spawn(tls.clone().watch());
        }
        tasks.spawn(metrics_upkeep::run(self.metrics.clone(), self.registry.clone()));
        let access_log = Arc::new(AtomicBool::new(self.config.log.access));
        let reloader = Reloader {
            source: self.source,
            running: self.config.clone(),
            tls: self.tls.clone(),
            admin_tls: self.admin_tls.clone(),
            access_log: access_log.clone(),
            tenants: reload_tenants,
        };
        tasks.spawn(reloader.run(self.reload_requests));
        match ControlSocket::bind(&self.config) {
            Ok(socket) => {
                tasks.spawn(socket.serve(self.reload));
            }
            Err(e) => {
                tracing::warn!(cause = %e, "no control socket beside the SQLite file: use SIGHUP instead of menlou reload")
            }
        }
        if let Some(retention) = audit_retention(&self.config) {
            tasks.spawn(retention.run(self.services.stores.admins.clone()));
        }
        let proxies = Arc::new(Proxies::new(&self.config.proxies));
        let admin_state = menlou_admin::AdminState {
            registry: self.registry.clone(),
            tenants_folder: self.config.tenants.dir.clone(),
            keyring: self.config.keyring.clone(),
            library: self.library,
            reload_history: self.reload_history,
            stores: self.services.stores.clone(),
            http: self.services.http.clone(),
            verifications: Semaphore::new(MAX_VERIFICATIONS),
            failed_attempts: FailedAttempts::new(),
            work_limits: menlou_admin::WorkLimits::new(self.config.admin.writes_per_minute),
            render_metrics: metrics_upkeep::renderer(self.metrics, self.registry.clone()),
            traffic_addr: self.config.server.listen,
            allowed_upstream_hosts: self.config.admin.allowed_upstream_hosts.as_slice().into(),
            proxies: proxies.clone(),
            readiness_log: ReadinessLog::default(),
            stopping: stopping.clone(),
        };
        let admin_listener = menlou_admin::AdminListener {
            tls: self.admin_tls,
            guard: guard_config(&self.config.server, &self.config.clients, &self.config.http2),
            first_byte_timeout: self.config.clients.first_byte_timeout.get(),
            proxies: proxies.clone(),
            drain_timeout: self.config.server.drain_timeout.get(),
        };
        let hosts =
            menlou_admin::AllowedHosts::new(self.config.admin.listen.ip(), self.config.admin.allowed_hosts.clone());
        let (stop_admin, admin_stops) = oneshot::channel::<()>();
        let admin_stop = async {
            // An error means that this function was dropped: stop too.
            let _ = admin_stops.await;
        };
        let admin = menlou_admin::serve(self.admin, admin_listener, hosts, Arc::new(admin_state), admin_stop);
        let admin = tokio::spawn(admin);
        let traffic = TrafficState {
            registry: self.registry,
            admission: self.admission,
            limits: self.config.server.clone(),
            clients: self.config.clients.clone(),
            proxies: proxies.clone(),
            tls: self.tls,
            handshake_timeout: self.config.tls.handshake_timeout.get(),
            http2: self.config.http2.clone(),
            access_log,
        };
        let stop = async {
            stop.await;
            stopping.store(true, Ordering::Release);
            telemetry::service_manager::stopping();
            if let Some(delay) = self.config.server.drain_delay {
                sleep(delay.get()).await;
            }
        };
        telemetry::end_of_start();
        telemetry::service_manager::ready();
        menlou_server::serve_traffic(self.traffic, Arc::new(traffic), layers, stop).await;
        // Last, so that probes see until then that the gateway is stopping.
        let _ = stop_admin.send(());
        if let Err(e) = admin.await {
            tracing::error!(cause = %e, "the admin listener ended early");
        }
        tasks.shutdown().await;
        tracing::info!("menlou has stopped");
    }
}

/// Logs what is wrong with the keys of sealed secrets. Tenants with sealed secrets have errors of their own.
fn warn_of_keys(keyring: &Keyring) {
    let language = Language::for_operator();
    if let Some(text) = keyring.is_set().then(|| keyring.keys().err()).flatten() {
        tracing::error!("[secrets] keys_file: {}", text.get(language));
    }
    if let Some(text) = keyring.warning() {
        tracing::warn!("{}", text.get(language));
    }
}

/// Loads the certificates of the traffic port; `None` where it speaks plain HTTP.
///
/// # Errors
/// A certificate or key that is invalid.
pub fn load_certificates(config: &Config) -> Result<Option<Arc<Tls>>, Text> {
    let tls = &config.tls;
    if tls.certificates.is_empty() {
        return Ok(None);
    }
    let protocols: &[&str] = if config.http2.enabled { &["h2", "http/1.1"] } else { &["http/1.1"] };
    Tls::load(&tls.certificates, tls.client_ca.as_deref(), protocols).map(Some)
}

/// Loads the certificate of the admin port; `None` where it speaks plain HTTP.
///
/// # Errors
/// A certificate or key that is invalid.
pub fn load_admin_certificate(config: &Config) -> Result<Option<Arc<Tls>>, Text> {
    let Some(certificate) = config.admin.certificate() else { return Ok(None) };
    Tls::load(&[certificate], None, &["http/1.1"]).map(Some)
}

/// Opens the plugin folder: the configured one, else `plugins` beside the program.
///
/// # Errors
/// The folder cannot be read.
pub fn open_library(config: &Config) -> Result<PluginRegistry, Text> {
    let folder = plugin_folder(config)?;
    PluginRegistry::load(&folder).map_err(|e| {
        let folder = folder.display();
        Text::new(
            format!("无法读取插件文件夹 {folder}：{e}（用 [plugins] dir 指定）"),
            format!("could not read the plugin folder {folder}: {e} (set it with [plugins] dir)"),
        )
    })
}

/// Settings of the stores.
pub fn store_settings(config: &Config) -> StoreConfig {
    // Resolved when the config was loaded: nothing is read here.
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

/// Opens what all tenants share.
///
/// # Errors
/// A store or HTTP client that could not be initialised.
pub async fn services(config: &Config) -> Result<Services, Text> {
    let stores = Stores::open(&store_settings(config)).await.map_err(|e| failed("存储", "the store", e))?;
    let passwords = &config.passwords;
    Ok(Services {
        exchanges: CodeExchange::new(stores.ephemeral.clone()),
        stores,
        http: HttpClient::with_keep_alive(keep_alive(config))
            .map_err(|e| failed("HTTP 客户端", "the HTTP client", e))?,
        allow_test_openids: config.testing.allow_test_openids,
        attempts: LoginAttempts::new(AttemptLimits {
            per_account: passwords.attempts_per_account,
            per_openid: passwords.attempts_per_openid,
            per_address: passwords.attempts_per_address,
            window: passwords.attempts_window.get(),
        }),
        hashing: HashingQueue::new(available_parallelism().map_or(1, usize::from)),
    })
}

fn keep_alive(config: &Config) -> KeepAlive {
    let upstreams = &config.upstreams;
    KeepAlive { idle_timeout: upstreams.keep_alive_timeout.get(), max_age: upstreams.max_connection_age.get() }
}

/// The plugin folder: the configured one, else `plugins` beside the program.
///
/// # Errors
/// The path of the program is unknown.
pub fn plugin_folder(config: &Config) -> Result<PathBuf, Text> {
    if let Some(folder) = &config.plugins.dir {
        return Ok(folder.clone());
    }
    let program = std::env::current_exe().map_err(|e| failed("程序路径", "the path of the program", e))?;
    Ok(program.parent().unwrap_or(Path::new(".")).join("plugins"))
}

fn listen(address: SocketAddr) -> Result<TcpListener, Text> {
    let bound = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // A port is usable while connections of an earlier process are closing.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    bound().map_err(|e| Text::new(format!("无法监听 {address}：{e}"), format!("could not listen on {address}: {e}")))
}

fn failed(zh: &str, en: &str, e: impl std::fmt::Display) -> Text {
    Text::new(format!("无法初始化{zh}：{e}"), format!("could not initialise {en}: {e}"))
}

fn store_name(config: &Config, is_remote: bool, name: &str) -> String {
    if is_remote { name.to_owned() } else { config.store.path.display().to_string() }
}

/// How long the audit log is kept; `None` means for ever.
fn audit_retention(config: &Config) -> Option<menlou_admin::AuditRetention> {
    let beside_store = || config.store.path.parent().unwrap_or(Path::new("")).join("audit");
    let folder = config.admin.audit_export_dir.clone().unwrap_or_else(beside_store);
    config.admin.audit_retention_months.map(|months| menlou_admin::AuditRetention { months, folder })
}
