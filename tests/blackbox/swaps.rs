//! Plugins swapped while the gateway runs: however the file is written, calls in flight end on the old version, a bad
//! version is refused and the old one serves on, and a thousand swaps under load lose nothing.

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

/// Builds versions of plugins, and puts them into a gateway's folder.
struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn build(&self, name: &str, version: &str, defines: &[&str]) -> PathBuf {
        let out = self.folder.path().join(format!("{name}-{version}.so"));
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/blackbox/swap.c");
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

/// As `mv` within a file system: the usual way to replace a file.
fn put(gateway: &Gateway, built: &Path, name: &str) {
    let folder = gateway.plugins();
    fs::copy(built, folder.join(format!(".{name}.new"))).unwrap();
    fs::rename(folder.join(format!(".{name}.new")), folder.join(format!("{name}.so"))).unwrap();
}

fn tenant(sim: &Simulator, actions: &[String]) -> String {
    let tables: String = actions.iter().map(|a| format!("[actions.{a}]\n")).collect();
    let base = sim.base_url();
    format!(
        "name = \"ReloadHistory\"\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"demo-secret\"\nbase_url = \"{base}\"\n{tables}"
    )
}

fn scene(actions: &[&str]) -> (Gateway, Simulator) {
    let sim = simulator();
    let actions: Vec<String> = actions.iter().map(ToString::to_string).collect();
    let setup: Setup = setup(&sim, None, None).tenant("swaps", tenant(&sim, &actions)).setting("log.access", "false");
    (Gateway::start(setup), sim)
}

fn version(gateway: &Gateway, action: &str) -> Option<String> {
    let answer = gateway.client("swaps").call(action, &[]);
    answer.data["version"].as_str().map(str::to_owned)
}

fn becomes(gateway: &Gateway, action: &str, wanted: &str) {
    eventually(&format!("{action} {wanted} serves"), || (version(gateway, action)? == wanted).then_some(()));
}

#[test]
fn a_new_file_is_taken_up_however_it_is_written() {
    let (gateway, _sim) = scene(&["greet"]);
    let shop = Workshop::new();
    assert_eq!(gateway.client("swaps").call("greet", &[]).error.as_deref(), Some("plugin_unavailable"));
    put(&gateway, &shop.build("greet", "1", &[]), "greet");
    becomes(&gateway, "greet", "1");

    let path = gateway.plugins().join("greet.so");
    fs::copy(shop.build("greet", "2", &[]), &path).unwrap();
    becomes(&gateway, "greet", "2");

    let slow = fs::read(shop.build("greet", "3", &[])).unwrap();
    let mut file = fs::File::create(&path).unwrap();
    for part in slow.chunks(slow.len() / 12) {
        std::io::Write::write_all(&mut file, part).unwrap();
        thread::sleep(Duration::from_millis(50));
        assert_eq!(version(&gateway, "greet").as_deref(), Some("2"), "the old version serves while the new one comes");
    }
    drop(file);
    becomes(&gateway, "greet", "3");

    fs::remove_file(&path).unwrap();
    eventually("a removed plugin is gone", || {
        (gateway.client("swaps").call("greet", &[]).error.as_deref() == Some("plugin_unavailable")).then_some(())
    });
    put(&gateway, &shop.build("greet", "4", &[]), "greet");
    becomes(&gateway, "greet", "4");
}

#[test]
fn calls_in_flight_end_on_the_version_that_they_began_with() {
    let (gateway, _sim) = scene(&["greet"]);
    let shop = Workshop::new();
    put(&gateway, &shop.build("greet", "1", &[]), "greet");
    becomes(&gateway, "greet", "1");
    let old = thread::scope(|scope| {
        let waiting = scope.spawn(|| gateway.client("swaps").call("greet", &[("wait", "4000")]));
        thread::sleep(Duration::from_millis(200));
        put(&gateway, &shop.build("greet", "2", &[]), "greet");
        becomes(&gateway, "greet", "2");
        assert!(!waiting.is_finished(), "the machine is too slow for this test to say anything");
        waiting.join().unwrap()
    });
    assert_eq!(old.data["version"], "1");
}

#[test]
fn a_bad_version_is_refused_and_the_old_one_serves_on() {
    let (gateway, _sim) = scene(&["greet"]);
    let shop = Workshop::new();
    put(&gateway, &shop.build("greet", "1", &[]), "greet");
    becomes(&gateway, "greet", "1");
    let needy = r#"-DSETTINGS="{\"type\":\"object\",\"required\":[\"colour\"],\"properties\":{\"colour\":{\"type\":\"string\"}}}""#;
    let text = shop.folder.path().join("text");
    fs::write(&text, "no plugin at all").unwrap();
    for (bad, why) in [
        (shop.build("greet", "major", &["-DCLAIMED_MAJOR=9"]), "built for plugin ABI 9.0"),
        (shop.build("greet", "needy", &[needy]), "tenant swaps"),
        (shop.build("other", "1", &[]), "other"),
        (text, "no shared library"),
    ] {
        put(&gateway, &bad, "greet");
        eventually(&format!("refused: {why}"), || {
            let refused = gateway.readiness().1["plugins"]["refused"].to_string();
            refused.contains(why).then_some(())
        });
        assert!(gateway.log().contains(why), "{why} is in the log");
        assert_eq!(version(&gateway, "greet").as_deref(), Some("1"));
    }
    let metrics = gateway.admin("/metrics").unwrap().text();
    assert!(metrics.contains(r#"menlou_plugin_reloads_total{plugin="greet",result="rejected"} 4"#), "{metrics}");
    assert_eq!(gateway.readiness().0, 200);
    put(&gateway, &shop.build("greet", "2", &[]), "greet");
    becomes(&gateway, "greet", "2");
    assert_eq!(gateway.readiness().1["plugins"]["refused"], serde_json::json!([]));
}

#[test]
fn a_thousand_swaps_under_load_lose_no_request() {
    const PLUGINS: usize = 25;
    const ROUNDS: usize = 40;
    let names: Vec<String> = (0..PLUGINS).map(|i| format!("p{i}")).collect();
    let (gateway, _sim) = scene(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let shop = Workshop::new();
    let built: Vec<[PathBuf; 2]> = names.iter().map(|n| ["a", "b"].map(|v| shop.build(n, v, &[]))).collect();
    for (name, versions) in names.iter().zip(&built) {
        put(&gateway, &versions[0], name);
    }
    names.iter().for_each(|name| becomes(&gateway, name, "a"));
    let (stop, answered, before) = (AtomicBool::new(false), AtomicU64::new(0), resident(&gateway));
    thread::scope(|scope| {
        for worker in 0..2 {
            let (gateway, names, stop, answered) = (&gateway, &names, &stop, &answered);
            scope.spawn(move || {
                for i in (worker..).step_by(7) {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let answer = gateway.client("swaps").call(&names[i % PLUGINS], &[]);
                    assert!(answer.data["version"].is_string(), "a failed request: {:?}", answer.error);
                    answered.fetch_add(1, Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(2));
                }
            });
        }
        let swapped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 1..=ROUNDS {
                let wanted = ["a", "b"][round % 2];
                for (name, versions) in names.iter().zip(&built) {
                    put(&gateway, &versions[round % 2], name);
                }
                names.iter().for_each(|name| becomes(&gateway, name, wanted));
            }
        }));
        stop.store(true, Ordering::Relaxed);
        swapped.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
    let grown = resident(&gateway).saturating_sub(before) / (PLUGINS * ROUNDS) as u64;
    println!("{} swaps, {} requests, {grown} KiB for each version kept", PLUGINS * ROUNDS, answered.into_inner());
    assert!(grown < 512, "each version keeps {grown} KiB");
}

/// Memory of the gateway, KiB.
fn resident(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
