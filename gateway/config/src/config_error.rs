//! An error in a config file or environment variable: its location and what is wrong, in Chinese and English.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use menlou_error::text::{Language, Text};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

/// Maximum number of errors reported for one file.
pub const MAX_ERRORS: usize = 100;

/// One error in a configuration. It owns all data needed to show it, and contains no value that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where the error is.
    pub location: ErrorLocation,
    /// What is wrong, and what is expected.
    pub text: Text,
}

/// Where an error is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorLocation {
    /// At a position in a file.
    Position(Box<FilePosition>),
    /// In a file, without a position: for example, the file cannot be read.
    File(PathBuf),
    /// In an environment variable.
    Variable(String),
}

/// A position in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePosition {
    /// Path of the file, as it was given.
    pub file: PathBuf,
    /// 1-based line.
    pub line: usize,
    /// 1-based column, in characters.
    pub column: usize,
    /// Byte range in the text after a byte order mark.
    pub span: Range<usize>,
    /// The line, with values masked; `None` if the line is too long to be shown.
    pub(super) source: Option<String>,
    /// Byte range within `source` that is underlined.
    pub(super) mark: Range<usize>,
}

impl ConfigError {
    /// An error that concerns a file as a whole.
    pub fn in_file(file: impl Into<PathBuf>, text: Text) -> Self {
        Self { location: ErrorLocation::File(file.into()), text }
    }

    /// An error in an environment variable.
    pub fn in_variable(name: impl Into<String>, text: Text) -> Self {
        Self { location: ErrorLocation::Variable(name.into()), text }
    }

    /// The file, if the error is in a file.
    pub fn file(&self) -> Option<&Path> {
        match &self.location {
            ErrorLocation::Position(position) => Some(&position.file),
            ErrorLocation::File(file) => Some(file),
            ErrorLocation::Variable(_) => None,
        }
    }

    /// 1-based line and column, if the error has a position in a file.
    pub fn position(&self) -> Option<(usize, usize)> {
        match &self.location {
            ErrorLocation::Position(position) => Some((position.line, position.column)),
            _ => None,
        }
    }

    /// The environment variable, if the error is in one.
    pub fn variable(&self) -> Option<&str> {
        match &self.location {
            ErrorLocation::Variable(name) => Some(name),
            _ => None,
        }
    }

    /// The location in one line: `tenants/x.toml:4:1`, a path, or the name of a variable.
    pub fn at(&self) -> String {
        match &self.location {
            ErrorLocation::Position(position) => {
                format!("{}:{}:{}", position.file.display(), position.line, position.column)
            }
            ErrorLocation::File(file) => file.display().to_string(),
            ErrorLocation::Variable(name) => name.clone(),
        }
    }

    /// Renders the error for people: the sentence, the location, and the line with the position underlined. The result
    /// has no trailing line break.
    pub fn render(&self, language: Language, color: bool) -> String {
        self.rendered(Level::ERROR, Text::fixed("错误", "error"), language, color)
    }

    /// Renders the same text as a warning.
    pub fn render_warning(&self, language: Language, color: bool) -> String {
        self.rendered(Level::WARNING, Text::fixed("警告", "warning"), language, color)
    }

    fn rendered(&self, level: Level<'_>, name: Text, language: Language, color: bool) -> String {
        let level = level.with_name(name.get(language));
        let group = Group::with_title(level.primary_title(self.text.get(language)));
        let group = match &self.location {
            ErrorLocation::Position(position) => match &position.source {
                Some(source) => group.element(
                    Snippet::source(source.as_str())
                        .path(position.file.display().to_string())
                        .line_start(position.line)
                        .annotation(AnnotationKind::Primary.span(position.mark.clone())),
                ),
                None => group.element(
                    Origin::path(position.file.display().to_string()).line(position.line).char_column(position.column),
                ),
            },
            ErrorLocation::File(_) | ErrorLocation::Variable(_) => group.element(Origin::path(self.at())),
        };
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }
}

/// For logs, in English: `tenants/x.toml:4:1: …`.
impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at(), self.text.en)
    }
}

impl std::error::Error for ConfigError {}

/// Serialises as `{"file","line","column","variable","zh","en"}`; fields that do not apply are null.
impl Serialize for ConfigError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut s = serializer.serialize_struct("ConfigError", 6)?;
        s.serialize_field("file", &self.file().map(|p| p.display().to_string()))?;
        s.serialize_field("line", &self.position().map(|p| p.0))?;
        s.serialize_field("column", &self.position().map(|p| p.1))?;
        s.serialize_field("variable", &self.variable())?;
        s.serialize_field("zh", &self.text.zh)?;
        s.serialize_field("en", &self.text.en)?;
        s.end()
    }
}

/// Quotes a name from a file for use in a sentence: in backquotes, control characters escaped, at most 64 characters.
pub(super) fn quoted(name: &str) -> String {
    let mut out = String::from("`");
    for (i, c) in name.chars().enumerate() {
        if i == 64 {
            out.push('…');
            break;
        }
        if c.is_control() { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out.push('`');
    out
}

/// The most similar name among `known`, if it is similar enough to be a typo.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long names are not typos, and comparing them is slow.
    if name.len() > 128 {
        return None;
    }
    known
        .into_iter()
        .map(|k| (strsim::damerau_levenshtein(&name.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(distance, k)| *distance <= 1 + k.chars().count() / 4)
        .min()
        .map(|(_, k)| k)
}
