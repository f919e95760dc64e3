//! Questions on a terminal: asked on standard error, answered on standard input.

use super::context::CommandFailure;
use menlou_config::secret_text::normalize;
use menlou_error::text::{Language, Text};
use secrecy::SecretString;
use std::io::{self, BufRead, IsTerminal, Read, Write};

/// Maximum length of an answer, in bytes.
const LONGEST: u64 = 4096;

/// Whether questions can be asked: both standard input and standard error are terminals.
pub fn somebody() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Reads a one-line answer; an empty answer selects `default`.
pub fn line(question: &Text, default: Option<&str>) -> Result<String, CommandFailure> {
    loop {
        let shown = default.map(|d| format!(" [{d}]")).unwrap_or_default();
        err!("{}{shown}: ", question.get(Language::for_operator()));
        let _ = io::stderr().flush();
        let mut line = String::new();
        let read = io::stdin().lock().take(LONGEST).read_line(&mut line).map_err(unreadable)?;
        if read == 0 {
            errln!();
            return Err(broken_off());
        }
        match (line.trim(), default) {
            ("", Some(default)) => return Ok(default.to_owned()),
            ("", None) => {}
            (answer, _) => return Ok(answer.to_owned()),
        }
    }
}

/// As [`line`], repeated until the answer is valid.
pub fn fitting<T>(
    question: &Text,
    default: Option<&str>,
    fit: impl Fn(&str) -> Result<T, Text>,
) -> Result<T, CommandFailure> {
    loop {
        match fit(&line(question, default)?) {
            Ok(value) => return Ok(value),
            Err(text) => errln!("  {}", text.get(Language::for_operator())),
        }
    }
}

/// Reads a secret from a prompt without echo, or from the first line of standard input.
pub fn secret(question: &Text) -> Result<SecretString, CommandFailure> {
    let written = if somebody() {
        let question = format!("{}: ", question.get(Language::for_operator()));
        rpassword::prompt_password(question).map_err(|e| match e.kind() {
            io::ErrorKind::UnexpectedEof => broken_off(),
            _ => unreadable(e),
        })?
    } else {
        let mut line = String::new();
        io::stdin().lock().take(LONGEST + 1).read_line(&mut line).map_err(unreadable)?;
        line
    };
    if written.len() as u64 > LONGEST {
        return Err(CommandFailure::usage(Text::new(
            format!("密钥超过 {LONGEST} 字节"),
            format!("the secret has more than {LONGEST} bytes"),
        )));
    }
    if written.trim().is_empty() {
        return Ok(SecretString::default());
    }
    let secret = normalize(&written, "密钥", "the secret").map_err(CommandFailure::usage)?;
    Ok(SecretString::from(secret))
}

fn unreadable(e: io::Error) -> CommandFailure {
    let text = Text::new(format!("无法读取输入：{e}"), format!("could not read the input: {e}"));
    CommandFailure::new("unreadable_input", text)
}

fn broken_off() -> CommandFailure {
    CommandFailure::new("broken_off", Text::fixed("已中止，未改动任何内容", "aborted; nothing was changed"))
}
