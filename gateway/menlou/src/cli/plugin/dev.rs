//! `menlou plugin dev`: builds a plugin on each save, deploys it into the folder of the running gateway, and reports
//! the result.

mod begin;

use super::samples;
use crate::cli::{
    output::{self, fail, say, show_errors},
    runtime,
    shutdown_signal::shutdown_signal,
};
use crate::gateway::plugin_folder;
use http::{HeaderMap, Method};
use menlou_action::{Descriptor, Plugin};
use menlou_config::{
    config_error::ConfigError,
    load::Document,
    server::Config,
    tenant::{TenantFile, TenantName},
};
use menlou_error::text::Text;
use menlou_platform::http::{HttpClient, HttpRequest};
use menlou_policy::Access;
use notify::{RecursiveMode, Watcher};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread::sleep,
    time::{Duration, Instant},
};

/// Maximum time for a gateway to load a new version.
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Saves within this time are built together.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Interval at which the gateway started here is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Arguments of `plugin dev`.
#[derive(clap::Args)]
pub struct Arguments {
    /// 插件的文件夹（含 Cargo.toml 或 Makefile）。Folder of the plugin, with a Cargo.toml or a Makefile.
    folder: PathBuf,
    /// 用来试用的租户。The tenant to try the plugin with.
    #[arg(long)]
    tenant: String,
    /// 只构建并部署一次，不监视源码，也不启动网关。Build and deploy once, without watching the sources and without starting a gateway.
    #[arg(long)]
    once: bool,
}

