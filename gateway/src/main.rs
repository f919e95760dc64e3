//! The `menlou` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    menlou::cli::main()
}
