//! A page whose tables are made from the code; `MENLOU_UPDATE_DOCS=1` writes them anew.

use std::fs;

/// That each of these tables stands in the page, between `<!-- NAME -->` and `<!-- /NAME -->`.
pub fn holds(path: &str, tables: &[(&str, String)]) {
    let kept = super::root().join(path);
    let mut right = fs::read_to_string(&kept).unwrap_or_else(|e| panic!("{path}: {e}"));
    for (name, table) in tables {
        right = with(&right, name, table);
    }
    if std::env::var_os("MENLOU_UPDATE_DOCS").is_some() {
        fs::write(&kept, &right).unwrap();
    }
    let now = fs::read_to_string(&kept).unwrap();
    assert!(
        now == right,
        "{path} is not what the code says: run MENLOU_UPDATE_DOCS=1 cargo test -p menlou --test house"
    );
}

fn with(page: &str, name: &str, table: &str) -> String {
    let (open, close) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&open).unwrap_or_else(|| panic!("{open} is missing"));
    let (_, after) = rest.split_once(&close).unwrap_or_else(|| panic!("{close} is missing"));
    format!("{before}{open}{table}{close}{after}")
}
