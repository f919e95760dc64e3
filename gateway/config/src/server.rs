//! The gateway's own config: `menlou.toml` and environment variables.

mod address;
mod admin;
mod changes;
mod clients;
mod log;
mod proxies;
mod secrets;
mod store;
mod tls;
mod upstreams;

use super::{
    config_error::{ConfigError, quoted},
    duration::ConfigDuration,
    environment::{self, Overrides},
    keyring::Keyring,
    load::{self, Document},
    schema::{self, Schema},
    size::Size,
    zeroize::Zeroized,
};
use address::address_expected;
pub use admin::Admin;
pub use clients::Clients;
pub use log::{Log, LogFormat, LogLevel};
use menlou_error::text::Text;
pub use proxies::{Proxies, ProxyHeader};
use schemars::JsonSchema;
pub use secrets::Secrets;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};
pub use store::Store;
pub use tls::{Certificate, Http2, Tls};
pub use upstreams::Upstreams;

/// The gateway's own config.
/// 网关自身的配置。
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "Menlou: the gateway's config 网关配置")]
pub struct Config {
    /// The listener for clients and the limits of requests.
    /// 客户端监听地址与请求的限制。
    pub server: Server,
    /// Limits and timeouts of client connections.
    /// 客户端连接的限制与超时。
    pub clients: Clients,
    /// Proxies in front of the gateway.
    /// 前置代理。
    pub proxies: Proxies,
    /// TLS of the traffic listener.
    /// 业务端口的 TLS。
    pub tls: Tls,
    /// HTTP/2 of the traffic listener.
    /// 业务端口的 HTTP/2。
    pub http2: Http2,
    /// Connections to the tenants' own services.
    /// 到租户自有服务的连接。
    pub upstreams: Upstreams,
    /// The admin listener: health, readiness, metrics, API and console. It is separate from the traffic listener.
    /// 管理端监听：健康检查、就绪检查、指标、管理接口与控制台，与业务端口分开。
    pub admin: Admin,
    /// The tenants' files.
    /// 租户文件。
    pub tenants: Tenants,
    /// The actions' plugins.
    /// 动作插件。
    pub plugins: Plugins,
    /// The stores of sessions, users and bindings.
    /// 会话、用户与绑定关系的存储。
    pub store: Store,
    /// The keys of sealed secrets.
    /// 密封密钥。
    pub secrets: Secrets,
    /// Limits of attempts to log in with credentials.
    /// 密码尝试次数的限制。
    pub passwords: Passwords,
    /// Settings for tests only.
    /// 仅供测试。
    pub testing: Testing,
    /// Logging.
    /// 日志。
    pub log: Log,
    /// The keys of sealed secrets.
    #[serde(skip)]
    pub keyring: Arc<Keyring>,
    /// Warnings: settings that work but should be changed.
    #[serde(skip)]
    pub warnings: Vec<ConfigError>,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Server {
    /// IP address and port of the listener for clients.
    /// 客户端监听的 IP 地址与端口。
    #[schemars(extend("format" = "socket-address", "x-expected" = address_expected()))]
    pub listen: SocketAddr,
    /// Maximum size of a request body: 1KiB to 64MiB.
    /// 请求体的最大字节数：1KiB 至 64MiB。
    pub max_body: Size,
    /// Maximum number of header fields in a request.
    /// 请求头的最大字段数。
    #[schemars(range(min = 1, max = 1000))]
    pub max_headers: usize,
    /// Maximum size of request line and header fields together: 8KiB to 1MiB.
    /// 请求行与请求头合计的最大字节数：8KiB 至 1MiB。
    pub max_header_bytes: Size,
    /// Maximum number of open connections. Further connections wait in the system's queue.
    /// 同时打开的连接数上限，超出的在系统队列中等待。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_connections: usize,
    /// Maximum number of concurrent requests. Excess requests are rejected with 503.
    /// 并发请求数上限，超出的请求返回 503。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_concurrent_requests: usize,
    /// Maximum number of concurrent requests of one tenant. Default: a dynamic share of max_concurrent_requests. One busy
    /// tenant gets at most half of it, two busy tenants a third each.
    /// 每个租户的并发请求数上限。默认按 max_concurrent_requests 动态分配：一个繁忙租户至多占一半，两个繁忙租户各占三分之一。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_concurrent_requests_per_tenant: Option<usize>,
    /// Maximum time to receive the request header, from its first byte.
    /// 请求头从第一个字节起的接收时限。
    pub header_timeout: ConfigDuration,
    /// Maximum time to receive a body that is read completely before its action runs; see also [clients].
    /// 动作运行前接收整个请求体的时限；另见 [clients]。
    pub body_timeout: ConfigDuration,
    /// Maximum time to handle a request, from its last byte to the response.
    /// 处理请求的时限，从收完请求到返回响应。
    pub call_timeout: ConfigDuration,
    /// If set, the gateway still accepts connections for this time after a shutdown signal, while /readyz returns 503.
    /// 设置后，收到停止信号时先让 /readyz 返回 503，并在此时间内继续接受连接。
    pub drain_delay: Option<ConfigDuration>,
    /// Maximum time for requests in flight to finish at shutdown.
    /// 停止时等待处理中请求完成的时限。
    pub drain_timeout: ConfigDuration,
    /// Whether the process may write core dumps and be attached to by debuggers of its user. Its memory holds secrets.
    /// 是否允许进程产生核心转储、允许同一用户的调试器附加；进程内存中有密钥。
    pub allow_core_dumps: bool,
    /// What happens at the start if every user of the machine can change plugins, tenants or the store, or read files with
    /// secrets: warn, refuse (to start) or ignore.
    /// 启动时若所有用户都能修改插件、租户或存储，或读取含密钥的文件：warn（警告）、refuse（拒绝启动）或 ignore（忽略）。
    pub loose_permissions: LoosePermissions,
}

/// `[server] loose_permissions`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LoosePermissions {
    /// Each is logged.
    #[default]
    Warn,
    /// The gateway does not start.
    Refuse,
    /// They are not checked.
    Ignore,
}

