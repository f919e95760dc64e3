//! Retention of the audit log: old months go to files, then out of the database.

use crate::scene::{Scene, Stores, TENANT, eventually, tenant};
use rusqlite::Connection;
use serde_json::Value;
use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf};

/// 15 January and 15 February 2020, in Unix milliseconds.
const JANUARY: i64 = 1_579_046_400_000;
const FEBRUARY: i64 = 1_581_724_800_000;

fn folder(scene: &Scene) -> PathBuf {
    scene.tenants().parent().unwrap().to_owned()
}

fn insert(scene: &Scene, at: i64, what: &str) {
    let database = Connection::open(folder(scene).join("menlou.db")).unwrap();
    let sql = "INSERT INTO audit (at, who, role, what, tenant) VALUES (?, 'abc Ann', 'operator', ?, 'acme')";
    database.execute(sql, (at, what)).unwrap();
}

fn lines(path: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn old_months_of_the_audit_log_are_exported_then_deleted() {
    let mut scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("admin.audit_retention_months", "1"));
    scene.admin_as("operator").put(TENANT, &format!("{}#\n", tenant(&scene.sim)), ("If-Match", "*")).ok();
    for (at, what) in [(JANUARY, "one"), (JANUARY + 1, "two"), (FEBRUARY, "three")] {
        insert(&scene, at, what);
    }
    scene.gateway.restart();
    let admin = scene.admin_as("viewer");
    let what = || {
        let entries = admin.get("/audit").ok()["entries"].as_array().unwrap().clone();
        entries.iter().map(|entry| entry["what"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    eventually("the old months are deleted", || (!what().iter().any(|what| what == "three")).then_some(()));
    assert!(what().iter().any(|what| what == "tenant.replace") && !what().contains(&"one".to_owned()), "{:?}", what());
    let exports = folder(&scene).join("audit");
    let path = |name: &str| exports.join(name);
    let (january, february) = (lines(&path("audit-2020-01.jsonl")), lines(&path("audit-2020-02.jsonl")));
    let exported: Vec<_> = january.iter().chain(&february).map(|entry| entry["what"].as_str().unwrap()).collect();
    assert_eq!(exported, ["one", "two", "three"]);
    assert_eq!(
        (january[0]["at"].as_str(), january[0]["tenant"].as_str()),
        (Some("2020-01-15T00:00:00Z"), Some("acme"))
    );
    let mode = fs::metadata(path("audit-2020-01.jsonl")).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "{mode:o}");
    // A file that exists is not overwritten.
    insert(&scene, JANUARY + 2, "late");
    scene.gateway.restart();
    eventually("the late entry is exported", || (lines(&path("audit-2020-01.2.jsonl")).len() == 1).then_some(()));
    assert_eq!(lines(&path("audit-2020-01.jsonl")).len(), 2);
}

#[test]
fn what_cannot_be_exported_is_not_deleted() {
    let mut scene = Scene::with(Stores::Embedded, |setup, _| setup.setting("admin.audit_retention_months", "1"));
    insert(&scene, JANUARY, "one");
    fs::write(folder(&scene).join("audit"), "a file where the folder would be").unwrap();
    scene.gateway.restart();
    eventually("the failure is logged", || {
        scene.log().contains("old entries of the audit log were kept").then_some(())
    });
    assert!(scene.admin_as("viewer").get("/audit").ok().to_string().contains("\"one\""));
}

#[test]
fn without_the_setting_the_audit_log_keeps_everything() {
    let mut scene = Scene::new(Stores::Embedded);
    insert(&scene, JANUARY, "one");
    scene.gateway.restart();
    assert!(scene.admin_as("viewer").get("/audit").ok().to_string().contains("\"one\""));
    assert!(!folder(&scene).join("audit").exists());
}
