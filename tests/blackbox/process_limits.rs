//! Limits and properties of the process: threads, core dumps.

use crate::scene::{Scene, Stores, setup, simulator};
use menlou_harness::GatewayFolder;
use std::{fs, os::unix::fs::PermissionsExt};

/// The lines of a file of `/proc` about the gateway.
fn proc(scene: &Scene, file: &str) -> String {
    fs::read_to_string(format!("/proc/{}/{file}", scene.gateway.id())).unwrap()
}

fn core_limit(scene: &Scene) -> String {
    let limits = proc(scene, "limits");
    let line = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap().to_owned();
    line.split_whitespace().nth(4).unwrap().to_owned()
}

#[test]
fn memory_of_the_gateway_is_in_no_core_dump_unless_a_setting_allows_it() {
    let scene = Scene::new(Stores::Embedded);
    assert_eq!(core_limit(&scene), "0");
    let allowing = Scene::with(Stores::Embedded, |setup, _| setup.setting("server.allow_core_dumps", "true"));
    assert_ne!(core_limit(&allowing), "0");
}

#[test]
fn too_few_threads_end_the_start_with_a_message() {
    if !rustix::process::geteuid().is_root() {
        // Only root can become a user without other processes, which the limit would count.
        return;
    }
    let home = GatewayFolder::new(setup(&simulator(), None, None));
    for folder in [home.path().to_owned(), home.tenants(), home.plugins()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let mut ended = 0;
    for limit in [1, 2, 3, 4, 6, 8, 10, 12, 14, 16] {
        // A user id that nobody has. `timeout` ends a gateway that serves; it counts as a process too.
        let user = format!("--reuid={}", 61_000 + limit);
        let limits = format!("--nproc={limit}");
        let by = ["setpriv", &user, "--regid=61000", "--clear-groups", "prlimit", &limits, "timeout", "5"];
        let output = home.command_through(&by, &["run"]);
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        if log.contains(" serves ") {
            continue;
        }
        let code = output.status.code();
        assert!(code.is_some_and(|code| code != 0 && code != 124), "limit {limit}: {code:?}: {log}");
        assert!(!log.is_empty(), "limit {limit}");
        ended += usize::from(log.contains("ulimit -u"));
    }
    assert!(ended >= 3, "the gateway itself met the limit {ended} times");
}
