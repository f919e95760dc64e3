//! `docs/operations*.md` lists every metric that the code emits.

use super::{generated_docs, root, sources};
use menlou::telemetry::metric_catalog::ALL;
use menlou_error::text::{Language, Text};
use std::{collections::BTreeSet, fmt::Write, fs};

const PAGES: [(&str, Language); 2] = [("docs/operations.zh-CN.md", Language::Zh), ("docs/operations.md", Language::En)];

fn metrics(language: Language) -> String {
    let head = Text::fixed("| 指标 | 类型 | 标签 | 含义 |", "| metric | type | labels | what it counts |");
    let mut table = format!("{}\n|---|---|---|---|\n", head.get(language));
    for metric in ALL {
        let labels = metric.labels.iter().map(|l| format!("`{l}`")).collect::<Vec<_>>().join(" ");
        let labels = if labels.is_empty() { "–".to_owned() } else { labels };
        writeln!(table, "| `{}` | {} | {labels} | {} |", metric.name, metric.kind.name(), metric.text.get(language))
            .unwrap();
    }
    table
}

#[test]
fn the_pages_for_operators_list_the_metrics_of_the_code() {
    for (path, language) in PAGES {
        generated_docs::assert_up_to_date(path, &[("metrics", metrics(language))]);
    }
}

#[test]
fn the_metric_catalog_lists_exactly_the_metrics_that_are_emitted() {
    let mut emitted = BTreeSet::new();
    for path in sources(&root().join("gateway")) {
        let text = fs::read_to_string(&path).unwrap();
        for kind in ["counter!(", "gauge!(", "histogram!("] {
            let after = text.split(kind).skip(1).map(str::trim_start);
            let names = after.filter_map(|rest| rest.strip_prefix('"')?.split('"').next());
            emitted.extend(names.filter(|name| name.starts_with("menlou_")).map(str::to_owned));
        }
    }
    let catalog: BTreeSet<String> = ALL.iter().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(emitted, catalog);
    assert!(ALL.is_sorted_by(|a, b| a.name < b.name), "sorted by name");
}
