//! Plugins whose code does not return, while loading, in `configure`, and in calls, or that would end the process.

use crate::{
    bad_plugins::{compile, install, lines},
    scene::{eventually, simulator},
};
use menlou_harness::{Gateway, Setup, artifacts::plugin_library};
use menlou_simulator::{DEMO_APPID, DEMO_SECRET};
use std::{
    fmt::Write as _,
    fs,
    net::TcpListener,
    process::Command,
    thread,
    time::{Duration, Instant},
};

const TENANT: &str = "hanging";

/// A gateway with the plugin `odd`, and a tenant with these actions.
fn scene(actions: &[&str]) -> Gateway {
    let mut gateway = start(Setup::default(), actions);
    compile("odd.c", &gateway.plugins(), "odd", &[]);
    gateway.restart();
    gateway
}

/// A gateway with the plugins `rude` and `rogue`, and this number of worker threads.
fn scene_of_calls(workers: &str) -> Gateway {
    let setup = Setup::default()
        .env("TOKIO_WORKER_THREADS", workers)
        .setting("server.call_timeout", "\"3s\"")
        .setting("server.drain_timeout", "\"3s\"");
    let mut gateway = start(setup, &["rude", "echo", "block"]);
    compile("rude.c", &gateway.plugins(), "rude", &[]);
    fs::copy(plugin_library("rogue"), gateway.plugins().join("rogue.so")).unwrap();
    gateway.restart();
    gateway
}

fn start(setup: Setup, actions: &[&str]) -> Gateway {
    let sim = simulator();
    let mut tenant = format!(
        "name = \"Hanging\"\n[wechat]\nappid = \"{DEMO_APPID}\"\nsecret = \"{DEMO_SECRET}\"\nbase_url = \"{}\"\n",
        sim.base_url()
    );
    for action in actions {
        writeln!(tenant, "[actions.{action}]").unwrap();
    }
    Gateway::start(setup.tenant(TENANT, tenant))
}

fn rejected(gateway: &Gateway) -> String {
    gateway.readiness().1["plugins"]["rejected"].to_string()
}

#[test]
fn a_plugin_that_hangs_while_loading_stops_neither_reloads_nor_the_stop_signal() {
    let mut gateway = scene(&["odd", "other"]);
    let client = gateway.client(TENANT);
    for (hangs, stage) in [
        ("CONSTRUCTOR=hang()", "constructor"),
        ("BEFORE_ENTRY=hang()", "menlou_plugin_v1"),
        ("INIT=init_hangs", "init"),
    ] {
        install(&gateway, "odd", &[hangs]);
        let why = format!("its {stage} did not return within 5 s");
        eventually(&why, || rejected(&gateway).contains(&why).then_some(()));
        assert_eq!(lines(&gateway, &["ERROR", "plugin rejected", "/odd.so", &why]).len(), 1);
        assert_eq!(client.call("odd", &[]).ok()["n"], 1, "the old version serves");
    }
    install(&gateway, "other", &["NAME=\"other\"", "ACTION=MENLOU_STR(\"other\")"]);
    eventually("another plugin is loaded", || client.call("other", &[]).error.is_none().then_some(()));
    install(&gateway, "odd", &["TITLE=MENLOU_STR(\"Repaired\")"]);
    eventually("a repaired version is loaded", || (rejected(&gateway) == "[]").then_some(()));
    // This one hangs while the signal arrives.
    install(&gateway, "odd", &["CONSTRUCTOR=hang()"]);
    let start = Instant::now();
    assert!(gateway.terminate().success());
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
}

#[test]
fn a_version_whose_configure_hangs_is_rejected_and_other_changes_are_loaded() {
    let mut gateway = scene(&["odd", "other"]);
    let client = gateway.client(TENANT);
    install(&gateway, "odd", &["CONFIGURE=configure_hangs"]);
    let why = "configure of the plugin did not return within 5 s";
    eventually(why, || rejected(&gateway).contains(why).then_some(()));
    assert_eq!(client.call("odd", &[]).ok()["n"], 1, "the old version serves");
    install(&gateway, "other", &["NAME=\"other\"", "ACTION=MENLOU_STR(\"other\")"]);
    eventually("another plugin is loaded", || client.call("other", &[]).error.is_none().then_some(()));
    assert!(gateway.terminate().success());
}

