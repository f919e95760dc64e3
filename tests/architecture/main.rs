//! The repository is structured as `gateway/ARCHITECTURE.md` says, and the pages that are generated from code are up to date.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod error_codes_page;
mod generated_docs;
mod import_cycles;
mod metrics_page;
mod security_promises;
mod tenant_settings_page;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The gateway's crates from the top down. A crate depends only on later ones, and `http_guard` on none.
const CRATES: &[&str] = &[
    "menlou",
    "admin",
    "server",
    "tenant",
    "action",
    "policy",
    "upstream",
    "platform",
    "store",
    "call",
    "config",
    "circuit",
    "clock",
    "error",
    "http_guard",
];

/// What may be at the root, besides dot files.
const ROOT: &[&str] = &[
    "docs",
    "gateway",
    "plugins",
    "tenants",
    "tests",
    "target",
    "Cargo.toml",
    "Cargo.lock",
    "README.md",
    "README.zh-CN.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "CONTRIBUTING.zh-CN.md",
    "SECURITY.md",
    "LICENSE",
    "Makefile",
    "rustfmt.toml",
    "clippy.toml",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && path.file_name().is_some_and(|n| n != "target" && n != "node_modules") {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The crates of this repository that a manifest names as dependencies, without those of its tests.
fn own_dependencies(manifest: &str) -> Vec<String> {
    let text = fs::read_to_string(root().join(manifest)).unwrap();
    let dependencies = text.split("\n[dependencies]").nth(1).unwrap_or_default();
    let dependencies = dependencies.split("\n[").next().unwrap_or_default();
    dependencies
        .lines()
        .filter_map(|line| line.split(['.', ' ']).next())
        .filter_map(|name| if name == "http-guard" { Some("http_guard") } else { name.strip_prefix("menlou-") })
        .map(str::to_owned)
        .collect()
}

#[test]
fn crates_depend_in_one_direction() {
    let folders: BTreeSet<String> = fs::read_dir(root().join("gateway"))
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("Cargo.toml").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(folders, CRATES.iter().map(|name| (*name).to_owned()).collect());
    for (at, name) in CRATES.iter().enumerate() {
        for dependency in own_dependencies(&format!("gateway/{name}/Cargo.toml")) {
            let allowed = CRATES[at + 1..].contains(&dependency.as_str()) || dependency == "abi" && *name == "action";
            assert!(allowed, "{name} depends on {dependency}");
        }
    }
}

#[test]
fn plugins_depend_on_the_sdk_only() {
    assert_eq!(own_dependencies("plugins/sdk/Cargo.toml"), ["abi"]);
    assert!(own_dependencies("plugins/abi/Cargo.toml").is_empty());
    for plugin in fs::read_dir(root().join("plugins")).unwrap() {
        let name = plugin.unwrap().file_name().into_string().unwrap();
        if root().join(format!("plugins/{name}/Cargo.toml")).exists() && name != "abi" && name != "sdk" {
            assert_eq!(own_dependencies(&format!("plugins/{name}/Cargo.toml")), ["plugin"], "{name}");
        }
    }
}

#[test]
fn every_file_opens_with_a_sentence() {
    for path in ["gateway", "plugins", "tests"].iter().flat_map(|folder| sources(&root().join(folder))) {
        let text = fs::read_to_string(&path).unwrap();
        let opening = text.lines().next().unwrap_or_default();
        assert!(
            opening.strip_prefix("//! ").is_some_and(|s| s.len() > 10),
            "{} has no opening //! sentence",
            path.display()
        );
    }
}

#[test]
fn module_files_are_in_one_style() {
    for path in ["gateway", "plugins", "tests"].iter().flat_map(|folder| sources(&root().join(folder))) {
        assert!(path.file_name().is_some_and(|name| name != "mod.rs"), "{} should be FOLDER.rs", path.display());
    }
}

#[test]
fn no_file_is_longer_than_450_lines() {
    for path in ["gateway", "plugins", "tests"].iter().flat_map(|folder| sources(&root().join(folder))) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        // A table is looked up, not read through.
        let table = path.ends_with("abi/src/lib.rs");
        assert!(lines <= 450 || table && lines <= 700, "{} has {lines} lines", path.display());
    }
}

#[test]
fn nothing_else_is_at_the_root() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || ROOT.contains(&name.as_str()) || name.ends_with(".db"),
            "{name} does not belong at the root"
        );
    }
}
