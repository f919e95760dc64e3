//! A parsed TOML file: its content as JSON, with the position of each value.

use super::{
    check,
    config_error::{ErrorLocation, FilePosition, MAX_ERRORS},
    schema::escape,
    snippet,
    zeroize::Zeroized,
};
pub use super::{config_error::ConfigError, schema::Schema};
use menlou_error::text::Text;
use secrecy::zeroize::Zeroizing;
use serde::de::DeserializeOwned;
use serde_json::{Map, Number, Value};
use serde_path_to_error::Segment;
use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    io::Read,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};
use toml::de::{DeTable, DeValue};

/// Maximum size of a config file, in bytes.
pub const MAX_FILE_SIZE: usize = 1024 * 1024;

/// A parsed file. `Debug` shows the path only. Text and values are zeroized when the last copy is dropped.
#[derive(Clone)]
pub struct Document {
    source: Arc<Source>,
    value: Zeroized,
}

struct Source {
    path: PathBuf,
    text: Zeroizing<String>,
    /// Byte offset of each line.
    lines: Vec<usize>,
    /// Positions of keys and values, in the shape of the value.
    root: Node,
    /// Spans of all scalar values, sorted.
    values: Vec<Range<usize>>,
}

#[derive(Default)]
struct Node {
    key: Option<Range<usize>>,
    value: Range<usize>,
    /// Whether the value is a scalar: neither a table nor a list.
    scalar: bool,
    table: BTreeMap<String, Node>,
    list: Vec<Node>,
}

