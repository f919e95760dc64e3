//! No input makes the config parser panic, and every error position lies inside the file.

use super::*;
use crate::{config_error::ErrorLocation, schema::Schema, server};
use proptest::prelude::*;

const VALID: &str = include_str!("../../../../tenants/manulife.toml");

fn holds(bytes: &[u8]) {
    let errors = match Document::parse("x.toml", bytes) {
        Ok(doc) => {
            let mut errors = TenantFile::read(&doc).err().unwrap_or_default();
            errors.extend(doc.check("", &Schema::compile(&server::schema()).unwrap()));
            errors
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            errors
        }
    };
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    for error in errors {
        let ErrorLocation::Position(position) = &error.location else { continue };
        assert!(position.span.start <= position.span.end && position.span.end <= text.len(), "{position:?}");
        let before = &text[..position.span.start];
        assert_eq!(position.line, before.iter().filter(|b| **b == b'\n').count() + 1);
        let line = before.rsplit(|b| *b == b'\n').next().unwrap();
        assert_eq!(position.column, std::str::from_utf8(line).unwrap().chars().count() + 1);
        for language in [Language::Zh, Language::En] {
            let rendered = error.render(language, false);
            assert!(
                rendered.contains(&format!("x.toml:{}:{}", position.line, position.column)),
                "{position:?}\n{rendered}"
            );
            error.render(language, true);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_parsed_or_rejected(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        holds(&bytes);
    }

    #[test]
    fn arbitrary_text_is_parsed_or_rejected(text in "(?s)[\\PC\n\r\t=\"'\\[\\]{}#.,]{0,200}") {
        holds(text.as_bytes());
    }

    #[test]
    fn a_mutated_file_is_parsed_or_rejected(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0..12_usize, "[\\PC\n\"'=\\[\\]{}]{0,4}"), 1..8),
    ) {
        let mut bytes = VALID.as_bytes().to_vec();
        for (at, length, insert) in cuts {
            let from = at.index(bytes.len() + 1);
            let to = (from + length).min(bytes.len());
            bytes.splice(from..to, insert.bytes());
        }
        holds(&bytes);
    }

    #[test]
    fn a_broken_file_never_shows_its_secret(
        cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0..12_usize, "[a-z \n\"'#,{}]{0,4}"), 0..8),
    ) {
        let mut text = "name = 'x'\n[wechat]\nappid = 'wx1'\nsecret = \"HUNTERHUNTERHUNTER\"\n[actions.a]\nkey = '''\nHUNTERHUNTERHUNTER\nHUNTERHUNTERHUNTER'''\nx = {k = 'HUNTERHUNTERHUNTER'}\n".to_owned();
        for (at, length, insert) in cuts {
            let from = at.index(text.len() + 1);
            let to = (from + length).min(text.len());
            // The secret itself stays complete, so that the test can search for it.
            if !text[from..to].contains(|c: char| c.is_ascii_uppercase()) {
                text.replace_range(from..to, &insert);
            }
        }
        // Text in the position of a key is treated as a key, not as a secret.
        let key = |rest: &str| rest.trim_start_matches(char::is_alphanumeric).trim_start().starts_with('=');
        prop_assume!(!text.split("HUNTERHUNTERHUNTER").skip(1).any(key));
        let shown = tenant_errors(&text, Language::En);
        prop_assert!(!shown.contains("HUNTERHUNTERHUNTER"), "{text}\n{shown}");
    }
}

#[test]
fn hostile_files_are_rejected_quickly() {
    holds("a".repeat(300_000).as_bytes());
    holds("[".repeat(300_000).as_bytes());
    holds(format!("x = {}", "[".repeat(100_000)).as_bytes());
    holds((0..100_000).map(|i| format!("k{i}=1\n")).collect::<String>().as_bytes());
    holds(format!("x = {{{}}}", (0..50_000).map(|i| format!("k{i}=1,")).collect::<String>()).as_bytes());
    holds(&vec![b'x'; 2 << 20]);
    holds(b"name = \"\xff\"\n");
    holds(b"\xef\xbb\xbf\xef\xbb\xbf");
}