/// `[tenants]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tenants {
    /// Folder with one TOML file for each tenant. Changes are loaded while running.
    /// 租户文件所在的文件夹（每个租户一个 TOML 文件），运行时自动加载改动。
    #[schemars(extend("minLength" = 1))]
    pub dir: PathBuf,
}

/// `[plugins]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Plugins {
    /// Folder with the plugins' libraries. Default: the folder plugins beside the program.
    /// 插件库所在的文件夹；默认为程序旁的 plugins 文件夹。
    #[schemars(extend("minLength" = 1))]
    pub dir: Option<PathBuf>,
}

/// `[passwords]`
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Passwords {
    /// Maximum number of attempts for one account within the window. A successful login resets the count. Openids and
    /// addresses that logged in to the account in the last 30 days are counted separately, so that strangers do not lock
    /// the owner out.
    /// 每个账号在时间窗内的最大尝试次数，登录成功后重新计数。近 30 天内登录过该账号的 openid 与地址各自计数，陌生人锁不住账号的主人。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub attempts_per_account: u64,
    /// Maximum number of attempts from one openid within the window, for all accounts together.
    /// 每个 openid 在时间窗内的最大尝试次数，各账号合计。
    #[schemars(range(min = 1, max = 1_000_000))]
    pub attempts_per_openid: u64,
    /// Maximum number of attempts from one client address within the window. Raise it if clients share addresses, for
    /// example behind a proxy.
    /// 每个客户端地址在时间窗内的最大尝试次数；客户端共用地址（如经代理接入）时应调大。
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub attempts_per_address: u64,
    /// Length of the window, from the first attempt: 1s to 1d.
    /// 时间窗的长度，从第一次尝试算起：1s 至 1d。
    pub attempts_window: ConfigDuration,
}

/// `[testing]`
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Testing {
    /// Whether the openids in a tenant's test_openids may log in without a code. Never enable it in production.
    /// 是否允许租户文件 test_openids 中的 openid 免 code 登录；生产环境切勿启用。
    pub allow_test_openids: bool,
}