impl Document {
    /// Parses the content of a TOML file. `path` is used in errors only.
    ///
    /// # Errors
    /// The file is larger than [`MAX_FILE_SIZE`], not UTF-8 or not TOML, or contains a value that a config cannot have
    /// (a date without quotes, an infinite number).
    pub fn parse(path: impl Into<PathBuf>, bytes: &[u8]) -> Result<Self, Vec<ConfigError>> {
        let path = path.into();
        if bytes.len() > MAX_FILE_SIZE {
            return Err(vec![ConfigError::in_file(
                path,
                Text::fixed("文件超过 1 MiB", "the file is larger than 1 MiB"),
            )]);
        }
        // The byte order mark is not part of the text or of any column.
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let (text, invalid) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, None),
            Err(e) => (std::str::from_utf8(&bytes[..e.valid_up_to()]).unwrap_or_default(), Some(e.valid_up_to())),
        };
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        let text = Zeroizing::new(text.to_owned());
        let mut source = Source { path, text, lines, root: Node::default(), values: Vec::new() };
        if let Some(at) = invalid {
            return Err(vec![
                source.broken(at..at, Text::fixed("从这里开始不是 UTF-8 编码", "the text is not UTF-8 from here on")),
            ]);
        }
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        if !errors.is_empty() {
            return Err(source.syntax(&errors));
        }
        let mut unfit = Vec::new();
        let mut root = Node::default();
        let value = Zeroized::from(table_of(table.get_ref(), &mut root, &mut unfit));
        drop(table);
        leaves(&root, &mut source.values);
        source.values.sort_by_key(|s| s.start);
        source.root = root;
        unfit.truncate(MAX_ERRORS);
        if unfit.is_empty() {
            Ok(Self { source: Arc::new(source), value })
        } else {
            Err(unfit.into_iter().map(|(span, text)| source.error(span, text, false)).collect())
        }
    }

    /// Reads and parses a file.
    ///
    /// # Errors
    /// As [`Self::parse`], or the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, Vec<ConfigError>> {
        read(path).map_err(|text| vec![ConfigError::in_file(path, text)]).and_then(|bytes| Self::parse(path, &bytes))
    }

    /// The path that the file was read from.
    pub fn path(&self) -> &Path {
        &self.source.path
    }

    /// The folder that relative paths in the file are resolved against.
    pub fn folder(&self) -> &Path {
        self.path().parent().unwrap_or(Path::new(""))
    }

    /// The value at a JSON pointer (RFC 6901).
    pub fn value(&self, pointer: &str) -> Option<&Value> {
        self.value.pointer(pointer)
    }

    /// All scalar values in the order of the text: pointer, value, and byte span (after a byte order mark). The span of a
    /// string includes its quotes.
    pub fn leaves(&self) -> Vec<(String, &Value, Range<usize>)> {
        let mut found = Vec::new();
        collect_leaves(&self.source.root, &self.value, &mut String::new(), &mut found);
        found.sort_by_key(|(_, _, span)| span.start);
        found
    }

    /// The strings among [`Self::leaves`].
    pub fn strings(&self) -> Vec<(String, &str, Range<usize>)> {
        let leaves = self.leaves().into_iter();
        leaves.filter_map(|(pointer, value, span)| Some((pointer, value.as_str()?, span))).collect()
    }

    /// The same document with another value, whose parts keep their positions.
    pub(super) fn with(&self, value: Value) -> Self {
        Self { source: self.source.clone(), value: Zeroized::from(value) }
    }

    /// Checks the value at `pointer` against a schema. Returns the errors in the order of the file, at most
    /// [`MAX_ERRORS`]. A missing value counts as an empty table.
    pub fn check(&self, pointer: &str, schema: &Schema) -> Vec<ConfigError> {
        let empty = Value::Object(Map::new());
        let value = self.value(pointer).unwrap_or(&empty);
        let mut errors: Vec<ConfigError> = Vec::new();
        for violation in check::violations(value, schema) {
            let at = format!("{pointer}{}", violation.pointer);
            let error = if violation.key {
                self.error_at_key(&at, violation.text)
            } else {
                self.error(&at, violation.text, violation.may_be_shown)
            };
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
        sort(&mut errors);
        errors
    }

    /// Deserialises the value as `T`, after it was checked with the schema of `T`.
    ///
    /// # Errors
    /// A value that the schema accepts and `T` does not, such as `1.0` for an integer.
    pub(super) fn typed<T: DeserializeOwned>(&self, value: &Value) -> Result<T, ConfigError> {
        serde_path_to_error::deserialize(value).map_err(|e| {
            let pointer = e.path().iter().fold(String::new(), |pointer, segment| match segment {
                Segment::Seq { index } => format!("{pointer}/{index}"),
                Segment::Map { key } => format!("{pointer}/{}", escape(key)),
                Segment::Enum { .. } | Segment::Unknown => pointer,
            });
            // The message of the deserialiser contains the value.
            let text = Text::fixed("此处的值类型不对", "this value is of the wrong type");
            self.error_at(&pointer, text)
        })
    }

    /// An error of the value at `pointer`, or of the nearest existing value above it. The value is masked in the
    /// snippet.
    pub fn error_at(&self, pointer: &str, text: Text) -> ConfigError {
        self.error(pointer, text, false)
    }

    /// The same for a value that is certainly not a secret: it is shown.
    pub fn error_with_value(&self, pointer: &str, text: Text) -> ConfigError {
        self.error(pointer, text, true)
    }

    /// An error of the key at `pointer`.
    pub fn error_at_key(&self, pointer: &str, text: Text) -> ConfigError {
        let node = self.source.find(pointer);
        self.source.error(node.key.clone().unwrap_or(node.value.clone()), text, false)
    }

    /// The text, without a byte order mark.
    pub fn text(&self) -> &str {
        &self.source.text
    }

    /// Spans of all scalar values, in the order of the text.
    pub(super) fn scalars(&self) -> &[Range<usize>] {
        &self.source.values
    }

    /// JSON pointer (RFC 6901) of the value that an error of this document concerns, or of the nearest value above it.
    pub fn pointer_of(&self, error: &ConfigError) -> Option<String> {
        let ErrorLocation::Position(position) = &error.location else { return None };
        let (mut node, mut pointer) = (&self.source.root, String::new());
        loop {
            let listed = node.list.iter().enumerate().map(|(i, below)| (i.to_string(), below));
            let below = node.table.iter().map(|(key, below)| (escape(key), below));
            match below.chain(listed).find(|(_, below)| below.holds(position.span.start)) {
                Some((key, below)) => {
                    pointer.push('/');
                    pointer.push_str(&key);
                    node = below;
                }
                None => return Some(pointer),
            }
        }
    }

    fn error(&self, pointer: &str, text: Text, open: bool) -> ConfigError {
        self.source.error(self.source.find(pointer).value.clone(), text, open)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("path", &self.source.path).finish_non_exhaustive()
    }
}

