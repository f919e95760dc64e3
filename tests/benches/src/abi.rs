//! The cost of the plugin ABI, measured by the separate program `menlou-abi-bench`.

use crate::{
    Result,
    environment::Environment,
    tools::{self, is_installed, per_request},
};
use serde::{Deserialize, Serialize};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Calls in valgrind's first run; the second has twice as many.
const COUNTED: u64 = 10_000;

/// The cost of a call through the plugin ABI, beyond that of a linked function.
#[derive(Debug, Serialize)]
pub struct AbiCost {
    /// The times.
    #[serde(flatten)]
    pub times: Times,
    /// Instructions that the plugin ABI adds.
    pub added_instructions: Option<f64>,
    /// Heap blocks that the plugin ABI adds, including those of the plugin.
    pub added_allocations: Option<f64>,
}

/// The medians that `menlou-abi-bench` prints.
#[derive(Debug, Deserialize, Serialize)]
pub struct Times {
    /// Time of one call of the linked function, including the construction of the `Call`, in nanoseconds.
    pub linked_ns: f64,
    /// Time that the plugin ABI adds, in nanoseconds.
    pub added_ns: f64,
    /// Time to load a folder with one plugin (check, copy, open, read its descriptor), in milliseconds.
    pub load_ms: f64,
}

/// Measures the plugin ABI on the servers' core.
pub fn measure(environment: &Environment, no_tools: bool) -> Result<AbiCost> {
    eprintln!("measuring: the plugin ABI");
    let plugins = environment.folder().join("abi");
    fs::create_dir_all(&plugins)?;
    fs::copy(environment.plugins.join("empty.so"), plugins.join("empty.so"))?;
    let mut timed = Command::new(program()?);
    timed.arg("--plugins").arg(&plugins);
    let times = serde_json::from_slice(&environment.cores.on_server(|| output(&mut timed))??)?;
    let (mut added_instructions, mut added_allocations) = (None, None);
    if !no_tools && is_installed("valgrind") {
        let count = |variant| per_request(COUNTED, |calls| profile(environment, &plugins, variant, calls));
        let (plugin, linked) = (count("plugin")?, count("linked")?);
        (added_instructions, added_allocations) = (Some(plugin.0 - linked.0), Some(plugin.1 - linked.1));
    }
    Ok(AbiCost { times, added_instructions, added_allocations })
}

fn profile(environment: &Environment, plugins: &Path, variant: &str, calls: u64) -> Result<tools::Profile> {
    let out = environment.folder().join("abi.json");
    let dhat = tools::dhat_command(&out);
    let mut command = Command::new(&dhat[0]);
    command.args(&dhat[1..]).arg(program()?).arg("--plugins").arg(plugins);
    output(command.args(["--variant", variant, "--calls", &calls.to_string()]))?;
    tools::read_dhat(&out)
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
