//! The sources of ABI, SDK and scaffold, which travel inside the program, and their manifests made to stand alone.

/// The sources of ABI and SDK by their paths, such as `sdk/src/lib.rs`.
pub const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/sources.rs"));
/// The border in C.
pub const HEADER: &str = include_str!("../../../../../plugins/abi/menlou_plugin.h");
/// The licence of all of these.
pub const LICENSE: &str = include_str!("../../../../../LICENSE");

const WORKSPACE: &str = include_str!("../../../../../Cargo.toml");
const ABI: &str = include_str!("../../../../../plugins/abi/Cargo.toml");
const SDK: &str = include_str!("../../../../../plugins/sdk/Cargo.toml");
const HELLO: &str = include_str!("../../../../../plugins/hello/Cargo.toml");

/// The ABI's manifest.
pub fn abi() -> String {
    standalone(ABI, &[])
}

/// The SDK's manifest, the ABI standing beside it.
pub fn sdk() -> String {
    standalone(SDK, &[("menlou-abi", "../abi")])
}

/// The scaffold's manifest, a workspace of its own wherever it is made.
pub fn hello() -> String {
    standalone(HELLO, &[("menlou-plugin", "menlou/sdk")]) + "\n[workspace]\n"
}

/// A manifest without what it has from the workspace: versions stand in it, `local` crates by their paths; lints and
/// tests stay at home.
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

/// The line of the workspace's manifest that says it.
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
        for path in ["abi/src/lib.rs", "sdk/src/lib.rs", "sdk/src/testing/mod.rs"] {
            assert!(SOURCES.iter().any(|(name, text)| *name == path && !text.is_empty()), "{path}");
        }
    }
}