impl Config {
    /// Reads the file, if any, and applies the environment: `MENLOU_SERVER__LISTEN` sets `listen` in `[server]`.
    /// Relative paths in the file are resolved against the file's folder, those in variables against the working
    /// directory. The store addresses (`store.sessions`, `store.users`) are resolved: they are [`SecretRef::Literal`]
    /// afterwards.
    ///
    /// # Errors
    /// All errors of the file and of the variables.
    pub fn load(path: Option<&Path>, env: impl Iterator<Item = (String, String)>) -> Result<Self, Vec<ConfigError>> {
        let env: BTreeMap<String, String> = env.collect();
        let (doc, mut errors) = match path.map_or_else(|| Document::parse("", b""), Document::read) {
            Ok(doc) => (doc, Vec::new()),
            Err(errors) => (Document::parse("", b"")?, errors),
        };
        errors.extend(doc.check("", &SCHEMA));
        let mut value = Zeroized::from(doc.value("").cloned().unwrap_or_default());
        let Overrides { variables, errors: variable_errors } =
            environment::apply(&mut value, &SCHEMA, env.clone().into_iter());
        let merged = Merged { doc, value, variables };
        errors.extend(merged.errors());
        let lookup = |name: &str| env.get(name).cloned();
        let keyring = merged.keyring(&lookup).map_err(|error| errors.push(error)).unwrap_or_default();
        let mut address =
            |pointer, schemes| merged.address(pointer, schemes, &lookup, &keyring).map_err(|f| errors.push(f)).ok();
        let sessions = address("/store/sessions", store::REDIS);
        let users = address("/store/users", store::POSTGRES);
        let replica = address("/store/users_replica", store::POSTGRES);
        load::sort(&mut errors);
        errors.extend(variable_errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut config: Self = merged.doc.typed(&merged.value).map_err(|error| vec![error])?;
        config.tenants.dir = merged.folder("/tenants/dir").join(&config.tenants.dir);
        config.admin.tls_cert = config.admin.tls_cert.map(|path| merged.folder("/admin/tls_cert").join(path));
        config.admin.tls_key = config.admin.tls_key.map(|path| merged.folder("/admin/tls_key").join(path));
        config.admin.audit_export_dir =
            config.admin.audit_export_dir.map(|path| merged.folder("/admin/audit_export_dir").join(path));
        config.plugins.dir = config.plugins.dir.map(|dir| merged.folder("/plugins/dir").join(dir));
        config.tls.rebase(merged.doc.folder());
        config.store.path = merged.folder("/store/path").join(&config.store.path);
        config.store.ca_file = config.store.ca_file.map(|ca| merged.folder("/store/ca_file").join(ca));
        config.log.file = config.log.file.map(|file| merged.folder("/log/file").join(file));
        config.store.sessions = sessions.flatten();
        config.store.users = users.flatten();
        config.store.users_replica = replica.flatten();
        config.keyring = Arc::new(keyring);
        config.warnings = merged.warnings();
        Ok(config)
    }
}

/// JSON pointers of the settings that can be sealed.
pub fn secrets() -> Vec<String> {
    let all = schema::secret_properties(SCHEMA.as_json()).into_iter();
    all.filter(|pointer| !pointer.starts_with("/secrets/")).collect()
}

/// The JSON Schema of the config.
pub fn schema() -> Value {
    schema::generate::<Config>("urn:menlou:schema:server")
}

#[expect(clippy::expect_used, reason = "our own schema: it compiles, or each test of this module fails")]
static SCHEMA: LazyLock<Schema> = LazyLock::new(|| Schema::compile(&schema()).expect("the config's schema"));

/// The settings of the file, overridden by those of the environment.
struct Merged {
    doc: Document,
    value: Zeroized,
    variables: BTreeMap<String, String>,
}

impl Merged {
    fn error(&self, pointer: &str, text: Text, open: bool) -> ConfigError {
        match self.variables.get(pointer) {
            Some(variable) => ConfigError::in_variable(variable, text),
            None if open => self.doc.error_with_value(pointer, text),
            None => self.doc.error_at(pointer, text),
        }
    }

    /// The folder that a relative path in this setting is resolved against.
    fn folder(&self, pointer: &str) -> &Path {
        if self.variables.contains_key(pointer) { Path::new("") } else { self.doc.folder() }
    }

