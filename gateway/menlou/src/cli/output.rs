//! What commands print: errors and warnings on standard error, results on standard output, in the operator's language.

use menlou_config::config_error::ConfigError;
use menlou_error::text::{Language, Text};
use std::{
    io::{self, IsTerminal, Write},
    process::ExitCode,
};

/// Prints errors with their source lines on standard error.
pub fn show_errors(errors: &[ConfigError]) {
    let color = io::stderr().is_terminal();
    for error in errors {
        eprintln!("{}\n", error.render(Language::for_operator(), color));
    }
}

/// Prints warnings with their source lines on standard error.
pub fn show_warnings(warnings: &[ConfigError]) {
    let color = io::stderr().is_terminal();
    for warning in warnings {
        eprintln!("{}\n", warning.render_warning(Language::for_operator(), color));
    }
}

/// Prints why a command failed on standard error, and returns the exit code for failure.
pub fn fail(text: &Text) -> ExitCode {
    let language = Language::for_operator();
    let label = Text::fixed("错误", "error");
    eprintln!("{}: {}", label.get(language), text.get(language));
    ExitCode::FAILURE
}

/// Prints a sentence about a failure on standard error, in the operator's language.
pub fn print_error(zh: impl AsRef<str>, en: impl AsRef<str>) {
    match Language::for_operator() {
        Language::Zh => eprintln!("{}", zh.as_ref()),
        Language::En => eprintln!("{}", en.as_ref()),
    }
}

/// Prints a sentence on standard output, in the operator's language.
pub fn say(zh: impl AsRef<str>, en: impl AsRef<str>) {
    match Language::for_operator() {
        Language::Zh => println!("{}", zh.as_ref()),
        Language::En => println!("{}", en.as_ref()),
    }
}

/// Prints a text on standard output. A closed pipe is no error: the reader has stopped reading.
pub fn print_text(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}
