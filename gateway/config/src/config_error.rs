//! A fault in a config file or variable: where it is, and what is wrong, in both languages.

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use menlou_error::text::{Language, Text};
use serde::ser::{Serialize, SerializeStruct, Serializer};
use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

/// How many faults of one file are listed: more help nobody.
pub const MAX_ERRORS: usize = 100;

/// One thing that is wrong. It owns what it needs to be shown, and holds no value that may be a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where.
    pub location: ErrorLocation,
    /// What is wrong, and what would be right.
    pub text: Text,
}

/// Where a fault is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorLocation {
    /// At a place in a file.
    Position(Box<FilePosition>),
    /// In a file as a whole: it can't be read, say.
    File(PathBuf),
    /// In an environment variable.
    Variable(String),
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePosition {
    /// The file, as it was named.
    pub file: PathBuf,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The bytes meant, counted after a byte order mark.
    pub span: Range<usize>,
    /// The line with masked values; `None` where it is too long to be shown.
    pub(super) source: Option<String>,
    /// The bytes of `source` that the pointer stands under.
    pub(super) mark: Range<usize>,
}

impl ConfigError {
    /// A fault of a whole file.
    pub fn in_file(file: impl Into<PathBuf>, text: Text) -> Self {
        Self { location: ErrorLocation::File(file.into()), text }
    }

    /// A fault of an environment variable.
    pub fn in_variable(name: impl Into<String>, text: Text) -> Self {
        Self { location: ErrorLocation::Variable(name.into()), text }
    }

    /// The file, where the fault is in one.
    pub fn file(&self) -> Option<&Path> {
        match &self.location {
            ErrorLocation::Position(position) => Some(&position.file),
            ErrorLocation::File(file) => Some(file),
            ErrorLocation::Variable(_) => None,
        }
    }

    /// Line and column, both from 1, where the fault has a place in a file.
    pub fn position(&self) -> Option<(usize, usize)> {
        match &self.location {
            ErrorLocation::Position(position) => Some((position.line, position.column)),
            _ => None,
        }
    }

    /// The place in one line: `tenants/x.toml:4:1`, a file, or a variable's name.
    pub fn at(&self) -> String {
        match &self.location {
            ErrorLocation::Position(position) => {
                format!("{}:{}:{}", position.file.display(), position.line, position.column)
            }
            ErrorLocation::File(file) => file.display().to_string(),
            ErrorLocation::Variable(name) => name.clone(),
        }
    }

    /// The fault for people: the sentence, the place, the line and a pointer under what is meant. It ends without a
    /// line break.
    pub fn render(&self, language: Language, color: bool) -> String {
        self.rendered(Level::ERROR, Text::fixed("错误", "error"), language, color)
    }

    /// The same for what had better be mended, though all works.
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

/// `{"file","line","column","variable","zh","en"}`; what does not apply is null.
impl Serialize for ConfigError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let variable = match &self.location {
            ErrorLocation::Variable(name) => Some(name),
            _ => None,
        };
        let mut s = serializer.serialize_struct("ConfigError", 6)?;
        s.serialize_field("file", &self.file().map(|p| p.display().to_string()))?;
        s.serialize_field("line", &self.position().map(|p| p.0))?;
        s.serialize_field("column", &self.position().map(|p| p.1))?;
        s.serialize_field("variable", &variable)?;
        s.serialize_field("zh", &self.text.zh)?;
        s.serialize_field("en", &self.text.en)?;
        s.end()
    }
}

/// A name from a file as it may stand in a sentence: in backquotes, without control characters, at most 64 characters.
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

/// The name among `known` that `name` was probably meant to be.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Long names are no slips of the pen, and comparing them is slow.
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