pub fn run(
    config: impl FnOnce() -> Result<Config, Vec<ConfigError>>,
    file: Option<&Path>,
    arguments: &Arguments,
) -> ExitCode {
    let config = match config() {
        Ok(config) => config,
        Err(errors) => {
            show_errors(&errors);
            return ExitCode::FAILURE;
        }
    };
    let done = DevSession::new(config, file, arguments).and_then(|mut session| match arguments.once {
        true => session.build_and_deploy(),
        false => session.watch(),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fail(&text),
    }
}

/// A development session of one plugin.
struct DevSession {
    config: Config,
    /// Path of the config file.
    file: Option<PathBuf>,
    folder: PathBuf,
    plugins: PathBuf,
    tenant: TenantName,
    once: bool,
    /// The gateway, if this command has started one.
    started: Option<begin::Gateway>,
    runtime: tokio::runtime::Runtime,
    http: HttpClient,
}

/// Events that a session waits for.
enum DevEvent {
    Saved,
    Stop,
}

impl DevSession {
    fn new(config: Config, file: Option<&Path>, arguments: &Arguments) -> Result<Self, Text> {
        let folder = arguments.folder.clone();
        if !folder.join("Cargo.toml").is_file() && !folder.join("Makefile").is_file() {
            let folder = folder.display();
            return Err(Text::new(
                format!("{folder} 里没有 Cargo.toml 或 Makefile：用 menlou plugin new 新建插件"),
                format!("{folder} has neither a Cargo.toml nor a Makefile: create a plugin with menlou plugin new"),
            ));
        }
        Ok(Self {
            plugins: plugin_folder(&config)?,
            tenant: TenantName::parse(&arguments.tenant)?,
            runtime: runtime::start()?,
            http: HttpClient::new().map_err(|e| Text::new(format!("HTTP 客户端不可用：{e}"), e.to_string()))?,
            file: file.map(Path::to_owned),
            once: arguments.once,
            started: None,
            config,
            folder,
        })
    }

    /// Builds and deploys on every save until a shutdown signal arrives.
    fn watch(&mut self) -> Result<(), Text> {
        let broken =
            |e: notify::Error| Text::new(format!("无法监视源码：{e}"), format!("could not watch the sources: {e}"));
        let (sender, events) = mpsc::channel();
        let stop = sender.clone();
        self.runtime.spawn(async move {
            shutdown_signal().await;
            let _ = stop.send(DevEvent::Stop); // the receiver is dropped only when the program ends
        });
        let folder = std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let from = folder.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event
                && !event.kind.is_access()
                && event.paths.iter().any(|path| is_source(path.strip_prefix(&from).unwrap_or(path)))
            {
                let _ = sender.send(DevEvent::Saved); // see above
            }
        })
        .map_err(broken)?;
        watcher.watch(&folder, RecursiveMode::Recursive).map_err(broken)?;
        loop {
            if let Err(text) = self.build_and_deploy() {
                let _ = fail(&text);
            }
            say("\n保存源码即重新构建，Ctrl-C 结束。", "\nSave a source file to build again; press Ctrl-C to stop.");
            if !self.saved(&events) {
                return Ok(());
            }
        }
    }

    /// Waits for the next save, including one during a build. Returns false at shutdown.
    fn saved(&mut self, events: &mpsc::Receiver<DevEvent>) -> bool {
        loop {
            match events.recv_timeout(CHECK_INTERVAL) {
                Ok(DevEvent::Saved) => break,
                Ok(DevEvent::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) if output::is_closed() => return false,
                Err(RecvTimeoutError::Timeout) => self.report_exit(),
            }
        }
        sleep(DEBOUNCE);
        events.try_iter().all(|event| matches!(event, DevEvent::Saved))
    }

    /// Reports that the gateway started here has ended.
    fn report_exit(&mut self) {
        if let Some(status) = self.started.as_mut().and_then(begin::Gateway::exit_status) {
            self.started = None;
            say(
                format!("网关已退出（{status}），下次保存时重新启动"),
                format!("the gateway has exited ({status}); it is restarted at the next save"),
            );
        }
    }

    /// Builds, checks and deploys the plugin, and waits until the gateway has loaded or rejected it.
    fn build_and_deploy(&mut self) -> Result<(), Text> {
        let built = self.build()?;
        let plugin = Plugin::open(&built).map_err(|why| why.text())?;
        let before = self.generation(plugin.name);
        self.deploy(&built, plugin.name)?;
        begin::tenant(&self.config.tenants.dir, &self.tenant, &plugin)?;
        self.report_exit();
        if !self.once && self.readiness().is_none() {
            say("没有正在运行的网关，启动一个：\n", "No gateway is running; starting one:\n");
            self.started = Some(begin::Gateway::start(self.file.as_deref())?);
        }
        let (name, version) = (plugin.name, &plugin.version);
        match self.wait(name, before) {
            Some(Ok(generation)) => say(
                format!("网关已加载 {name} {version}（第 {generation} 代）"),
                format!("the gateway serves {name} {version} (generation {generation})"),
            ),
            Some(Err(why)) => {
                return Err(Text::new(format!("网关拒绝了它：{why}"), format!("the gateway rejected it: {why}")));
            }
            None => {
                let admin = self.config.admin.listen;
                say(
                    format!("已部署到 {}；{admin} 没有网关响应，用 menlou run 启动", self.plugins.display()),
                    format!(
                        "deployed to {}; no gateway responds at {admin}: start one with menlou run",
                        self.plugins.display()
                    ),
                );
            }
        }
        self.print_requests(&plugin);
        Ok(())
    }

    /// Builds the plugin with Cargo or make and returns the library. Their output goes to the terminal.
    fn build(&self) -> Result<PathBuf, Text> {
        let failed = || Text::fixed("构建失败，见上", "the build failed, see above");
        if !self.folder.join("Cargo.toml").is_file() {
            let made = Command::new("make").arg("-C").arg(&self.folder).status();
            let made =
                made.map_err(|e| Text::new(format!("无法运行 make：{e}"), format!("could not run make: {e}")))?;
            return if made.success() { newest_library(&self.folder).ok_or_else(failed) } else { Err(failed()) };
        }
        let made = Command::new("cargo")
            .args(["build", "--release", "--message-format=json-render-diagnostics"])
            .current_dir(&self.folder)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| Text::new(format!("无法运行 cargo：{e}"), format!("could not run cargo: {e}")))?;
        // Cargo reports the plugin after its dependencies.
        let library = made.stdout.split(|b| *b == b'\n').rev().find_map(library_of);
        if made.status.success() { library.ok_or_else(failed) } else { Err(failed()) }
    }

    /// Deploys by rename, so that the gateway never sees a partly written file.
    fn deploy(&self, built: &Path, name: &str) -> Result<(), Text> {
        let (new, place) = (self.plugins.join(format!(".{name}.new")), self.plugins.join(format!("{name}.so")));
        let deployed = fs::create_dir_all(&self.plugins)
            .and_then(|()| fs::copy(built, &new))
            .and_then(|_| fs::rename(&new, &place));
        deployed.map_err(|e| {
            let place = place.display();
            Text::new(
                format!("无法写入 {place}：{e}；可在 menlou.toml 的 [plugins] dir 指定其他文件夹"),
                format!("{place} can't be written: {e}; name another folder under [plugins] dir in menlou.toml"),
            )
        })
    }

    /// Waits for the gateway to load the new version. Returns its generation or why it was rejected, and `None` without
    /// a gateway.
    fn wait(&mut self, name: &str, before: Option<u64>) -> Option<Result<u64, String>> {
        let began = Instant::now();
        while began.elapsed() < LOAD_TIMEOUT {
            let Some(mut readiness) = self.readiness() else {
                // The gateway started here may not be ready yet.
                if self.started.as_mut()?.exit_status().is_some() {
                    return None;
                }
                sleep(Duration::from_millis(50));
                continue;
            };
            let plugins = readiness["plugins"].take();
            let file = format!("{name}.so");
            if let Some(rejected) = plugins["rejected"].as_array()?.iter().find(|r| r["file"] == file.as_str()) {
                return Some(Err(rejected["why"].as_str().unwrap_or_default().to_owned()));
            }
            if let Some(generation) = generation_of(&plugins, name).filter(|g| Some(*g) != before) {
                return Some(Ok(generation));
            }
            sleep(Duration::from_millis(100));
        }
        None
    }

    fn generation(&self, name: &str) -> Option<u64> {
        generation_of(&self.readiness()?["plugins"], name)
    }

    fn readiness(&self) -> Option<Value> {
        let scheme = if self.config.admin.tls_cert.is_some() { "https" } else { "http" };
        let request = HttpRequest {
            method: Method::GET,
            url: format!("{scheme}://{}/readyz", self.config.admin.listen),
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            timeout: Duration::from_secs(2),
            repeatable: true,
        };
        serde_json::from_slice(&self.runtime.block_on(self.http.send(request)).ok()?.body).ok()
    }

    /// Prints a request to try, or what to add to the tenant's file.
    fn print_requests(&self, plugin: &Plugin) {
        let path = self.config.tenants.dir.join(format!("{}.toml", self.tenant.as_str()));
        let file = Document::read(&path).and_then(|doc| TenantFile::read(&doc)).ok();
        for action in &plugin.actions {
            let name = file.iter().flat_map(|f| &f.actions).find_map(|(name, table)| {
                let wanted = table.plugin(name);
                (wanted == action.name || wanted == plugin.name && plugin.actions.len() == 1).then_some(name)
            });
            match name {
                Some(name) => outln!("    {}", call(&self.config, &self.tenant, name, action)),
                None => {
                    let (path, name) = (path.display(), &action.name);
                    say(
                        format!("在 {path} 中启用：\n\n    [actions.{name}]"),
                        format!("enable it in {path}:\n\n    [actions.{name}]"),
                    );
                }
            }
        }
    }
}