    /// Checks that a schema cannot express. They read the raw values, so that other errors do not hide them.
    fn errors(&self) -> Vec<ConfigError> {
        let mut errors = Vec::new();
        let text = |pointer: &str| self.value.pointer(pointer).and_then(Value::as_str);
        let of_server = [
            ("/server/max_body", Size::kib(1), Size::mib(64)),
            // hyper does not accept a lower limit.
            ("/server/max_header_bytes", Size::kib(8), Size::mib(1)),
        ];
        for (pointer, least, most) in of_server.into_iter().chain(Clients::SIZES) {
            let size: Option<Size> = text(pointer).and_then(|t| t.parse().ok());
            if size.is_some_and(|s| s < least || s > most) {
                let name = quoted(pointer.rsplit('/').next().unwrap_or_default());
                let text = Text::new(
                    format!("{name} 应在 {least} 至 {most} 之间"),
                    format!("{name} must be from {least} to {most}"),
                );
                errors.push(self.error(pointer, text, true));
            }
        }
        let window = text("/passwords/attempts_window").and_then(|t| t.parse::<ConfigDuration>().ok());
        if window.is_some_and(|w| !(Duration::from_secs(1)..=Duration::from_secs(86_400)).contains(&w)) {
            let text = Text::fixed("`attempts_window` 应在 1s 至 1d 之间", "`attempts_window` must be from 1s to 1d");
            errors.push(self.error("/passwords/attempts_window", text, true));
        }
        if text("/store/users_replica").is_some() && text("/store/users").is_none() {
            let text = Text::fixed(
                "`users_replica` 须与 `users` 同时填写：它是 `users` 的只读副本",
                "`users_replica` needs `users`: it is a read-only replica of `users`",
            );
            errors.push(self.error("/store/users_replica", text, false));
        }
        let listen = |pointer: &str, default: SocketAddr| match self.value.pointer(pointer) {
            Some(value) => value.as_str().and_then(|t| t.parse().ok()),
            None => Some(default),
        };
        let traffic: Option<SocketAddr> = listen("/server/listen", Server::default().listen);
        let admin = listen("/admin/listen", Admin::default().listen);
        if traffic.is_some_and(|t| t.port() != 0) && traffic == admin {
            let text =
                Text::fixed("[admin] 与 [server] 的 listen 不能相同", "[admin] listen and [server] listen must differ");
            // If only a variable was set, there is no file to show.
            let of_variable = self.variables.contains_key("/server/listen");
            let pointer = if of_variable { "/server/listen" } else { "/admin/listen" };
            errors.push(self.error(pointer, text, true));
        }
        errors.extend(self.admin_errors(admin));
        errors
    }

    /// Checks that the admin listener uses TLS where it is not bound to a loopback address.
    fn admin_errors(&self, listen: Option<SocketAddr>) -> Option<ConfigError> {
        let has = |pointer: &str| self.value.pointer(pointer).is_some();
        let (cert, key) = (has("/admin/tls_cert"), has("/admin/tls_key"));
        if cert != key {
            let text =
                Text::fixed("`tls_cert` 与 `tls_key` 须一起填写", "`tls_cert` and `tls_key` must be set together");
            return Some(self.error(if cert { "/admin/tls_cert" } else { "/admin/tls_key" }, text, true));
        }
        let allowed = self.value.pointer("/admin/allow_plain_http") == Some(&Value::Bool(true));
        let listen = listen.filter(|listen| !listen.ip().is_loopback() && !cert && !allowed)?;
        let text = Text::new(
            format!(
                "管理端不在非回环地址 {listen} 上使用明文 HTTP：请配置 tls_cert 与 tls_key，或在私有网络中设置 allow_plain_http = true"
            ),
            format!(
                "the admin listener does not use plain HTTP on {listen}, which is not a loopback address: set tls_cert and tls_key, or allow_plain_http = true if the network is private"
            ),
        );
        Some(self.error("/admin/listen", text, true))
    }
}

impl Admin {
    /// Certificate and key of the admin listener, if it uses HTTPS.
    pub fn certificate(&self) -> Option<Certificate> {
        Some(Certificate { cert: self.tls_cert.clone()?, key: self.tls_key.clone()? })
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 8080).into(),
            max_body: Size::mib(1),
            max_headers: 100,
            max_header_bytes: Size::kib(16),
            max_connections: 10_000,
            max_concurrent_requests: 4096,
            max_concurrent_requests_per_tenant: None,
            header_timeout: ConfigDuration::secs(20),
            body_timeout: ConfigDuration::secs(15),
            call_timeout: ConfigDuration::secs(10),
            drain_delay: None,
            drain_timeout: ConfigDuration::secs(30),
            allow_core_dumps: false,
            loose_permissions: LoosePermissions::Warn,
        }
    }
}

impl Default for Tenants {
    fn default() -> Self {
        Self { dir: "tenants".into() }
    }
}

impl Default for Passwords {
    fn default() -> Self {
        Self {
            attempts_per_account: 10,
            attempts_per_openid: 30,
            attempts_per_address: 200,
            attempts_window: ConfigDuration::secs(15 * 60),
        }
    }
}
