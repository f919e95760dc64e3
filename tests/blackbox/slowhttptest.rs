//! slowhttptest, a tool that ties servers up, in each of its modes: all its connections are let go, and people who call
//! meanwhile are served.

use crate::scene::{Scene, Stores, TENANT, eventually};
use menlou_harness::Upstream;
use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

/// A gateway whose deadlines are short, and whose tenant streams to and from an upstream as `a=files`.
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

/// Attacks this path in this mode while people call.
fn withstands(scene: &Scene, path: &str, mode: &[&str]) {
    let (ended, people) = (AtomicBool::new(false), ["ann", "bob"].map(|name| scene.person(name)));
    thread::scope(|scope| {
        let calling = people.map(|person| {
            let ended = &ended;
            scope.spawn(move || {
                let mut calls = 0;
                while !ended.load(Ordering::Relaxed) {
                    person.call("user", &[]).ok();
                    calls += 1;
                    thread::sleep(Duration::from_millis(10));
                }
                calls
            })
        });
        let outcome = attack(scene, path, mode);
        ended.store(true, Ordering::Relaxed);
        for calls in calling {
            assert!(calls.join().expect("all are served") > 10);
        }
        outcome.unwrap_or_else(|told| panic!("{mode:?}: {told}"));
    });
    eventually("no connection is left", || {
        scene.admin("/metrics").unwrap().text().contains("menlou_connections 0").then_some(())
    });
}

/// Runs the tool: none of its connections must be left before its time is up, and whenever it looks, it must be served.
fn attack(scene: &Scene, path: &str, mode: &[&str]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    let mut command = Command::new("slowhttptest");
    command.args(["-u", &format!("http://{}{path}", scene.addr()), "-c", "200", "-r", "200", "-i", "1", "-l", "15"]);
    command.args(["-p", "3", "-g", "-o"]).arg(&report).args(mode);
    let output = command.output().expect("the Debian package slowhttptest (tests/tools.sh)");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    let seconds = fs::read_to_string(report.with_extension("csv")).map_err(|e| format!("{e}: {told}"))?;
    let served = seconds.lines().skip(1).all(|second| second.rsplit(',').next() != Some("0"));
    match told.contains("No open connections left") && served && seconds.lines().count() > 1 {
        true => Ok(()),
        false => Err(format!("{told}\n{seconds}")),
    }
}

#[test]
fn slow_heads_tie_nothing_up() {
    let upstream = Upstream::start();
    withstands(&scene(&upstream), &format!("/srv/{TENANT}/user"), &["-H", "-x", "8"]);
}

#[test]
fn slow_bodies_tie_nothing_up() {
    let upstream = Upstream::start();
    let scene = scene(&upstream);
    // One that is read before its action runs, and one that streams on.
    for action in ["user", "files"] {
        withstands(&scene, &format!("/srv/{TENANT}/{action}"), &["-B", "-s", "8192", "-x", "8"]);
    }
}

#[test]
fn slow_readers_tie_nothing_up() {
    let upstream = Upstream::start();
    let path = format!("/srv/{TENANT}/files/download?5000000");
    // They see that they were let go once they have read what had come.
    withstands(&scene(&upstream), &path, &["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "256"]);
}

#[test]
fn many_ranges_tie_nothing_up() {
    let upstream = Upstream::start();
    let scene = scene(&upstream);
    // As many as a head has room for, and more.
    for most in ["1500", "5000"] {
        withstands(&scene, &format!("/srv/{TENANT}/files/download?100000"), &["-R", "-a", "1", "-b", most]);
    }
}