fn call(config: &Config, tenant: &TenantName, name: &str, action: &Descriptor) -> String {
    let schema = action.params.as_json();
    let required = schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
    let params: String = required.map(|param| format!(" -d {param}={}", value(&schema["properties"][param]))).collect();
    let session = match action.access {
        Access::Anyone | Access::Optional => "",
        Access::Session | Access::User => " -H \"Authorization: Bearer $TOKEN\"",
    };
    let (listen, tenant) = (config.server.listen, tenant.as_str());
    format!("curl -X POST 'http://{listen}/srv/?f={tenant}&a={name}'{session}{params}")
}

/// A valid value, quoted for a shell; an ellipsis for text that may be anything.
fn value(schema: &Value) -> String {
    let said = ["const", "enum", "examples", "format", "oneOf", "anyOf"];
    if schema["type"] == "string" && said.iter().all(|key| schema.get(key).is_none()) {
        return "…".to_owned();
    }
    match samples::fitting(schema) {
        Value::String(text) => format!("'{text}'"),
        other => format!("'{other}'"),
    }
}

fn generation_of(plugins: &Value, name: &str) -> Option<u64> {
    plugins["loaded"].as_array()?.iter().find(|p| p["name"] == name)?["generation"].as_u64()
}

/// The shared library in a message of Cargo.
fn library_of(line: &[u8]) -> Option<PathBuf> {
    let message: Value = serde_json::from_slice(line).ok()?;
    let kinds = message["target"]["kind"].as_array()?;
    if message["reason"] != "compiler-artifact" || !kinds.iter().any(|kind| kind == "cdylib") {
        return None;
    }
    let files = message["filenames"].as_array()?.iter().filter_map(Value::as_str);
    files.map(PathBuf::from).find(|path| path.extension() == Some(OsStr::new("so")))
}

fn newest_library(folder: &Path) -> Option<PathBuf> {
    let libraries = fs::read_dir(folder).ok()?.filter_map(|entry| Some(entry.ok()?.path()));
    let libraries = libraries.filter(|path| path.extension() == Some(OsStr::new("so")));
    libraries.max_by_key(|path| fs::metadata(path).and_then(|m| m.modified()).ok())
}

/// Build output and the files of version control and editors are not sources.
fn is_source(path: &Path) -> bool {
    let made = |part: &OsStr| part == "target" || part == ".git";
    let endings = ["rs", "c", "h", "toml"];
    let is_makefile = path.file_name() == Some(OsStr::new("Makefile"));
    !path.iter().any(made) && (is_makefile || path.extension().is_some_and(|e| endings.iter().any(|known| e == *known)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_start_a_build() {
        for (path, source) in [
            ("points/src/lib.rs", true),
            ("points/Cargo.toml", true),
            ("greet/greet.c", true),
            ("greet/Makefile", true),
            ("points/target/release/build/x/out/y.rs", false),
            ("greet/greet.so", false),
            ("points/src/.lib.rs.swp", false),
            ("points/.git/config.toml", false),
        ] {
            assert_eq!(is_source(Path::new(path)), source, "{path}");
        }
    }

    #[test]
    fn cargos_messages_tell_the_library() {
        let line = br#"{"reason":"compiler-artifact","target":{"kind":["cdylib","rlib"]},"filenames":["/t/libx.rlib","/t/libx.so"]}"#;
        assert_eq!(library_of(line), Some("/t/libx.so".into()));
        for other in
            [&b""[..], b"{}", br#"{"reason":"compiler-artifact","target":{"kind":["lib"]},"filenames":["/t/a.so"]}"#]
        {
            assert_eq!(library_of(other), None);
        }
    }
}
