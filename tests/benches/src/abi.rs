//! The plugin ABI by itself: what `menlou-abi-bench`, a program of its own, tells of it.

use crate::{
    Result,
    environment::Environment,
    tools::{self, is_there, per_request},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Calls that valgrind sees, once and then twice over.
const SEEN: u64 = 10_000;

/// What the plugin ABI costs beyond a function that was linked in.
#[derive(Debug, Serialize)]
pub struct AbiCost {
    /// Times.
    #[serde(flatten)]
    pub times: Times,
    /// What it adds in instructions.
    pub added_instructions: Option<f64>,
    /// What it adds in heap blocks, the plugin's too.
    pub added_allocations: Option<f64>,
}

/// Medians, as `menlou-abi-bench` writes them.
#[derive(Debug, Deserialize, Serialize)]
pub struct Times {
    /// One call of the linked function in nanoseconds, making the `Call` included.
    pub linked_ns: f64,
    /// What the plugin ABI adds to it, in nanoseconds.
    pub added_ns: f64,
    /// Loading a folder with one plugin in milliseconds: checked, copied, opened, asked what it is.
    pub load_ms: f64,
}

/// Measures it, on the servers' core.
pub fn measure(environment: &Environment, no_tools: bool) -> Result<AbiCost> {
    eprintln!("measuring: the plugin ABI");
    let plugins = environment.folder().join("abi");
    fs::create_dir_all(&plugins)?;
    fs::copy(environment.plugins.join("empty.so"), plugins.join("empty.so"))?;
    let mut timed = Command::new(program()?);
    timed.arg("--plugins").arg(&plugins);
    let times = serde_json::from_slice(&environment.cores.on_server(|| output(&mut timed))??)?;
    let (mut added_instructions, mut added_allocations) = (None, None);
    if !no_tools && is_there("valgrind") {
        let seen = |way| per_request(SEEN, |calls| watched(environment, &plugins, way, calls));
        let (plugin, linked) = (seen("plugin")?, seen("linked")?);
        (added_instructions, added_allocations) = (Some(plugin.0 - linked.0), Some(plugin.1 - linked.1));
    }
    Ok(AbiCost { times, added_instructions, added_allocations })
}

fn watched(environment: &Environment, plugins: &Path, way: &str, calls: u64) -> Result<tools::Seen> {
    let out = environment.folder().join("abi.json");
    let words = tools::dhat(&out);
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).arg(program()?).arg("--plugins").arg(plugins);
    output(command.args(["--way", way, "--calls", &calls.to_string()]))?;
    tools::read(&out)
}

fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.output()?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => Err(format!("the plugin ABI: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

fn program() -> Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("menlou-abi-bench"))
}