#[test]
fn a_plugin_that_never_returns_leaves_workers_to_the_others() {
    let mut gateway = scene_of_calls("4");
    let client = gateway.client(TENANT);
    thread::scope(|scope| {
        for _ in 0..12 {
            // The gateway ends while these wait.
            scope.spawn(|| drop(client.try_call("rude", &[("how", "hang")])));
        }
        eventually("the plugin occupies its maximum of workers", || {
            let response = client.call("rude", &[]);
            (response.error.as_deref() == Some("overloaded")).then_some(())
        });
        let logged = ["occupy all worker threads that it may have", "action=\"rude\""];
        assert!(!lines(&gateway, &logged).is_empty(), "the cause is logged");
        for _ in 0..20 {
            client.call("echo", &[]).ok();
            assert_eq!(gateway.admin("/healthz").unwrap().status, 200);
        }
        eventually("the operator is told", || {
            (!lines(&gateway, &["ERROR", "keeps a worker thread", "plugin=\"rude\""]).is_empty()).then_some(())
        });
        // Longer than the time after which a process without any worker ends.
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(12) {
            client.call("echo", &[]).ok();
            thread::sleep(Duration::from_millis(200));
        }
        let start = Instant::now();
        assert!(gateway.terminate().success());
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    });
}

#[test]
fn without_any_worker_left_the_process_says_so_and_ends_with_exit_code_70() {
    let mut gateway = scene_of_calls("2");
    let client = gateway.client(TENANT);
    thread::scope(|scope| {
        scope.spawn(|| drop(client.try_call("rude", &[("how", "hang")])));
        scope.spawn(|| drop(client.try_call("block", &[("n", "600000")])));
        eventually("the process ends", || (!gateway.is_running()).then_some(()));
    });
    assert_eq!(gateway.terminate().code(), Some(70));
    assert_eq!(lines(&gateway, &["ERROR", "occupy all worker threads", "exit code 70"]).len(), 1, "{}", gateway.log());
}

#[test]
fn a_plugin_cannot_end_the_process_with_success() {
    for code in ["0", "3"] {
        let mut gateway = scene_of_calls("2");
        let client = gateway.client(TENANT);
        assert!(client.try_call("rude", &[("how", "exit"), ("n", code)]).is_err());
        eventually("the process ends", || (!gateway.is_running()).then_some(()));
        assert_eq!(gateway.terminate().code(), Some(70));
        let logged = ["ERROR", "a plugin called exit", "plugin=\"rude\"", "action=\"rude\""];
        assert_eq!(lines(&gateway, &logged).len(), 1, "{}", gateway.log());
    }
}

#[test]
fn a_child_that_a_plugin_forks_keeps_neither_ports_nor_connections() {
    let mut gateway = scene_of_calls("2");
    let client = gateway.client(TENANT);
    let child = client.call("rude", &[("how", "fork")]).ok()["n"].to_string();
    let ports = [gateway.addr(), gateway.admin_addr()];
    let sockets = |id: &str| -> Vec<String> {
        let descriptors = fs::read_dir(format!("/proc/{id}/fd")).unwrap().filter_map(Result::ok);
        let targets = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
        targets.map(|target| target.display().to_string()).filter(|target| target.starts_with("socket:")).collect()
    };
    let tcp = fs::read_to_string(format!("/proc/{child}/net/tcp")).unwrap();
    let is_of_ports = |inode: &str| {
        let ports = ports.map(|address| format!(":{:04X}", address.port()));
        let of_port =
            tcp.lines().filter(|line| ports.iter().any(|port| line.split(' ').any(|part| part.ends_with(port))));
        of_port.into_iter().any(|line| line.split_ascii_whitespace().nth(9) == Some(inode))
    };
    for socket in sockets(&child) {
        let inode = socket.trim_start_matches("socket:[").trim_end_matches(']');
        assert!(!is_of_ports(inode), "the child keeps {socket}: {tcp}");
    }
    client.call("echo", &[]).ok();
    assert!(gateway.terminate().success());
    for address in ports {
        TcpListener::bind(address).unwrap_or_else(|e| panic!("{address}: {e}"));
    }
    assert!(Command::new("kill").arg(&child).status().unwrap().success(), "the child is alive until now");
}
