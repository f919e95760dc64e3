//! Masks the secrets in a file for display, and restores them in an edited copy.

use super::{
    config_error::{ConfigError, MAX_ERRORS},
    load::Document,
};
use menlou_error::text::Text;
use secrecy::zeroize::Zeroizing;
use serde_json::Value;
use std::collections::HashMap;

/// The text that replaces a secret. It is rejected as a secret, so that it can never become one.
pub const MASK: &str = "masked:";

/// Which comments are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comments {
    /// All comments, for users who may edit the file.
    All,
    /// No text of comments: a commented-out setting or a remark may contain a secret.
    Hidden,
}

/// Returns the document's text with every scalar value masked for which `hidden` (pointer, value) returns true.
pub fn mask(doc: &Document, comments: Comments, hidden: impl Fn(&str, &Value) -> bool) -> String {
    let leaves = doc.leaves();
    let hidden = leaves.into_iter().filter(|(pointer, value, _)| hidden(pointer, value));
    // Both are in the order of the text.
    let mut hidden = hidden.map(|(_, _, span)| span).peekable();
    let mut out = String::with_capacity(doc.text().len());
    let mut at = 0;
    for scalar in doc.scalars() {
        between(&doc.text()[at..scalar.start], comments, &mut out);
        while hidden.next_if(|span| span.start < scalar.start).is_some() {}
        if hidden.next_if_eq(scalar).is_some() {
            out.extend(["\"", MASK, "\""]);
        } else {
            out.push_str(&doc.text()[scalar.clone()]);
        }
        at = scalar.end;
    }
    between(&doc.text()[at..], comments, &mut out);
    out
}

/// Returns the text of a draft with every masked string replaced by the value in the file.
///
/// # Errors
/// One error for each masked string that has no value in the file.
pub fn unmask(draft: &Document, file: Option<&Document>) -> Result<Zeroizing<String>, Vec<ConfigError>> {
    let kept = file.map(Document::leaves).unwrap_or_default();
    let kept: HashMap<_, _> = kept.into_iter().map(|(pointer, _, span)| (pointer, span)).collect();
    // The buffer never grows: growing would leave a copy of a secret in freed memory.
    let capacity = draft.text().len() + file.map_or(0, |file| file.text().len());
    let (mut out, mut at, mut errors) = (Zeroizing::new(String::with_capacity(capacity)), 0, Vec::new());
    for (pointer, _, span) in draft.strings().into_iter().filter(|(_, value, _)| *value == MASK) {
        out.push_str(&draft.text()[at..span.start]);
        at = span.end;
        match (file, kept.get(&pointer)) {
            (Some(file), Some(span)) => out.push_str(&file.text()[span.clone()]),
            _ => {
                let text = Text::fixed(
                    "\"masked:\" 表示保留文件中的原值，但文件中此处没有值",
                    "\"masked:\" keeps the value in the file, but the file has no value here",
                );
                if errors.len() < MAX_ERRORS {
                    errors.push(draft.error_with_value(&pointer, text));
                }
            }
        }
    }
    out.push_str(&draft.text()[at..]);
    if errors.is_empty() { Ok(out) } else { Err(errors) }
}

/// Appends the text between two values: keys, table headers, and comments.
fn between(text: &str, comments: Comments, out: &mut String) {
    for line in text.split_inclusive('\n') {
        match comment_start(line).filter(|_| comments == Comments::Hidden) {
            Some(at) => {
                out.push_str(&line[..=at]);
                out.push_str(if line.ends_with('\n') { " …\n" } else { " …" });
            }
            None => out.push_str(line),
        }
    }
}

/// The position of the `#` that begins a comment. A `#` in a quoted key begins none.
fn comment_start(line: &str) -> Option<usize> {
    let (mut quote, mut is_escaped) = (None, false);
    for (at, c) in line.char_indices() {
        match (quote, c) {
            (None, '#') => return Some(at),
            (None, '"' | '\'') => quote = Some(c),
            (Some('"'), '\\') if !is_escaped => {
                is_escaped = true;
                continue;
            }
            (Some(open), c) if open == c && !is_escaped => quote = None,
            _ => {}
        }
        is_escaped = false;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# One tenant.\n#secret = \"older\"\nname = \"Acme\" # theirs = ours\n[wechat]\nsecret = '''old\nest''' # a = b\nkeys = [\"k1\", { x = \"k2\" }]\n";

    fn doc(text: &str) -> Document {
        Document::parse("x.toml", text.as_bytes()).unwrap()
    }

    fn hidden(pointer: &str, _: &Value) -> bool {
        pointer.starts_with("/wechat")
    }

    #[test]
    fn unmask_restores_masked_values() {
        let masked = mask(&doc(FILE), Comments::All, hidden);
        assert_eq!(
            masked,
            FILE.replace("'''old\nest'''", "\"masked:\"")
                .replace("\"k1\"", "\"masked:\"")
                .replace("\"k2\"", "\"masked:\"")
        );
        assert_eq!(*unmask(&doc(&masked), Some(&doc(FILE))).unwrap(), FILE);
        let renamed = masked.replace("Acme", "Beta");
        assert_eq!(*unmask(&doc(&renamed), Some(&doc(FILE))).unwrap(), FILE.replace("Acme", "Beta"));
    }

    #[test]
    fn a_mask_without_a_value_in_the_file_is_an_error() {
        let masked = mask(&doc(FILE), Comments::All, hidden).replace("secret", "secrte");
        for file in [None, Some(doc(FILE))] {
            let errors = unmask(&doc(&masked), file.as_ref()).unwrap_err();
            assert_eq!(errors[0].position(), Some((5, 10)), "{errors:?}");
        }
        assert!(crate::secret::SecretRef::parse(MASK).is_err());
    }

    #[test]
    fn comments_are_hidden_from_who_may_not_edit_the_file() {
        let masked = mask(&doc(FILE), Comments::Hidden, hidden);
        assert!(masked.starts_with("# …\n# …\nname = \"Acme\" # …\n[wechat]\n"), "{masked}");
        assert!(masked.contains("\"masked:\" # …\n") && !masked.contains("old"), "{masked}");
        for (written, shown) in [
            ("# the old one: hunter2", "# …"),
            ("a = 1 #hunter2\n", "a = 1 # …\n"),
            ("\"a#b\" = 1 # hunter2\n", "\"a#b\" = 1 # …\n"),
            ("'a#\"b' = 1 # hunter2\n", "'a#\"b' = 1 # …\n"),
            ("\"a\\\"#b\" = 1 # hunter2\n", "\"a\\\"#b\" = 1 # …\n"),
            ("a = [ # hunter2\n 1, # hunter2\n]\n", "a = [ # …\n 1, # …\n]\n"),
            ("[a] # hunter2\n[a.\"#\"] # hunter2", "[a] # …\n[a.\"#\"] # …"),
        ] {
            assert_eq!(mask(&doc(written), Comments::Hidden, hidden), shown);
        }
    }

    #[test]
    fn numbers_are_masked_and_restored_like_strings() {
        let file = "[wechat]\nsecret = 12345678\nis_on = true\n";
        let masked = mask(&doc(file), Comments::All, |pointer, _| pointer == "/wechat/secret");
        assert_eq!(masked, file.replace("12345678", "\"masked:\""));
        assert_eq!(*unmask(&doc(&masked), Some(&doc(file))).unwrap(), file);
    }
}
