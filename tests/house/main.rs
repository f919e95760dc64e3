//! The house stands as `gateway/ARCHITECTURE.md` says: arrows of imports run one way, rooms say what they are for and stay small.
#![expect(clippy::unwrap_used, reason = "a test says no by panicking")]

mod errors;
mod operations;
mod page;
mod promises;
mod tenants;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// The rooms of the gateway from the top down. A room imports only what stands on a later line; rooms on one line don't
/// import each other.
const ORDER: &[&[&str]] = &[
    &["main"],
    &["cli"],
    &["gateway"],
    &["admin"],
    &["server"],
    &["tenant"],
    &["action"],
    &["policy"],
    &["upstream"],
    &["platform"],
    &["store"],
    &["tls", "proxies"],
    &["call", "circuit", "config"],
    &["error"],
    &["text"],
];

/// Telemetry is imported by these only; everyone else emits through the facades.
const SEE_TELEMETRY: &[&str] = &["gateway", "admin"];

/// What may stand at the root, besides dot files.
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
    "SECURITY.md",
    "LICENSE",
    "Makefile",
    "rustfmt.toml",
    "clippy.toml",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
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

/// The rooms that a source names by `crate::…`, also within braces.
fn imports(source: &str) -> BTreeSet<String> {
    let ident = |text: &str| -> String { text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect() };
    let mut rooms = BTreeSet::new();
    for (at, _) in source.match_indices("crate::") {
        let rest = &source[at + "crate::".len()..];
        if let Some(inside) = rest.strip_prefix('{') {
            let mut depth = 0;
            let mut fresh = true;
            for (i, c) in inside.char_indices() {
                match c {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => fresh = true,
                    c if fresh && c.is_alphabetic() => {
                        rooms.insert(ident(&inside[i..]));
                        fresh = false;
                    }
                    _ => {}
                }
            }
        } else {
            rooms.insert(ident(rest));
        }
    }
    rooms
}

fn rank(room: &str) -> Option<usize> {
    ORDER.iter().position(|line| line.contains(&room))
}

#[test]
fn imports_run_one_way() {
    let src = root().join("gateway/src");
    let mut wrong = Vec::new();
    for path in sources(&src) {
        let inside = path.strip_prefix(&src).unwrap();
        let first = inside.iter().next().unwrap().to_string_lossy();
        let room = first.trim_end_matches(".rs").to_owned();
        if room == "lib" || room == "telemetry" {
            continue;
        }
        let from = rank(&room).unwrap_or_else(|| panic!("the room {room} has no place in ORDER"));
        for import in imports(&fs::read_to_string(&path).unwrap()) {
            let allowed = match import.as_str() {
                "telemetry" => SEE_TELEMETRY.contains(&room.as_str()),
                same if same == room => true,
                other => rank(other).is_some_and(|to| to > from),
            };
            if !allowed {
                wrong.push(format!("{} imports {import}", inside.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the arrows:\n{}", wrong.join("\n"));
}

#[test]
fn the_gateway_knows_the_border_and_plugins_know_the_sdk_only() {
    let own = |manifest: &str| -> Vec<String> {
        let text = fs::read_to_string(root().join(manifest)).unwrap();
        let dependencies = text.split("[dependencies]").nth(1).unwrap_or_default();
        let dependencies = dependencies.split("\n[").next().unwrap_or_default();
        dependencies
            .lines()
            .filter_map(|l| l.split(['.', ' ']).next())
            .filter(|n| n.starts_with("menlou-"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(own("gateway/Cargo.toml"), ["menlou-abi"]);
    assert_eq!(own("plugins/sdk/Cargo.toml"), ["menlou-abi"]);
    assert!(own("plugins/abi/Cargo.toml").is_empty());
    for plugin in fs::read_dir(root().join("plugins")).unwrap() {
        let name = plugin.unwrap().file_name().into_string().unwrap();
        if root().join(format!("plugins/{name}/Cargo.toml")).exists() && name != "abi" && name != "sdk" {
            assert_eq!(own(&format!("plugins/{name}/Cargo.toml")), ["menlou-plugin"], "{name}");
        }
    }
}

#[test]
fn each_file_opens_with_a_sentence() {
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
fn no_room_has_outgrown_a_screenful_of_thought() {
    for path in ["gateway", "plugins", "tests"].iter().flat_map(|folder| sources(&root().join(folder))) {
        let lines = fs::read_to_string(&path).unwrap().lines().count();
        // A table of functions or words is read by looking up, not through.
        let table = ["abi/src/lib.rs", "testing/host.rs"].iter().any(|t| path.ends_with(t));
        assert!(lines <= 450 || table && lines <= 700, "{} has {lines} lines", path.display());
    }
}

#[test]
fn nothing_else_stands_at_the_root() {
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name.starts_with('.') || ROOT.contains(&name.as_str()) || name.ends_with(".db"),
            "{name} stands at the root"
        );
    }
}
