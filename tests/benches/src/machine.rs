//! The description of the machine in a kept run: its architecture and cores, never its name.

use std::process::Command;

/// Architecture and number of cores, such as `x86_64-2core`.
pub fn kind(cores: usize) -> String {
    format!("{}-{cores}core", std::env::consts::ARCH)
}

/// The current date in UTC, such as `2026-01-31`.
pub fn date() -> std::io::Result<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
