//! Masks the secrets in a file for display, and restores them in an edited copy.

use super::{
    config_error::{ConfigError, MAX_ERRORS},
    load::Document,
};
use menlou_error::text::Text;
use secrecy::zeroize::Zeroizing;
use std::collections::HashMap;

/// The text that replaces a secret. It is rejected as a secret, so that it can never become one.
pub const MASK: &str = "masked:";

/// Which comments are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comments {
    /// All comments, for users who may edit the file.
    All,
    /// Comments without the text after `=`: a commented-out setting may contain a secret.
    WithoutValues,
}

/// Returns the document's text with every string masked for which `hidden` (pointer, value) returns true.
pub fn mask(doc: &Document, comments: Comments, hidden: impl Fn(&str, &str) -> bool) -> String {
    let strings = doc.strings();
    let hidden = strings.into_iter().filter(|(pointer, value, _)| hidden(pointer, value));
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
    let kept = file.map(Document::strings).unwrap_or_default();
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
        let comment = line.find('#').filter(|_| comments == Comments::WithoutValues);
        match comment.and_then(|from| line[from..].find('=').map(|equals| from + equals)) {
            Some(equals) => {
                out.push_str(&line[..=equals]);
                out.push_str(if line.ends_with('\n') { " …\n" } else { " …" });
            }
            None => out.push_str(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# One tenant.\n#secret = \"older\"\nname = \"Acme\" # theirs = ours\n[wechat]\nsecret = '''old\nest''' # a = b\nkeys = [\"k1\", { x = \"k2\" }]\n";

    fn doc(text: &str) -> Document {
        Document::parse("x.toml", text.as_bytes()).unwrap()
    }

    fn hidden(pointer: &str, _: &str) -> bool {
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
    fn values_of_commented_out_settings_are_removed() {
        let masked = mask(&doc(FILE), Comments::WithoutValues, hidden);
        assert!(masked.starts_with("# One tenant.\n#secret = …\nname = \"Acme\" # theirs = …\n[wechat]\n"), "{masked}");
        assert!(masked.contains("\"masked:\" # a = …\n") && !masked.contains("old"), "{masked}");
    }
}
