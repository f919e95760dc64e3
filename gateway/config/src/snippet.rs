//! The line of a file as it may be shown: every value masked but the one that is known to be no secret.

use std::ops::Range;

/// A longer line is not shown.
const LONGEST: usize = 400;

/// A line cut for showing.
pub struct Line {
    /// The line with masked values; `None` where it is too long.
    pub source: Option<String>,
    /// Where in `source` the span is.
    pub mark: Range<usize>,
}

/// The line `line` of `text`, in which the spans `values` (sorted, disjoint) are masked, but not those within `shown`.
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

/// The same for a text that can't be parsed: only what looks like a key or a table's header stays.
pub fn broken(text: &str, line: Range<usize>, span: &Range<usize>) -> Line {
    let from = line.start + head(text, &line);
    cut(text, line, span, |at, c| {
        let structure = matches!(c, '=' | '"' | '\'' | '[' | ']' | '{' | '}' | ',') || c.is_whitespace();
        if at < from || structure { Shown::Plain } else { Shown::Masked }
    })
}

/// How many bytes of a line are a table's header or the key before a `=`.
fn head(text: &str, line: &Range<usize>) -> usize {
    let before = &text[..line.start];
    // Within a string of several lines nothing is a key.
    if ["\"\"\"", "'''"].iter().any(|q| before.matches(q).count() % 2 == 1) {
        return 0;
    }
    let line = &text[line.clone()];
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let start = line.trim_start_matches(|c: char| c.is_whitespace() || c == '[');
    let rest = start.trim_start_matches(name);
    // Longer ones are rather the lines of an encoded key, whose `=` is padding.
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
            // A tab, too, stands for one column, as in the position.
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
