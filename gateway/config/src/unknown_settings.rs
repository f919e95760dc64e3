//! The parts of a file whose meaning is unknown because they violate the schema. A string there may be a secret.

use super::{check, config_error::MAX_ERRORS, load::Document, schema::Schema};
use std::collections::BTreeSet;

/// The parts of a file that a schema does not explain.
#[derive(Debug, Default)]
pub struct UnknownSettings {
    /// Whether there are too many violations to say more.
    is_everything: bool,
    /// JSON pointers of values that are unknown with everything below them.
    values: BTreeSet<String>,
    /// JSON pointers of tables whose own scalar values are unknown: a key is misspelt or missing, so that a value may be
    /// under the wrong key.
    tables: BTreeSet<String>,
}

impl UnknownSettings {
    /// The unknown parts of the value at `pointer`.
    pub fn find(doc: &Document, pointer: &str, schema: &Schema) -> Self {
        let Some(value) = doc.value(pointer) else { return Self::default() };
        let violations = check::violations(value, schema);
        let mut unknown = Self { is_everything: violations.len() >= MAX_ERRORS, ..Self::default() };
        for violation in violations {
            let at = format!("{pointer}{}", violation.pointer);
            if let Some((table, _)) = at.rsplit_once('/').filter(|_| violation.key) {
                unknown.tables.insert(table.to_owned());
            }
            // The complete value violates the schema only because a key is missing in it.
            let is_root = violation.pointer.is_empty();
            let unknown = if is_root && violation.key { &mut unknown.tables } else { &mut unknown.values };
            unknown.insert(at);
        }
        unknown
    }

    /// Whether the scalar value at this pointer is unknown.
    pub fn has(&self, pointer: &str) -> bool {
        let table = pointer.rsplit_once('/').map_or("", |(table, _)| table);
        let ends = pointer.match_indices('/').map(|(at, _)| at).chain([pointer.len()]);
        self.is_everything
            || self.tables.contains(table)
            || ends.into_iter().any(|end| self.values.contains(&pointer[..end]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenant;

    #[test]
    fn a_violation_makes_only_its_own_value_or_table_unknown() {
        let known = "name = \"A\"\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"s\"\n";
        let unknown = |text: &str, pointer: &str| {
            tenant::unknown_settings(&Document::parse("x.toml", text.as_bytes()).unwrap()).has(pointer)
        };
        for pointer in ["/name", "/wechat/appid", "/wechat/secret"] {
            assert!(!unknown(known, pointer), "{pointer}");
            assert!(!unknown(&format!("{known}[session]\nttl = 7\n"), pointer), "{pointer}");
        }
        let misspelt = known.replace("secret", "secrte");
        assert!(unknown(&misspelt, "/wechat/secrte") && unknown(&misspelt, "/wechat/appid"));
        let table = format!("{known}[wehcat]\nsecret = {{ a = \"s\" }}\n");
        assert!(unknown(&table, "/wehcat/secret/a") && !unknown(&table, "/wechat/appid"));
    }
}
