//! `/readyz` is 503 while no request could be served, and its body and the log say why.

use crate::scene::{Scene, Stores, eventually, setup, simulator};
use menlou_harness::{Gateway, Redis, Setup};
use std::{fs, path::Path};

/// Waits until the gateway is not ready for a reason that contains `reason`, in the body and in the log.
fn expect_problem(gateway: &Gateway, reason: &str) {
    eventually(&format!("not ready because of {reason}"), || {
        let (status, body) = gateway.readiness();
        let problems = body["problems"].to_string();
        (status == 503 && problems.contains(reason)).then_some(())
    });
    let log = gateway.log();
    assert!(log.lines().any(|line| line.contains("not ready: ") && line.contains(reason)), "{reason}: {log}");
}

#[test]
fn a_redis_that_refuses_writes_is_not_ready_until_it_takes_them() {
    let scene = Scene::new(Stores::Redis);
    let redis = scene.redis.as_ref().unwrap();
    assert_eq!(scene.readiness().1["problems"], serde_json::json!([]));
    for (refuse, accept, reason) in [
        (&["CONFIG", "SET", "maxmemory", "1"][..], &["CONFIG", "SET", "maxmemory", "0"][..], "OOM"),
        (&["REPLICAOF", "127.0.0.1", "1"], &["REPLICAOF", "NO", "ONE"], "Redis"),
    ] {
        redis.command(refuse);
        expect_problem(&scene.gateway, reason);
        redis.command(accept);
        eventually("ready again", || (scene.readiness().0 == 200).then_some(()));
    }
    scene.person("ann").call("user", &[]).ok();
    assert!(!redis.command(&["KEYS", "*"]).contains("{-}"), "probes leave no key");
}

#[test]
fn a_redis_user_that_lacks_a_command_is_not_ready_and_validate_says_so() {
    let sim = simulator();
    for lacking in ["-@scripting", "-zadd", "-set"] {
        let redis = Redis::start();
        redis.command(&["ACL", "SETUSER", "app", "on", ">app-password", "~*", "&*", "+@all", lacking]);
        let url = redis.url().replace("redis://", "redis://app:app-password@");
        let setup = setup(&sim, None, None).setting("store.sessions", format!("{url:?}"));
        let gateway = Gateway::launch(setup);
        expect_problem(&gateway, "Redis");
        let output = gateway.command(&["validate"]);
        assert_eq!(output.status.code(), Some(1), "{lacking}");
    }
}

#[test]
fn deleted_files_of_the_embedded_store_are_not_ready() {
    for suffix in ["", "-wal", "-shm"] {
        let scene = Scene::new(Stores::Embedded);
        scene.person("ann").call("user", &[]).ok();
        assert_eq!(scene.readiness().0, 200);
        let file = scene.tenants().with_file_name(format!("menlou.db{suffix}"));
        fs::remove_file(&file).unwrap();
        expect_problem(&scene.gateway, "menlou.db");
    }
}

#[test]
fn a_gateway_without_a_usable_plugin_is_not_ready_until_there_is_one() {
    let mut setup: Setup = setup(&simulator(), None, None);
    setup.without_plugins = true;
    let gateway = Gateway::launch(setup);
    let invalid = gateway.plugins().join("broken.so");
    fs::write(&invalid, "no library").unwrap();
    expect_problem(&gateway, "every plugin was rejected");
    fs::remove_file(invalid).unwrap();
    eventually("ready again", || (gateway.readiness().0 == 200).then_some(()));
    eventually("it is logged", || gateway.log().contains("ready again").then_some(()));
}

#[test]
fn a_missing_folder_of_tenants_is_not_ready_and_is_named() {
    let gateway = Gateway::launch(Setup::default().setting("tenants.dir", "\"missing\""));
    expect_problem(&gateway, "missing");
    let folder: &Path = &gateway.tenants().with_file_name("missing");
    fs::create_dir(folder).unwrap();
    eventually("ready", || (gateway.readiness().0 == 200).then_some(()));
}