/// Reads a file, at most one byte more than [`MAX_FILE_SIZE`]; `None` if it does not exist.
///
/// # Errors
/// The file cannot be read.
pub fn bytes(path: &Path) -> Result<Option<Vec<u8>>, Text> {
    let absent = std::fs::symlink_metadata(path).is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound);
    if absent { Ok(None) } else { read(path).map(|mut bytes| Some(std::mem::take(&mut *bytes))) }
}

/// Reads at most one byte more than allowed, which is enough to detect a file that is too large.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Text> {
    let unreadable = |e: std::io::Error| Text::new(format!("无法读取：{e}"), format!("can't be read: {e}"));
    // Opening a named pipe could block forever.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Text::fixed("不是普通文件", "is not a regular file"));
    }
    // The buffer never grows: growing would leave a copy of the content in freed memory. The spare bytes hold the read
    // that detects the end of the file.
    let mut bytes = Zeroizing::new(Vec::with_capacity(metadata.len().min(MAX_FILE_SIZE as u64) as usize + 32));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_SIZE as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// Sorts errors in the order of the file.
pub(super) fn sort(errors: &mut [ConfigError]) {
    errors.sort_by_key(|f| match &f.location {
        ErrorLocation::Position(position) => position.span.start,
        _ => usize::MAX,
    });
}

fn unescape(token: &str) -> Cow<'_, str> {
    if token.contains('~') { token.replace("~1", "/").replace("~0", "~").into() } else { token.into() }
}

impl Node {
    /// Whether this position is within the key, the value or anything below it. A table may consist of several parts.
    fn holds(&self, at: usize) -> bool {
        let here = self.key.iter().chain([&self.value]).any(|span| span.contains(&at));
        here || self.table.values().chain(&self.list).any(|below| below.holds(at))
    }
}

impl Source {
    fn find(&self, pointer: &str) -> &Node {
        let mut node = &self.root;
        for token in pointer.split('/').skip(1) {
            let below = node.table.get(&*unescape(token)).or_else(|| node.list.get(token.parse::<usize>().ok()?));
            match below {
                Some(below) => node = below,
                None => break,
            }
        }
        node
    }

    fn error(&self, span: Range<usize>, text: Text, open: bool) -> ConfigError {
        self.place(span, text, |text, line, span| snippet::parsed(text, line, span, &self.values, open))
    }

    fn broken(&self, span: Range<usize>, text: Text) -> ConfigError {
        self.place(span, text, snippet::broken)
    }

    fn place(
        &self,
        span: Range<usize>,
        text: Text,
        line: impl FnOnce(&str, Range<usize>, &Range<usize>) -> snippet::Line,
    ) -> ConfigError {
        let (start, end) = (self.boundary(span.start), self.boundary(span.end));
        let span = start..end.max(start);
        let number = self.lines.partition_point(|l| *l <= span.start).max(1);
        let from = self.lines.get(number - 1).copied().unwrap_or(0);
        let to = self.lines.get(number).map_or(self.text.len(), |next| next - 1);
        let column = self.text[from..span.start].chars().count() + 1;
        let cut = line(&self.text, from..to, &span);
        let file = self.path.clone();
        let position = FilePosition { file, line: number, column, span, source: cut.source, mark: cut.mark };
        ConfigError { location: ErrorLocation::Position(Box::new(position)), text }
    }

