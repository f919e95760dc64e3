//! Sources of the plugin ABI, the SDK and the scaffold, embedded in the program, with manifests that do not need the
//! workspace.

/// Sources of the plugin ABI and SDK with their paths, such as `sdk/src/lib.rs`.
pub const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
/// The plugin ABI as a C header.
pub const HEADER: &str = include_str!("../../../../../plugins/abi/menlou_plugin.h");
/// The licence of the embedded sources.
pub const LICENSE: &str = include_str!("../../../../../LICENSE");

const WORKSPACE: &str = include_str!("../../../../../Cargo.toml");
const ABI: &str = include_str!("../../../../../plugins/abi/Cargo.toml");
const SDK: &str = include_str!("../../../../../plugins/sdk/Cargo.toml");
const HELLO: &str = include_str!("../../../../../plugins/hello/Cargo.toml");

/// The ABI's manifest.
pub fn abi() -> String {
    standalone(ABI, &[])
}

/// The SDK's manifest, with the ABI in a folder beside it.
pub fn sdk() -> String {
    standalone(SDK, &[("menlou-abi", "../abi")])
}

/// The scaffold's manifest, as a workspace of its own.
pub fn hello() -> String {
    standalone(HELLO, &[("menlou-plugin", "menlou/sdk")]) + "\n[workspace]\n"
}

/// Removes the references to the workspace from a manifest: versions are inlined, crates in `local` are referenced by
/// path, and lints and tests are dropped.
fn standalone(manifest: &str, local: &[(&str, &str)]) -> String {
    let (mut section, mut made) = ("", String::new());
    for line in manifest.lines() {
        if line.starts_with('[') {
            section = line;
        }
        if matches!(section, "[lints]" | "[dev-dependencies]") {
            continue;
        }
        if let Some(key) = line.strip_suffix(".workspace = true") {
            match local.iter().find(|(name, _)| *name == key) {
                Some((name, path)) => made += &format!("{name} = {{ path = {path:?} }}"),
                None => made += inherited(section, key).unwrap_or(line),
            }
        } else {
            made += line;
        }
        made.push('\n');
    }
    made.truncate(made.trim_end().len());
    made.push('\n');
    made
}

/// The line of the workspace's manifest that defines a key.
fn inherited(section: &str, key: &str) -> Option<&'static str> {
    let header = format!("[workspace.{}", section.strip_prefix('[')?);
    let mut lines = WORKSPACE.lines().skip_while(|line| *line != header).skip(1).take_while(|l| !l.starts_with('['));
    lines.find(|line| line.strip_prefix(key).is_some_and(|rest| rest.starts_with(" = ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_manifest_needs_the_workspace() {
        for manifest in [abi(), sdk(), hello()] {
            assert!(!manifest.contains("workspace = true"), "{manifest}");
            toml::from_str::<toml::Table>(&manifest).unwrap();
        }
        assert!(sdk().contains("menlou-abi = { path = \"../abi\" }"));
        assert!(hello().contains("serde = { version = "));
    }

    #[test]
    fn the_sources_of_both_crates_are_there() {
        for path in ["abi/src/lib.rs", "sdk/src/lib.rs", "sdk/src/testing.rs"] {
            assert!(SOURCES.iter().any(|(name, text)| *name == path && !text.is_empty()), "{path}");
        }
    }
}
