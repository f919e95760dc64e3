//! Pages whose tables are generated from code; `MENLOU_UPDATE_DOCS=1` rewrites them.

use std::fs;

/// Fails unless each of these tables is in the page, between `<!-- NAME -->` and `<!-- /NAME -->`.
pub fn assert_up_to_date(path: &str, tables: &[(&str, String)]) {
    let file = super::root().join(path);
    let mut expected = fs::read_to_string(&file).unwrap_or_else(|e| panic!("{path}: {e}"));
    for (name, table) in tables {
        expected = replace_table(&expected, name, table);
    }
    if std::env::var_os("MENLOU_UPDATE_DOCS").is_some() {
        fs::write(&file, &expected).unwrap();
    }
    assert!(
        fs::read_to_string(&file).unwrap() == expected,
        "{path} is out of date: run MENLOU_UPDATE_DOCS=1 cargo test -p menlou --test architecture"
    );
}

fn replace_table(page: &str, name: &str, table: &str) -> String {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&open).unwrap_or_else(|| panic!("{open} is missing"));
    let (_, after) = rest.split_once(&close).unwrap_or_else(|| panic!("{close} is missing"));
    format!("{before}{open}{table}{close}{after}")
}
