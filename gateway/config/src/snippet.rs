//! Prepares a line of a file for display: all values are masked, except a value that is known not to be a secret.

use std::ops::Range;

/// Lines longer than this, in bytes, are not shown.
const LONGEST: usize = 400;

/// A line prepared for display.
pub struct Line {
    /// The line with masked values; `None` if it is too long.
    pub source: Option<String>,
    /// The range of the span within `source`.
    pub mark: Range<usize>,
}

/// Prepares a line of a parsed text. The spans `values` (sorted, disjoint) are masked, except those within `span` if
/// `shown` is set.
pub fn parsed(text: &str, line: Range<usize>, span: &Range<usize>, values: &[Range<usize>], shown: bool) -> Line {
    let first = values.partition_point(|v| v.end <= line.start);
    let mut rest = values[first..].iter().peekable();
    cut(text, line, span, |at, c| {
        while rest.next_if(|v| v.end <= at).is_some() {}
        match rest.peek() {
            Some(v) if v.contains(&at) => {
                let quote = (at == v.start || at + 1 == v.end) && matches!(c, '"' | '\'');
                let open = shown && span.start <= v.start && v.end <= span.end;
                if quote || open { Shown::Plain } else { Shown::Masked }
            }
            _ if c == '#' => Shown::End,
            _ => Shown::Plain,
        }
    })
}

/// Prepares a line of a text that cannot be parsed: only keys and table headers are shown.
pub fn broken(text: &str, line: Range<usize>, span: &Range<usize>) -> Line {
    let from = line.start + head(text, &line);
    cut(text, line, span, |at, c| {
        let structure = matches!(c, '=' | '"' | '\'' | '[' | ']' | '{' | '}' | ',') || c.is_whitespace();
        if at < from || structure { Shown::Plain } else { Shown::Masked }
    })
}

/// Length in bytes of the line's table header, or of its key before `=`.
fn head(text: &str, line: &Range<usize>) -> usize {
    let before = &text[..line.start];
    // Within a multi-line string, nothing is a key.
    if ["\"\"\"", "'''"].iter().any(|q| before.matches(q).count() % 2 == 1) {
        return 0;
    }
    let line = &text[line.clone()];
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let start = line.trim_start_matches(|c: char| c.is_whitespace() || c == '[');
    let rest = start.trim_start_matches(name);
    // Longer names are probably lines of an encoded key, whose `=` is padding.
    if start.len() - rest.len() > 40 {
        return 0;
    }
    let header = line.trim_start().starts_with('[') && rest.starts_with(']');
    let key = rest.trim_start().strip_prefix('=').is_some_and(|value| {
        !value.starts_with('=') && (rest.starts_with(char::is_whitespace) || !value.trim().is_empty())
    });
    if header || key { line.len() - rest.len() } else { 0 }
}

enum Shown {
    Plain,
    Masked,
    End,
}

fn cut(text: &str, line: Range<usize>, span: &Range<usize>, mut how: impl FnMut(usize, char) -> Shown) -> Line {
    if line.len() > LONGEST {
        return Line { source: None, mark: 0..0 };
    }
    let mut source = String::new();
    let (mut start, mut end) = (None, None);
    for (i, c) in text[line.clone()].char_indices() {
        let at = line.start + i;
        if at >= span.start {
            start.get_or_insert(source.len());
        }
        if at >= span.end {
            end.get_or_insert(source.len());
        }
        match how(at, c) {
            // A tab counts as one column, as in the position.
            Shown::Plain if c.is_control() => source.push(' '),
            Shown::Plain => source.push(c),
            Shown::Masked => source.push('*'),
            Shown::End => break,
        }
    }
    let start = start.unwrap_or(source.len());
    let end = end.unwrap_or(source.len()).max(start);
    source.truncate(source.trim_end().len().max(end));
    Line { source: Some(source), mark: start..end }
}
