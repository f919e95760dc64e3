//! `docs/tenants*.md` lists every setting and explains every failure as the code does;
//! `MENLOU_UPDATE_DOCS=1` rewrites the tables.

use super::generated_docs;
use menlou_config::tenant;
use menlou_error::Responsible;
use menlou_error::text::{Language, Text};
use menlou_platform::wechat::{
    errcodes::{self, Explanation},
    verify::UnreachableReason,
};
use serde_json::Value;
use std::{fmt::Write, fs};

const PAGES: [(&str, Language); 2] = [("docs/tenants.zh-CN.md", Language::Zh), ("docs/tenants.md", Language::En)];

/// The settings of the gateway itself; settings of actions are described in the pages of their plugins.
fn settings(language: Language) -> String {
    let head = Text::fixed("| 设置 | 含义 | 默认值 |", "| setting | meaning | default |");
    let mut table = format!("{}\n|---|---|---|\n", head.get(language));
    rows(&tenant::schema(), "", language, &mut table);
    table
}

fn rows(schema: &Value, above: &str, language: Language, table: &mut String) {
    let required = schema["required"].as_array();
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        let name = format!("{above}{key}");
        if property["properties"].is_object() {
            rows(property, &format!("{name}."), language, table);
            continue;
        }
        let each = &property["additionalProperties"];
        let description = property["description"].as_str().unwrap_or_default();
        let chinese = |line: &&str| line.chars().any(|c| c as u32 > 0x2e80);
        let about: Vec<&str> = description.lines().filter(|line| chinese(line) == (language == Language::Zh)).collect();
        assert!(!about.is_empty(), "{name} is not described in {language:?}");
        let needed = required.is_some_and(|r| r.iter().any(|r| r == key));
        // The default of a nested table is part of the default of the table around it.
        let default = property.get("default").or_else(|| schema["default"].get(key)).filter(|d| !d.is_object());
        let default = match default {
            Some(default) => format!("`{default}`"),
            None if needed => Text::fixed("必填", "required").get(language).to_owned(),
            None => "–".to_owned(),
        };
        let name = if each.is_object() { format!("{name}.NAME") } else { name };
        writeln!(table, "| `{name}` | {} | {default} |", about.join(" ").replace('|', "\\|")).unwrap();
        rows(each, &format!("{name}."), language, table);
    }
}

/// Each failure that `menlou tenant verify` reports and that a tenant admin or the operator can fix.
fn failures(language: Language) -> String {
    let head = Text::fixed(
        "| errcode | 含义 | 谁来处理 | 怎么办 | 在哪里 |",
        "| errcode | meaning | who acts | what to do | where |",
    );
    let mut table = format!("{}\n|---|---|---|---|---|\n", head.get(language));
    for errcode in errcodes::ALL.iter().filter(|e| e.responsible == Responsible::TenantAdmin) {
        let explanation = errcodes::explain(errcode.code).unwrap();
        row(&errcode.code.to_string(), &explanation, language, &mut table);
    }
    for unreached in UnreachableReason::ALL {
        row("–", &unreached.explanation(), language, &mut table);
    }
    table
}

fn row(code: &str, explanation: &Explanation, language: Language, table: &mut String) {
    let Explanation { meaning: what, responsible: who, remedy, location: place } = explanation;
    let (what, remedy, who) = (what.get(language), remedy.get(language), who.text());
    let place = place.as_ref().map_or("–", |place| place.get(language));
    writeln!(table, "| {code} | {what} | {} | {remedy} | {place} |", who.get(language)).unwrap();
}

#[test]
fn the_pages_for_tenant_admins_list_the_settings_and_failures_of_the_code() {
    for (path, language) in PAGES {
        generated_docs::assert_up_to_date(path, &[("settings", settings(language)), ("failures", failures(language))]);
    }
}

#[test]
fn every_link_of_the_pages_for_tenant_admins_has_a_target() {
    for (path, _) in PAGES {
        let page = fs::read_to_string(super::root().join(path)).unwrap();
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            let exists =
                target.is_empty() || target.starts_with("http") || super::root().join("docs").join(target).exists();
            assert!(exists, "{path}: {link}");
        }
    }
}
