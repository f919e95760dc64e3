//! SIGHUP and `menlou reload`: what changes while the gateway runs, what needs a restart, and signals that do no harm.

use crate::scene::{Scene, Stores, TENANT, eventually, tenant};
use menlou_harness::{GatewayFolder, Setup, Signal};
use menlou_simulator::Failure;
use std::{fs, os::unix::net::UnixDatagram, path::PathBuf, process::Output, thread, time::Duration};

const EXCHANGE: &str = "/sns/jscode2session";

fn config(scene: &Scene) -> PathBuf {
    scene.tenants().with_file_name("menlou.toml")
}

/// Adds a line to the config.
fn set(scene: &Scene, line: &str) {
    let text = fs::read_to_string(config(scene)).unwrap();
    fs::write(config(scene), format!("{text}{line}\n")).unwrap();
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn sighup_reloads_and_leaves_requests_in_flight_alone() {
    let scene = Scene::new(Stores::Embedded);
    scene.sim.fail_until_cleared(EXCHANGE, Failure::delay(Duration::from_secs(1)));
    let (client, code) = (scene.client(), scene.sim.code("ann"));
    set(&scene, "log.access = false\nserver.max_body = \"2KiB\"");
    thread::scope(|scope| {
        let login = scope.spawn(|| client.call("openid", &[("code", &code)]));
        eventually("it is in flight", || (scene.sim.calls(EXCHANGE) == 1).then_some(()));
        scene.gateway.send(Signal::HUP);
        eventually("it has reloaded", || scene.log().contains("reloaded, but for").then_some(()));
        login.join().unwrap().ok();
    });
    let log = scene.log();
    assert!(log.contains("applied=\"log.access\"") && log.contains("needs_restart=\"server.max_body\""), "{log}");
    scene.client().call("user", &[]).assert_error(401, "login_required");
    assert!(!scene.log().contains("login_required"), "requests are no longer logged");
}

#[test]
fn reload_applies_changes_before_it_ends_and_names_what_needs_a_restart() {
    let scene = Scene::new(Stores::Embedded);
    let nothing = scene.command(&["reload"]);
    assert!(nothing.status.success() && !text(&nothing).contains("restart"), "{}", text(&nothing));

    set(&scene, "log.level = \"error\"\nserver.max_headers = 50\nstore.prefix = \"other\"");
    scene.write_tenant("newcomer", &tenant(&scene.sim));
    let output = scene.command(&["reload"]);
    assert!(output.status.success(), "{}", text(&output));
    let shown = text(&output);
    assert!(shown.contains("applied: log.level\n"), "{shown}");
    assert!(shown.contains("needs a restart: server.max_headers, store.prefix\n"), "{shown}");
    scene.gateway.client("newcomer").call("user", &[]).assert_error(401, "login_required");
    assert!(!scene.log().contains("login_required"), "the level is error");
    scene.client().call("user", &[]).assert_error(401, "login_required");
}

#[test]
fn a_config_with_errors_is_reported_and_changes_nothing() {
    let scene = Scene::new(Stores::Embedded);
    set(&scene, "server.max_bdoy = \"1MiB\"\nlog.access = false");
    // The command reads the config too: the gateway reports the errors only to SIGHUP.
    let output = scene.command(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("max_bdoy"), "{}", text(&output));
    scene.gateway.send(Signal::HUP);
    eventually("it is logged", || scene.log().contains("max_bdoy").then_some(()));
    scene.client().call("user", &[]).assert_error(401, "login_required");
    eventually("requests are still logged", || scene.log().contains("login_required").then_some(()));
}

#[test]
fn reload_says_that_no_gateway_runs() {
    let home = GatewayFolder::new(Setup::default());
    let output = home.command(&["reload"], b"");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("no gateway runs with this config"), "{}", text(&output));

    // The socket of a gateway that was killed is no gateway, and the next start removes it.
    let mut scene = Scene::new(Stores::Embedded);
    let sockets = |scene: &Scene| {
        let beside = fs::read_dir(scene.tenants().with_file_name("")).unwrap();
        beside.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "sock")).count()
    };
    scene.gateway.kill();
    assert_eq!(sockets(&scene), 1);
    scene.gateway.restart();
    assert_eq!(sockets(&scene), 1);
    scene.gateway.kill();
    let output = scene.command(&["reload"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output).contains("no gateway runs with this config"), "{}", text(&output));
}

#[test]
fn signals_that_end_processes_by_default_do_no_harm() {
    let mut scene = Scene::new(Stores::Embedded);
    for signal in [Signal::USR1, Signal::USR2, Signal::QUIT, Signal::PIPE, Signal::ALARM, Signal::HUP] {
        scene.gateway.send(signal);
    }
    eventually("SIGHUP was handled", || scene.log().contains("reloaded").then_some(()));
    assert!(scene.gateway.is_running());
    scene.client().call("user", &[]).assert_error(401, "login_required");
    assert_eq!(scene.gateway.terminate().code(), Some(0));
}

#[test]
fn systemd_learns_of_start_reload_and_stop() {
    let folder = tempfile::TempDir::with_prefix("menlou-notify-").unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let received = || {
        let mut message = [0; 256];
        let length = socket.recv(&mut message).expect("a message to systemd");
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let mut scene = Scene::with(Stores::Embedded, |setup, _| setup.env("NOTIFY_SOCKET", path.to_str().unwrap()));
    assert_eq!(received(), "READY=1");
    scene.gateway.send(Signal::HUP);
    assert!(received().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert_eq!(received(), "READY=1");
    assert_eq!(scene.gateway.terminate().code(), Some(0));
    assert_eq!(received(), "STOPPING=1");
    assert!(scene.gateway.client(TENANT).try_call("user", &[]).is_err());
}
