//! What Cargo has built for the tests: the gateway's binary, its examples and the first-party plugins.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The gateway's binary, without arguments.
///
/// # Panics
/// Where it is not built. Cargo builds it for the tests of the package `menlou`.
pub fn binary() -> Command {
    let path = artifacts().join("menlou");
    assert!(path.exists(), "{} is missing: cargo build -p menlou", path.display());
    Command::new(path)
}

/// An example of the package `menlou`, without arguments.
///
/// # Panics
/// Where it is not built. Cargo builds it for the tests of the package `menlou`.
pub fn example(name: &str) -> Command {
    let path = artifacts().join("examples").join(name);
    assert!(path.exists(), "{} is missing: cargo build -p menlou --examples", path.display());
    Command::new(path)
}

/// Runs a command to its end, with this standard input.
///
/// # Panics
/// Where it cannot be started.
pub fn run(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the command");
    if let Some(mut stdin) = child.stdin.take() {
        // The command need not read its input.
        let _ = stdin.write_all(input);
    }
    child.wait_with_output().expect("the command's output")
}

/// The library of a first-party plugin.
///
/// # Panics
/// Where it is not built. Cargo builds it for the tests of the package `menlou`.
pub fn plugin_library(name: &str) -> PathBuf {
    let path = artifacts().join("deps").join(format!("libmenlou_{name}.so"));
    assert!(path.exists(), "{} is missing: cargo build -p menlou-{name}", path.display());
    path
}

/// `target/<profile>`; the test executables are in its folder `deps`.
fn artifacts() -> PathBuf {
    let exe = std::env::current_exe().expect("the test's own path");
    exe.parent().and_then(Path::parent).expect("target/<profile>").to_owned()
}