    /// The nearest character boundary at or before `at`.
    fn boundary(&self, at: usize) -> usize {
        self.text.floor_char_boundary(at.min(self.text.len()))
    }

    /// Reports one error per line: further errors on the same line are usually consequences of the first.
    fn syntax(&self, toml_errors: &[toml::de::Error]) -> Vec<ConfigError> {
        let mut errors: Vec<ConfigError> = Vec::new();
        for e in toml_errors.iter().take(MAX_ERRORS) {
            let text =
                Text::new(format!("不是有效的 TOML：{}", e.message()), format!("not valid TOML: {}", e.message()));
            errors.push(self.broken(e.span().unwrap_or(0..0), text));
        }
        sort(&mut errors);
        errors.dedup_by_key(|f| f.position().map(|p| p.0));
        errors
    }
}

type Leaf<'a> = (String, &'a Value, Range<usize>);

fn collect_leaves<'a>(node: &Node, value: &'a Value, pointer: &mut String, found: &mut Vec<Leaf<'a>>) {
    let length = pointer.len();
    match value {
        Value::Object(fields) => {
            for (key, below) in &node.table {
                if let Some(value) = fields.get(key) {
                    pointer.push('/');
                    pointer.push_str(&escape(key));
                    collect_leaves(below, value, pointer, found);
                    pointer.truncate(length);
                }
            }
        }
        Value::Array(items) => {
            for (at, (below, value)) in node.list.iter().zip(items).enumerate() {
                pointer.push_str(&format!("/{at}"));
                collect_leaves(below, value, pointer, found);
                pointer.truncate(length);
            }
        }
        _ => found.push((pointer.clone(), value, node.value.clone())),
    }
}

fn leaves(node: &Node, into: &mut Vec<Range<usize>>) {
    if node.scalar {
        into.push(node.value.clone());
    }
    for below in node.table.values().chain(&node.list) {
        leaves(below, into);
    }
}

type Unfit = Vec<(Range<usize>, Text)>;

fn table_of(table: &DeTable<'_>, node: &mut Node, unfit: &mut Unfit) -> Value {
    let mut map = Map::new();
    for (key, value) in table {
        let mut below = Node { key: Some(key.span()), value: value.span(), ..Node::default() };
        map.insert(key.get_ref().to_string(), value_of(value.get_ref(), &mut below, unfit));
        node.table.insert(key.get_ref().to_string(), below);
    }
    Value::Object(map)
}

fn value_of(value: &DeValue<'_>, node: &mut Node, unfit: &mut Unfit) -> Value {
    node.scalar = !matches!(value, DeValue::Array(_) | DeValue::Table(_));
    let mut refuse = |zh, en| {
        unfit.push((node.value.clone(), Text::fixed(zh, en)));
        Value::Null
    };
    match value {
        DeValue::String(s) => Value::String(s.to_string()),
        DeValue::Boolean(b) => Value::Bool(*b),
        DeValue::Integer(i) => match i64::from_str_radix(i.as_str(), i.radix()) {
            Ok(n) => Value::Number(n.into()),
            Err(_) => refuse("整数超出 64 位范围", "the integer does not fit into 64 bits"),
        },
        DeValue::Float(f) => match f.as_str().parse().ok().and_then(Number::from_f64) {
            Some(n) => Value::Number(n),
            None => refuse("只能使用有限的数", "only finite numbers can be used"),
        },
        DeValue::Datetime(_) => refuse("日期和时间请写成带引号的字符串", "write dates and times as strings, in quotes"),
        DeValue::Array(items) => {
            let mut list = Vec::new();
            for item in items.iter() {
                let mut below = Node { value: item.span(), ..Node::default() };
                list.push(value_of(item.get_ref(), &mut below, unfit));
                node.list.push(below);
            }
            Value::Array(list)
        }
        DeValue::Table(table) => table_of(table, node, unfit),
    }
}
