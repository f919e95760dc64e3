//! Plugin reloads while the gateway runs: new versions are loaded however the file is written, running calls end on their
//! version, invalid versions are rejected, and no request fails during a thousand reloads.

use crate::scene::{eventually, setup, simulator};
use menlou_harness::{Gateway, Setup};
use menlou_simulator::Simulator;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

/// Compiles versions of a plugin in C into a temporary folder.
pub struct Compiler {
    folder: tempfile::TempDir,
}

impl Compiler {
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub fn build(&self, name: &str, version: &str, defines: &[&str]) -> PathBuf {
        let out = self.folder.path().join(format!("{name}-{version}.so"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/blackbox/versioned_plugin.c");
        let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins/abi");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-I"])
            .arg(header)
            .args([format!("-DNAME=\"{name}\""), format!("-DVERSION=\"{version}\"")])
            .args(defines)
            .arg("-o")
            .args([&out, &source])
            .output()
            .expect("cc: install the Debian package build-essential");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        out
    }
}

/// Replaces a plugin file atomically, as `mv` does within a file system.
pub fn install(gateway: &Gateway, built: &Path, name: &str) {
    let folder = gateway.plugins();
    fs::copy(built, folder.join(format!(".{name}.new"))).unwrap();
    fs::rename(folder.join(format!(".{name}.new")), folder.join(format!("{name}.so"))).unwrap();
}

fn tenant(sim: &Simulator, actions: &[String]) -> String {
    let tables: String = actions.iter().map(|a| format!("[actions.{a}]\n")).collect();
    let base = sim.base_url();
    format!(
        "name = \"Reloads\"\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"demo-secret\"\nbase_url = \"{base}\"\n{tables}"
    )
}

fn scene(actions: &[&str]) -> (Gateway, Simulator) {
    let sim = simulator();
    let actions: Vec<String> = actions.iter().map(ToString::to_string).collect();
    let setup: Setup = setup(&sim, None, None).tenant("reloads", tenant(&sim, &actions)).setting("log.access", "false");
    (Gateway::start(setup), sim)
}

fn version(gateway: &Gateway, action: &str) -> Option<String> {
    let response = gateway.client("reloads").call(action, &[]);
    response.data["version"].as_str().map(str::to_owned)
}

fn wait_for_version(gateway: &Gateway, action: &str, wanted: &str) {
    eventually(&format!("version {wanted} of {action} serves"), || (version(gateway, action)? == wanted).then_some(()));
}

#[test]
fn a_new_version_is_loaded_however_its_file_is_written() {
    let (gateway, _sim) = scene(&["greet"]);
    let compiler = Compiler::new();
    assert_eq!(gateway.client("reloads").call("greet", &[]).error.as_deref(), Some("plugin_unavailable"));
    install(&gateway, &compiler.build("greet", "1", &[]), "greet");
    wait_for_version(&gateway, "greet", "1");

    let path = gateway.plugins().join("greet.so");
    fs::copy(compiler.build("greet", "2", &[]), &path).unwrap();
    wait_for_version(&gateway, "greet", "2");

    let slow = fs::read(compiler.build("greet", "3", &[])).unwrap();
    let mut file = fs::File::create(&path).unwrap();
    for part in slow.chunks(slow.len() / 12) {
        std::io::Write::write_all(&mut file, part).unwrap();
        // The pace of the writer is under test.
        thread::sleep(Duration::from_millis(50));
        assert_eq!(
            version(&gateway, "greet").as_deref(),
            Some("2"),
            "the old version serves while the file is written"
        );
    }
    drop(file);
    wait_for_version(&gateway, "greet", "3");

    fs::remove_file(&path).unwrap();
    eventually("the removed plugin is unloaded from the registry", || {
        (gateway.client("reloads").call("greet", &[]).error.as_deref() == Some("plugin_unavailable")).then_some(())
    });
    install(&gateway, &compiler.build("greet", "4", &[]), "greet");
    wait_for_version(&gateway, "greet", "4");
}

#[test]
fn touching_a_file_or_copying_the_same_bytes_loads_no_version() {
    let (gateway, _sim) = scene(&["greet", "other"]);
    let compiler = Compiler::new();
    let built = compiler.build("greet", "1", &[]);
    install(&gateway, &built, "greet");
    wait_for_version(&gateway, "greet", "1");
    let generations = || {
        let metrics = gateway.admin("/metrics").unwrap().text();
        let line =
            metrics.lines().find_map(|line| line.strip_prefix("menlou_plugin_generations ")?.parse::<u64>().ok());
        line.unwrap_or_else(|| panic!("{metrics}"))
    };
    let before = generations();
    let path = gateway.plugins().join("greet.so");
    for (i, step) in ["touch", "copy over", "copy and rename"].into_iter().enumerate() {
        match step {
            "touch" => drop(Command::new("touch").arg(&path).status().unwrap()),
            "copy over" => drop(fs::copy(&built, &path).unwrap()),
            _ => install(&gateway, &built, "greet"),
        }
        // The same look at the folder finds this plugin, which sorts behind the other.
        let version = i.to_string();
        install(&gateway, &compiler.build("other", &version, &[]), "other");
        wait_for_version(&gateway, "other", &version);
        assert_eq!(generations(), before + i as u64 + 1, "{step}");
    }
    assert_eq!(version(&gateway, "greet").as_deref(), Some("1"));
}

