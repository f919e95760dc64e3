//! Plugins whose own code does not return while they are loaded, configured or released.

use crate::{
    libraries::{self, compiled, compiled_with, folder, rejected},
    test_gateway::TestGateway,
};
use menlou_action::{LoadStage, PluginLoadError, PluginRegistry};
use serde_json::json;
use std::{
    thread,
    time::{Duration, Instant},
};

#[test]
fn code_that_hangs_while_loading_is_rejected_and_other_plugins_are_loaded() {
    let cases = [
        ("CONSTRUCTOR=hang()", LoadStage::Constructor),
        ("BEFORE_ENTRY=hang()", LoadStage::Entry),
        ("INIT=init_hangs", LoadStage::Init),
    ];
    thread::scope(|scope| {
        for (hangs, stage) in cases {
            scope.spawn(move || {
                let bad = compiled("odd.c", &["NAME=\"bad\"", "ACTION=MENLOU_STR(\"bad\")", hangs]);
                let folder = folder(&[("bad.so", &bad), ("odd.so", &compiled("odd.c", &[]))]);
                let start = Instant::now();
                let library = PluginRegistry::load(folder.path()).unwrap();
                assert_eq!(rejected(&library), [("bad.so".into(), PluginLoadError::NotReturned(stage, 5))]);
                assert!(library.find("odd", None).is_some(), "{hangs}");
                assert!(start.elapsed() < Duration::from_secs(30), "{hangs}: {:?}", start.elapsed());
                assert!(library.changes(folder.path()).unwrap().is_empty(), "a rejected file is not loaded again");
            });
        }
    });
}

#[test]
fn constructors_run_once_in_the_order_of_the_loader_with_its_arguments() {
    let flags = ["-shared", "-fPIC", "-Wl,-init=odd_init", "-DINIT=init_checks_constructors"];
    assert_eq!(libraries::rejection("odd.so", &compiled_with("odd.c", &flags)), None);
    let without_init = ["-shared", "-fPIC", "-nostartfiles", "-DINIT=init_checks_constructors"];
    let rejection = libraries::rejection("odd.so", &compiled_with("odd.c", &without_init));
    assert_eq!(rejection, Some(PluginLoadError::InitFailed(-7)), "the check notices a missing constructor");
}

#[tokio::test]
async fn settings_whose_configure_hangs_are_rejected_and_keep_a_bounded_number_of_threads() {
    let odd = compiled("odd.c", &["CONFIGURE=configure_hangs"]);
    let gateway = TestGateway::new(&[("odd", &odd)]).await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let start = Instant::now();
        let faults = gateway.configure("odd", &json!({})).err().unwrap();
        assert!(faults[0].2.contains("did not return within 5 s"), "{faults:?}");
        times.push(start.elapsed());
    }
    assert!(times[..3].iter().all(|time| *time >= Duration::from_secs(5)), "{times:?}");
    assert!(times[3..].iter().all(|time| *time < Duration::from_secs(4)), "no further thread is used: {times:?}");
}

#[tokio::test]
async fn a_release_that_hangs_does_not_keep_the_thread_that_drops_the_action() {
    let odd = compiled("odd.c", &["CONFIGURE=configures", "RELEASE=release_hangs"]);
    let gateway = TestGateway::new(&[("odd", &odd)]).await;
    let action = gateway.action("odd");
    let start = Instant::now();
    drop(action);
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}
