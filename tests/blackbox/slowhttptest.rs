//! slowhttptest, a tool for denial of service by slow connections, in each of its modes: all its connections are closed, and
//! other clients are served meanwhile.

use crate::scene::{Scene, Stores, TENANT, eventually};
use menlou_harness::Upstream;
use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// A gateway with short deadlines. The action `files` of its tenant forwards to an upstream.
fn scene(upstream: &Upstream) -> Scene {
    let files = format!(
        "\n[actions.files]\nplugin = \"proxy\"\nupstream = \"http://{}/\"\nauth = \"optional\"\n",
        upstream.addr()
    );
    let deadlines = [
        "server.header_timeout",
        "server.body_timeout",
        "clients.first_byte_timeout",
        "clients.keep_alive_timeout",
        "clients.body_idle_timeout",
        "clients.response_write_timeout",
    ];
    Scene::with(Stores::Embedded, |mut setup, _| {
        setup.tenants.iter_mut().filter(|(name, _)| name == TENANT).for_each(|(_, file)| *file += &files);
        deadlines.iter().fold(setup, |setup, name| setup.setting(name, "\"2s\""))
    })
}

/// Attacks this path in this mode while two users send requests.
fn withstands(scene: &Scene, path: &str, mode: &[&str]) {
    let (ended, people) = (AtomicBool::new(false), ["ann", "bob"].map(|name| scene.person(name)));
    thread::scope(|scope| {
        let users = people.map(|person| {
            let ended = &ended;
            scope.spawn(move || {
                let mut served = 0;
                while !ended.load(Ordering::Relaxed) {
                    person.call("user", &[]).ok();
                    served += 1;
                    // The interval of the requests.
                    thread::sleep(Duration::from_millis(10));
                }
                served
            })
        });
        let outcome = attack(scene, path, mode);
        ended.store(true, Ordering::Relaxed);
        for user in users {
            assert!(user.join().expect("all requests are served") > 10);
        }
        outcome.unwrap_or_else(|output| panic!("{mode:?}: {output}"));
    });
    eventually("no connection is open", || {
        scene.admin("/metrics").unwrap().text().contains("menlou_connections 0").then_some(())
    });
}

/// Runs the tool. All its connections must be closed before its time is up, and each of its own probes must be served.
fn attack(scene: &Scene, path: &str, mode: &[&str]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let mut command = Command::new("slowhttptest");
    command.args(["-u", &format!("http://{}{path}", scene.addr()), "-c", "200", "-r", "200", "-i", "1", "-l", "15"]);
    command.args(["-p", "3", "-g", "-o"]).arg(&report).args(mode);
    let output = command.output().expect("the Debian package slowhttptest (tests/tools.sh)");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let seconds = fs::read_to_string(report.with_extension("csv")).map_err(|e| format!("{e}: {printed}"))?;
    let served = seconds.lines().skip(1).all(|second| second.rsplit(',').next() != Some("0"));
    match printed.contains("No open connections left") && served && seconds.lines().count() > 1 {
        true => Ok(()),
        false => Err(format!("{printed}\n{seconds}")),
    }
}

#[test]
fn slow_heads_block_no_other_client() {
    let upstream = Upstream::start();
    withstands(&scene(&upstream), &format!("/srv/{TENANT}/user"), &["-H", "-x", "8"]);
}

#[test]
fn slow_bodies_block_no_other_client() {
    let upstream = Upstream::start();
    let scene = scene(&upstream);
    // An action whose body is read before it runs, and one whose body is forwarded.
    for action in ["user", "files"] {
        withstands(&scene, &format!("/srv/{TENANT}/{action}"), &["-B", "-s", "8192", "-x", "8"]);
    }
}

#[test]
fn slow_readers_block_no_other_client() {
    let upstream = Upstream::start();
    let path = format!("/srv/{TENANT}/files/download?5000000");
    // The tool notices a closed connection only after it has read what it had received.
    withstands(&scene(&upstream), &path, &["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "256"]);
}

#[test]
fn many_ranges_block_no_other_client() {
    let upstream = Upstream::start();
    let scene = scene(&upstream);
    // As many as a head can hold, and more.
    for ranges in ["1500", "5000"] {
        withstands(&scene, &format!("/srv/{TENANT}/files/download?100000"), &["-R", "-a", "1", "-b", ranges]);
    }
}
