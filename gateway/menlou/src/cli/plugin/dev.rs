//! `menlou plugin dev`: builds a plugin at each save, puts it into the running gateway's folder, and says what came of it.

mod begin;

use super::samples;
use crate::cli::{
    output::{fail, say, show_errors},
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
use menlou_platform::http::{Http, Request};
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

/// How long a gateway may take to take a new version up.
const TAKEN_UP: Duration = Duration::from_secs(10);
/// Saves that come together are built together.
const TOGETHER: Duration = Duration::from_millis(200);
/// How often our gateway is looked after.
const LOOK: Duration = Duration::from_millis(500);

/// What `plugin dev` takes.
#[derive(clap::Args)]
pub struct Arguments {
    /// 插件的文件夹（有 Cargo.toml 或 Makefile）。The plugin's folder, with a Cargo.toml or a Makefile.
    folder: PathBuf,
    /// 用来试调用的租户。The tenant to try it with.
    #[arg(long)]
    tenant: String,
    /// 只构建并放入一次，不监视源码，也不启动网关。Build and put in once, without watching, and without starting a gateway.
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
        Err(faults) => {
            show_errors(&faults);
            return ExitCode::FAILURE;
        }
    };
    let done = Bench::new(config, file, arguments).and_then(|mut bench| match arguments.once {
        true => bench.round(),
        false => bench.watch(),
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => fail(&text),
    }
}

/// Where a plugin is worked on.
struct Bench {
    config: Config,
    /// Where the config is from.
    file: Option<PathBuf>,
    folder: PathBuf,
    plugins: PathBuf,
    tenant: TenantName,
    once: bool,
    /// The gateway, where it is ours.
    own: Option<begin::Gateway>,
    runtime: tokio::runtime::Runtime,
    http: Http,
}

/// What a bench waits for.
enum Event {
    Saved,
    Stop,
}

impl Bench {
    fn new(config: Config, file: Option<&Path>, arguments: &Arguments) -> Result<Self, Text> {
        let folder = arguments.folder.clone();
        if !folder.join("Cargo.toml").is_file() && !folder.join("Makefile").is_file() {
            let folder = folder.display();
            return Err(Text::new(
                format!("{folder} 里没有 Cargo.toml 或 Makefile：用 menlou plugin new 新建插件"),
                format!("{folder} has neither a Cargo.toml nor a Makefile: make a plugin with menlou plugin new"),
            ));
        }
        Ok(Self {
            plugins: plugin_folder(&config)?,
            tenant: TenantName::parse(&arguments.tenant)?,
            runtime: runtime::start()?,
            http: Http::new().map_err(|e| Text::new(format!("HTTP 客户端不可用：{e}"), e.to_string()))?,
            file: file.map(Path::to_owned),
            once: arguments.once,
            own: None,
            config,
            folder,
        })
    }

    /// One round after the other, until told to stop.
    fn watch(&mut self) -> Result<(), Text> {
        let broken =
            |e: notify::Error| Text::new(format!("无法监视源码：{e}"), format!("the sources can't be watched: {e}"));
        let (sender, events) = mpsc::channel();
        let stop = sender.clone();
        self.runtime.spawn(async move {
            shutdown_signal().await;
            let _ = stop.send(Event::Stop); // the other end is gone only when the program ends
        });
        let folder = std::path::absolute(&self.folder).unwrap_or_else(|_| self.folder.clone());
        let from = folder.clone();
        let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if let Ok(event) = event
                && !event.kind.is_access()
                && event.paths.iter().any(|path| is_source(path.strip_prefix(&from).unwrap_or(path)))
            {
                let _ = sender.send(Event::Saved); // as above
            }
        })
        .map_err(broken)?;
        watcher.watch(&folder, RecursiveMode::Recursive).map_err(broken)?;
        loop {
            if let Err(text) = self.round() {
                let _ = fail(&text);
            }
            say("\n保存源码即重新构建，Ctrl-C 结束。", "\nSave a source to build again; Ctrl-C ends.");
            if !self.saved(&events) {
                return Ok(());
            }
        }
    }

    /// Waits for the next save, also one that came during a build; false where there will be none.
    fn saved(&mut self, events: &mpsc::Receiver<Event>) -> bool {
        loop {
            match events.recv_timeout(LOOK) {
                Ok(Event::Saved) => break,
                Ok(Event::Stop) | Err(RecvTimeoutError::Disconnected) => return false,
                Err(RecvTimeoutError::Timeout) => self.tell_its_end(),
            }
        }
        sleep(TOGETHER);
        events.try_iter().all(|event| matches!(event, Event::Saved))
    }

    /// Says so where our gateway is gone.
    fn tell_its_end(&mut self) {
        if let Some(status) = self.own.as_mut().and_then(begin::Gateway::ended) {
            self.own = None;
            say(
                format!("网关已结束（{status}）：下次保存时重新启动"),
                format!("the gateway is gone ({status}): it is started again at the next save"),
            );
        }
    }

    /// Builds, checks, puts in, and waits until the gateway has said what it makes of it.
    fn round(&mut self) -> Result<(), Text> {
        let built = self.build()?;
        let plugin = Plugin::open(&built).map_err(|why| why.text())?;
        let before = self.generation(plugin.name);
        self.put(&built, plugin.name)?;
        begin::tenant(&self.config.tenants.dir, &self.tenant, &plugin)?;
        self.tell_its_end();
        if !self.once && self.readiness().is_none() {
            say("没有网关在运行，启动一个：\n", "No gateway is running: here is one.\n");
            self.own = Some(begin::Gateway::start(self.file.as_deref())?);
        }
        let (name, version) = (plugin.name, &plugin.version);
        match self.wait(name, before) {
            Some(Ok(generation)) => say(
                format!("网关已换上 {name} {version}（第 {generation} 代）"),
                format!("the gateway serves {name} {version} (generation {generation})"),
            ),
            Some(Err(why)) => {
                return Err(Text::new(format!("网关拒绝了它：{why}"), format!("the gateway refuses it: {why}")));
            }
            None => {
                let admin = self.config.admin.listen;
                say(
                    format!("已放入 {}；{admin} 没有网关应答，用 menlou run 启动", self.plugins.display()),
                    format!(
                        "put into {}; no gateway answers at {admin}: start one with menlou run",
                        self.plugins.display()
                    ),
                );
            }
        }
        self.try_it(&plugin);
        Ok(())
    }

    /// The library that Cargo or make leaves. Their own words go to the terminal as they are.
    fn build(&self) -> Result<PathBuf, Text> {
        let failed = || Text::fixed("构建失败，见上", "it does not build, see above");
        if !self.folder.join("Cargo.toml").is_file() {
            let made = Command::new("make").arg("-C").arg(&self.folder).status();
            let made = made.map_err(|e| Text::new(format!("无法运行 make：{e}"), format!("make can't be run: {e}")))?;
            return if made.success() { newest_library(&self.folder).ok_or_else(failed) } else { Err(failed()) };
        }
        let made = Command::new("cargo")
            .args(["build", "--release", "--message-format=json-render-diagnostics"])
            .current_dir(&self.folder)
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| Text::new(format!("无法运行 cargo：{e}"), format!("cargo can't be run: {e}")))?;
        // The plugin's own comes after those of what it stands on.
        let library = made.stdout.split(|b| *b == b'\n').rev().find_map(library_of);
        if made.status.success() { library.ok_or_else(failed) } else { Err(failed()) }
    }

    /// By rename, so that the gateway never sees half a file.
    fn put(&self, built: &Path, name: &str) -> Result<(), Text> {
        let (new, place) = (self.plugins.join(format!(".{name}.new")), self.plugins.join(format!("{name}.so")));
        let put = fs::create_dir_all(&self.plugins)
            .and_then(|()| fs::copy(built, &new))
            .and_then(|_| fs::rename(&new, &place));
        put.map_err(|e| {
            let place = place.display();
            Text::new(
                format!("无法写入 {place}：{e}；可在 menlou.toml 的 [plugins] dir 指定其他文件夹"),
                format!("{place} can't be written: {e}; name another folder under [plugins] dir in menlou.toml"),
            )
        })
    }

    /// What the gateway made of a new version: its generation, or why it was refused. `None` without a gateway.
    fn wait(&mut self, name: &str, before: Option<u64>) -> Option<Result<u64, String>> {
        let began = Instant::now();
        while began.elapsed() < TAKEN_UP {
            let Some(mut readiness) = self.readiness() else {
                // Ours may still be starting.
                if self.own.as_mut()?.ended().is_some() {
                    return None;
                }
                sleep(Duration::from_millis(50));
                continue;
            };
            let plugins = readiness["plugins"].take();
            let file = format!("{name}.so");
            if let Some(refused) = plugins["refused"].as_array()?.iter().find(|r| r["file"] == file.as_str()) {
                return Some(Err(refused["why"].as_str().unwrap_or_default().to_owned()));
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
        let request = Request {
            method: Method::GET,
            url: format!("{scheme}://{}/readyz", self.config.admin.listen),
            headers: HeaderMap::new(),
            body: bytes::Bytes::new(),
            timeout: Duration::from_secs(2),
            repeatable: true,
        };
        serde_json::from_slice(&self.runtime.block_on(self.http.send(request)).ok()?.body).ok()
    }

    /// Prints the call to try, or what the tenant's file lacks for it.
    fn try_it(&self, plugin: &Plugin) {
        let path = self.config.tenants.dir.join(format!("{}.toml", self.tenant.as_str()));
        let file = Document::read(&path).and_then(|doc| TenantFile::read(&doc)).ok();
        for action in &plugin.actions {
            let name = file.iter().flat_map(|f| &f.actions).find_map(|(name, table)| {
                let wanted = table.plugin(name);
                (wanted == action.name || wanted == plugin.name && plugin.actions.len() == 1).then_some(name)
            });
            match name {
                Some(name) => println!("    {}", call(&self.config, &self.tenant, name, action)),
                None => {
                    let (path, name) = (path.display(), &action.name);
                    say(
                        format!("在 {path} 中加入以开启：\n\n    [actions.{name}]"),
                        format!("switch it on in {path}:\n\n    [actions.{name}]"),
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

/// A value that fits, in a shell's words; of a text that may be anything, an ellipsis.
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

/// The shared library that one of Cargo's messages tells of.
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

/// What is built is no source, and neither is what version control and editors leave.
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
