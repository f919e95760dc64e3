//! Plugins whose code does not return: while loading, in `configure`, and in calls.

use crate::{
    bad_plugins::{compile, install, lines},
    scene::{eventually, simulator},
};
use menlou_harness::{Gateway, Setup};
use menlou_simulator::{DEMO_APPID, DEMO_SECRET};
use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

const TENANT: &str = "hanging";

/// A gateway with the plugin `odd`, and a tenant with these actions.
fn scene(actions: &[&str]) -> Gateway {
    let sim = simulator();
    let mut tenant = format!(
        "name = \"Hanging\"\n[wechat]\nappid = \"{DEMO_APPID}\"\nsecret = \"{DEMO_SECRET}\"\nbase_url = \"{}\"\n",
        sim.base_url()
    );
    for action in actions {
        writeln!(tenant, "[actions.{action}]").unwrap();
    }
    let mut gateway = Gateway::start(Setup::default().tenant(TENANT, tenant));
    compile("odd.c", &gateway.plugins(), "odd", &[]);
    gateway.restart();
    gateway
}

fn rejected(gateway: &Gateway) -> String {
    gateway.readiness().1["plugins"]["rejected"].to_string()
}

#[test]
fn a_plugin_that_hangs_while_loading_stops_neither_reloads_nor_the_stop_signal() {
    let mut gateway = scene(&["odd", "other"]);
    let client = gateway.client(TENANT);
    for (hangs, stage) in
        [("CONSTRUCTOR=hang()", "constructor"), ("BEFORE_ENTRY=hang()", "menlou_plugin_v1"), ("INIT=init_hangs", "init")]
    {
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
