//! A file as it may be read by those who write it: its secrets stay behind. What is masked in a text that comes back is
//! what stands in the file.

use super::{config_error::ConfigError, load::Document};
use menlou_error::text::Text;
use secrecy::zeroize::Zeroizing;
use std::ops::Range;

/// What stands in the place of a secret. As a secret it is refused, so that it can never become one.
pub const MASK: &str = "masked:";

/// What is shown of comments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comments {
    /// All: for those who write them.
    Whole,
    /// Not what stands behind a `=`: what was a setting once may be a secret still.
    WithoutValues,
}

/// The document's text with each string masked of which `hidden` (by pointer and value) says so.
pub fn mask(doc: &Document, comments: Comments, hidden: impl Fn(&str, &str) -> bool) -> String {
    let strings = doc.strings();
    let secret: Vec<Range<usize>> =
        strings.into_iter().filter(|(pointer, value, _)| hidden(pointer, value)).map(|(_, _, span)| span).collect();
    let mut out = String::with_capacity(doc.text().len());
    let mut at = 0;
    for scalar in doc.scalars() {
        between(&doc.text()[at..scalar.start], comments, &mut out);
        if secret.contains(scalar) {
            out.extend(["\"", MASK, "\""]);
        } else {
            out.push_str(&doc.text()[scalar.clone()]);
        }
        at = scalar.end;
    }
    between(&doc.text()[at..], comments, &mut out);
    out
}

/// The text of a draft with each masked string as it stands in the file.
///
/// # Errors
/// Each masked string that has nothing behind it.
pub fn unmask(draft: &Document, file: Option<&Document>) -> Result<Zeroizing<String>, Vec<ConfigError>> {
    let kept = file.map(Document::strings).unwrap_or_default();
    // Room for all of it, so that nothing is moved and left behind.
    let room = draft.text().len() + file.map_or(0, |file| file.text().len());
    let (mut out, mut at, mut faults) = (Zeroizing::new(String::with_capacity(room)), 0, Vec::new());
    for (pointer, _, span) in draft.strings().into_iter().filter(|(_, value, _)| *value == MASK) {
        out.push_str(&draft.text()[at..span.start]);
        at = span.end;
        match (file, kept.iter().find(|(of, _, _)| *of == pointer)) {
            (Some(file), Some((_, _, span))) => out.push_str(&file.text()[span.clone()]),
            _ => {
                let text = Text::fixed(
                    "\"masked:\" 表示保留文件中此处的值，但文件中此处没有值",
                    "\"masked:\" keeps what stands here in the file, and nothing does",
                );
                faults.push(draft.fault_showing(&pointer, text));
            }
        }
    }
    out.push_str(&draft.text()[at..]);
    if faults.is_empty() { Ok(out) } else { Err(faults) }
}

/// What stands between two values: keys, headers, and comments to the end of their line.
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
    fn what_is_masked_comes_back_as_it_stood() {
        let masked = mask(&doc(FILE), Comments::Whole, hidden);
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
    fn a_mask_with_nothing_behind_it_is_a_fault_at_its_place() {
        let masked = mask(&doc(FILE), Comments::Whole, hidden).replace("secret", "secrte");
        for file in [None, Some(doc(FILE))] {
            let faults = unmask(&doc(&masked), file.as_ref()).unwrap_err();
            assert_eq!(faults[0].position(), Some((5, 10)), "{faults:?}");
        }
        assert!(crate::secret::SecretRef::parse(MASK).is_err());
    }

    #[test]
    fn of_a_comment_that_was_a_setting_the_value_is_left_out() {
        let masked = mask(&doc(FILE), Comments::WithoutValues, hidden);
        assert!(masked.starts_with("# One tenant.\n#secret = …\nname = \"Acme\" # theirs = …\n[wechat]\n"), "{masked}");
        assert!(masked.contains("\"masked:\" # a = …\n") && !masked.contains("old"), "{masked}");
    }
}