#[test]
fn running_calls_end_on_the_version_that_they_started_on() {
    let (gateway, _sim) = scene(&["greet"]);
    let compiler = Compiler::new();
    install(&gateway, &compiler.build("greet", "1", &[]), "greet");
    wait_for_version(&gateway, "greet", "1");
    let old = thread::scope(|scope| {
        let waiting = scope.spawn(|| gateway.client("reloads").call("greet", &[("wait", "4000")]));
        eventually("the call has started", || {
            gateway.log().contains("a delayed call of version 1 has started").then_some(())
        });
        install(&gateway, &compiler.build("greet", "2", &[]), "greet");
        wait_for_version(&gateway, "greet", "2");
        assert!(!waiting.is_finished(), "the machine is too slow for this test: the call ended before the reload");
        waiting.join().unwrap()
    });
    assert_eq!(old.data["version"], "1");
}

#[test]
fn an_invalid_version_is_rejected_and_the_old_one_keeps_serving() {
    let (gateway, _sim) = scene(&["greet"]);
    let compiler = Compiler::new();
    install(&gateway, &compiler.build("greet", "1", &[]), "greet");
    wait_for_version(&gateway, "greet", "1");
    let requires_setting = r#"-DSETTINGS="{\"type\":\"object\",\"required\":[\"colour\"],\"properties\":{\"colour\":{\"type\":\"string\"}}}""#;
    let text = compiler.folder.path().join("text");
    fs::write(&text, "not a plugin").unwrap();
    for (invalid, why) in [
        (compiler.build("greet", "major", &["-DCLAIMED_MAJOR=9"]), "built for plugin ABI 9.0"),
        (compiler.build("greet", "requires-setting", &[requires_setting]), "tenant reloads"),
        (compiler.build("other", "1", &[]), "other"),
        (text, "not a shared library"),
    ] {
        install(&gateway, &invalid, "greet");
        eventually(&format!("the file is rejected: {why}"), || {
            let rejected = gateway.readiness().1["plugins"]["rejected"].to_string();
            rejected.contains(why).then_some(())
        });
        assert!(gateway.log().contains(why), "{why} is in the log");
        assert_eq!(version(&gateway, "greet").as_deref(), Some("1"));
    }
    let metrics = gateway.admin("/metrics").unwrap().text();
    assert!(metrics.contains(r#"menlou_plugin_reloads_total{plugin="greet",result="rejected"} 4"#), "{metrics}");
    assert_eq!(gateway.readiness().0, 200);
    install(&gateway, &compiler.build("greet", "2", &[]), "greet");
    wait_for_version(&gateway, "greet", "2");
    assert_eq!(gateway.readiness().1["plugins"]["rejected"], serde_json::json!([]));
}

#[test]
fn no_request_fails_during_a_thousand_reloads_under_load() {
    const PLUGINS: usize = 25;
    const ROUNDS: usize = 40;
    let names: Vec<String> = (0..PLUGINS).map(|i| format!("p{i}")).collect();
    let (gateway, _sim) = scene(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let compiler = Compiler::new();
    let built: Vec<[PathBuf; 2]> = names.iter().map(|n| ["a", "b"].map(|v| compiler.build(n, v, &[]))).collect();
    for (name, versions) in names.iter().zip(&built) {
        install(&gateway, &versions[0], name);
    }
    names.iter().for_each(|name| wait_for_version(&gateway, name, "a"));
    let (stop, served, before) = (AtomicBool::new(false), AtomicU64::new(0), resident(&gateway));
    thread::scope(|scope| {
        for worker in 0..2 {
            let (gateway, names, stop, served) = (&gateway, &names, &stop, &served);
            scope.spawn(move || {
                for i in (worker..).step_by(7) {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let response = gateway.client("reloads").call(&names[i % PLUGINS], &[]);
                    assert!(response.data["version"].is_string(), "the request failed: {:?}", response.error);
                    served.fetch_add(1, Ordering::Relaxed);
                    // The interval of the requests.
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        let reloaded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 1..=ROUNDS {
                let wanted = ["a", "b"][round % 2];
                for (name, versions) in names.iter().zip(&built) {
                    install(&gateway, &versions[round % 2], name);
                }
                names.iter().for_each(|name| wait_for_version(&gateway, name, wanted));
            }
        }));
        stop.store(true, Ordering::Relaxed);
        reloaded.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let growth = resident(&gateway).saturating_sub(before) / (PLUGINS * ROUNDS) as u64;
    println!("{} reloads, {} requests, {growth} KiB for each loaded version", PLUGINS * ROUNDS, served.into_inner());
    assert!(growth < 512, "each version keeps {growth} KiB");
}

/// Resident memory of the gateway, in KiB.
fn resident(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
