//! `menlou tenant show`: shows the effective settings of a tenant and the errors of its file.

use super::context::{CommandFailure, CommandOutput, TenantContext, parse_name};
use crate::cli::output::show_errors;
use menlou_config::{edit::toml_value, load::Document, schema::escape};
use menlou_error::text::{Language, Text};
use menlou_tenant::{Audience, SettingsView, secret_pointers, view};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

pub fn run(context: &TenantContext<'_>, name: &str) -> Result<CommandOutput, CommandFailure> {
    let name = parse_name(name)?;
    let files = context.files();
    let stored = files.read(&name).map_err(|r| CommandFailure::from_file_error(&name, r))?;
    let errors = stored.checked.map_or_else(|errors| errors, |validated| validated.errors);
    // If the file cannot be parsed, the errors say why.
    let doc = Document::parse(files.path(&name), stored.text.as_bytes()).ok();
    let view = doc.as_ref().map(|doc| (view(doc, context.library, Audience::Editor), sources(doc, context)));
    if !context.json {
        let page = view.as_ref().map(|(view, sources)| page(view, sources)).unwrap_or_default();
        out!("# {}\n{page}", files.path(&name).display());
        show_errors(&errors);
    }
    let (settings, defaults, secrets) = match &view {
        Some((view, sources)) => (view.settings.clone(), json!(view.defaults), json!(sources)),
        None => (Value::Null, json!([]), json!({})),
    };
    let ok = errors.is_empty();
    let json = json!({
        "tenant": name.as_str(),
        "file": files.path(&name),
        "revision": stored.revision.to_string(),
        "settings": settings,
        "defaults": defaults,
        "secrets": secrets,
        "faults": errors,
    });
    Ok(CommandOutput { json, ok })
}

/// The kind of source of each secret. Whether it can be resolved is reported in the errors.
fn sources(doc: &Document, context: &TenantContext<'_>) -> BTreeMap<String, &'static str> {
    let source = |pointer: String| {
        let written = doc.value(&pointer)?.as_str()?;
        let kind = ["env", "file", "sealed"].into_iter().find(|kind| written.starts_with(&format!("{kind}:")));
        Some((pointer, kind.unwrap_or("literal")))
    };
    secret_pointers(doc, context.library).into_iter().filter_map(source).collect()
}

fn origin(kind: &str) -> Text {
    match kind {
        "env" => Text::fixed("来自环境变量", "from the environment"),
        "file" => Text::fixed("来自文件", "from a file"),
        "sealed" => Text::fixed("已密封", "sealed"),
        _ => Text::fixed("明文写在此文件中", "in this file, in plain text"),
    }
}

/// The settings as TOML, with a comment at each default and each secret.
fn page(view: &SettingsView, sources: &BTreeMap<String, &'static str>) -> String {
    let mut page = Page { text: String::new(), view, sources, language: Language::for_operator() };
    if let Value::Object(settings) = &view.settings {
        page.table(settings, &[], false);
    }
    page.text.push('\n');
    page.text
}

struct Page<'a> {
    text: String,
    view: &'a SettingsView,
    sources: &'a BTreeMap<String, &'static str>,
    language: Language,
}

impl Page<'_> {
    fn table(&mut self, table: &Map<String, Value>, path: &[&str], default: bool) {
        let (mut tables, values): (Vec<_>, Vec<_>) = table.iter().partition(|(_, value)| value.is_object());
        // In the usual order: the actions last.
        tables.sort_by_key(|(name, _)| ["wechat", "session"].iter().position(|known| known == name).unwrap_or(2));
        if !path.is_empty() && (!values.is_empty() || tables.is_empty()) {
            let key = path.iter().map(|part| key(part)).collect::<Vec<_>>().join(".");
            self.text.push_str(&format!("\n[{key}]\n"));
        }
        for (name, value) in values {
            let at = pointer(path, name);
            // A value from a TOML file can always be written as TOML.
            let written = toml_value(value).map(|v| v.to_string()).unwrap_or_default();
            let remark = match self.sources.get(&at) {
                Some(kind) => origin(kind),
                None if default || self.view.defaults.contains(&at) => Text::fixed("默认值", "default"),
                None => Text::fixed("", ""),
            };
            let remark = match remark.get(self.language) {
                "" => String::new(),
                remark => format!("  # {remark}"),
            };
            self.text.push_str(&format!("{} = {}{remark}\n", key(name), written.trim()));
        }
        for (name, value) in tables {
            let at = pointer(path, name);
            let path: Vec<&str> = path.iter().copied().chain([name.as_str()]).collect();
            if let Value::Object(below) = value {
                self.table(below, &path, default || self.view.defaults.contains(&at));
            }
        }
    }
}

fn pointer(path: &[&str], name: &str) -> String {
    path.iter().chain([&name]).map(|part| format!("/{}", escape(part))).collect()
}

fn key(name: &str) -> String {
    toml_edit::Key::new(name).display_repr().into_owned()
}
