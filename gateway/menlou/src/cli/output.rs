//! What commands print: errors and warnings on standard error, results on standard output, in the operator's language.
//!
//! All output of commands passes through the macros of this file. Those of the standard library panic where the reader of
//! a pipe has gone (`menlou explain | head -1`) or the disk is full; clippy refuses them in this crate.

use menlou_config::config_error::ConfigError;
use menlou_error::text::{Language, Text};
use std::{
    fmt::Arguments,
    io::{self, ErrorKind, IsTerminal, Write},
    process::ExitCode,
    sync::OnceLock,
};

/// Prints on standard output.
macro_rules! out {
    ($($argument:tt)*) => { $crate::cli::output::write_stdout(format_args!($($argument)*)) };
}

/// Prints a line on standard output.
macro_rules! outln {
    () => { out!("\n") };
    ($($argument:tt)*) => { out!("{}\n", format_args!($($argument)*)) };
}

/// Prints on standard error.
macro_rules! err {
    ($($argument:tt)*) => { $crate::cli::output::write_stderr(format_args!($($argument)*)) };
}

/// Prints a line on standard error.
macro_rules! errln {
    () => { err!("\n") };
    ($($argument:tt)*) => { err!("{}\n", format_args!($($argument)*)) };
}

/// The first failure to write to standard output.
static FAILURE: OnceLock<io::Error> = OnceLock::new();

/// Writes to standard output. A failure is reported when the command has ended, see [`finish`].
pub fn write_stdout(text: Arguments<'_>) {
    keep_failure(io::stdout().write_fmt(text));
}

/// Writes to standard error. There is nowhere to report a failure.
pub fn write_stderr(text: Arguments<'_>) {
    let _ = io::stderr().write_fmt(text);
}

/// Whether the reader of standard output has gone: a command that runs until it is stopped ends.
pub fn is_closed() -> bool {
    FAILURE.get().is_some_and(is_gone)
}

/// The exit code of a command, after everything was written. That the reader of a pipe has gone is no failure; that the
/// output could not be written otherwise is one, also where the command succeeded.
pub fn finish(code: ExitCode) -> ExitCode {
    keep_failure(io::stdout().flush());
    match FAILURE.get().filter(|e| !is_gone(e)) {
        None => code,
        Some(e) => fail(&Text::new(format!("无法写标准输出：{e}"), format!("could not write to standard output: {e}"))),
    }
}

/// Prints what clap has to say: the help, the version, or what is wrong with the arguments.
pub fn print_usage(error: &clap::Error) -> ExitCode {
    let outcome = error.print();
    if !error.use_stderr() {
        keep_failure(outcome);
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1))
}

fn keep_failure(outcome: io::Result<()>) {
    if let Err(e) = outcome {
        // The first one counts.
        let _ = FAILURE.set(e);
    }
}

fn is_gone(e: &io::Error) -> bool {
    e.kind() == ErrorKind::BrokenPipe
}

/// Prints errors with their source lines on standard error.
pub fn show_errors(errors: &[ConfigError]) {
    let color = io::stderr().is_terminal();
    for error in errors {
        errln!("{}\n", error.render(Language::for_operator(), color));
    }
}

/// Prints warnings with their source lines on standard error.
pub fn show_warnings(warnings: &[ConfigError]) {
    let color = io::stderr().is_terminal();
    for warning in warnings {
        errln!("{}\n", warning.render_warning(Language::for_operator(), color));
    }
}

/// Prints why a command failed on standard error, and returns the exit code for failure.
pub fn fail(text: &Text) -> ExitCode {
    let language = Language::for_operator();
    let label = Text::fixed("错误", "error");
    errln!("{}: {}", label.get(language), text.get(language));
    ExitCode::FAILURE
}

/// Prints a sentence about a failure on standard error, in the operator's language.
pub fn print_error(zh: impl AsRef<str>, en: impl AsRef<str>) {
    match Language::for_operator() {
        Language::Zh => errln!("{}", zh.as_ref()),
        Language::En => errln!("{}", en.as_ref()),
    }
}

/// Prints a sentence on standard output, in the operator's language.
pub fn say(zh: impl AsRef<str>, en: impl AsRef<str>) {
    match Language::for_operator() {
        Language::Zh => outln!("{}", zh.as_ref()),
        Language::En => outln!("{}", en.as_ref()),
    }
}
