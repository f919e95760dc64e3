//! What a kept run says of the machine: its kind, never its name.

use std::process::Command;

/// `x86_64-2core`.
pub fn kind(cores: usize) -> String {
    format!("{}-{cores}core", std::env::consts::ARCH)
}

/// Today in UTC, `2026-01-31`.
pub fn date() -> std::io::Result<String> {
    let output = Command::new("date").args(["-u", "+%Y-%m-%d"]).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
