//! `menlou tenant list`: lists the tenants with their actions and errors.

use super::context::{CommandFailure, CommandOutput, TenantContext};
use crate::cli::output::{say, show_errors};
use menlou_config::{config_error::ConfigError, load::Document};
use menlou_error::text::{Language, Text};
use menlou_tenant::TenantFileError;
use serde_json::{Value, json};

struct Row {
    tenant: String,
    name: String,
    appid: String,
    actions: String,
    errors: Vec<ConfigError>,
}

pub fn run(context: &TenantContext<'_>) -> Result<CommandOutput, CommandFailure> {
    let (names, misnamed) = context.files().names().map_err(|error| CommandFailure::new("unreadable", error.text))?;
    let files = context.files();
    let rows: Vec<Row> = names
        .iter()
        .map(|name| {
            let (doc, errors) = match files.read(name) {
                Ok(stored) => {
                    let errors = stored.checked.map_or_else(|errors| errors, |validated| validated.errors);
                    (Document::parse(files.path(name), stored.text.as_bytes()).ok(), errors)
                }
                Err(TenantFileError::Invalid(errors)) => (None, errors),
                Err(why) => (
                    None,
                    vec![ConfigError::in_file(files.path(name), CommandFailure::from_file_error(name, why).text)],
                ),
            };
            let text = |pointer: &str| {
                let value = doc.as_ref().and_then(|doc| doc.value(pointer)?.as_str());
                // The file is not validated yet: the value may be anything.
                value.map_or_else(String::new, |v| v.chars().filter(|c| !c.is_control()).take(64).collect())
            };
            let actions = doc.as_ref().and_then(|doc| doc.value("/actions")?.as_object());
            let actions = actions.map(|a| a.keys().cloned().collect::<Vec<_>>().join(", ")).unwrap_or_default();
            let appid = text("/wechat/appid");
            Row { tenant: name.to_string(), name: text("/name"), appid, actions, errors }
        })
        .collect();
    let errors = misnamed.len() + rows.iter().map(|row| row.errors.len()).sum::<usize>();
    if !context.json {
        table(context, &rows);
        show_errors(&misnamed);
        if rows.iter().any(|row| !row.errors.is_empty()) {
            say("用 menlou tenant show NAME 查看问题", "run menlou tenant show NAME to see the errors");
        }
    }
    let tenants: Vec<Value> = rows
        .into_iter()
        .map(|row| {
            let actions: Vec<&str> = row.actions.split(", ").filter(|a| !a.is_empty()).collect();
            json!({ "tenant": row.tenant, "name": row.name, "appid": row.appid, "actions": actions, "faults": row.errors })
        })
        .collect();
    Ok(CommandOutput { json: json!({ "tenants": tenants, "misnamed": misnamed }), ok: errors == 0 })
}

fn table(context: &TenantContext<'_>, rows: &[Row]) {
    let language = Language::for_operator();
    if rows.is_empty() {
        let folder = context.config.tenants.dir.display();
        say(
            format!("{folder} 中还没有租户：用 menlou tenant create NAME 新建"),
            format!("there are no tenants in {folder} yet: create one with menlou tenant create NAME"),
        );
        return;
    }
    let head = [
        Text::fixed("租户", "TENANT"),
        Text::fixed("名称", "NAME"),
        Text::fixed("AppID", "APPID"),
        Text::fixed("动作", "ACTIONS"),
        Text::fixed("问题", "FAULTS"),
    ]
    .map(|text| text.get(language).to_owned());
    let none = Text::fixed("无", "none");
    let mut lines = vec![head];
    for row in rows {
        let errors = if row.errors.is_empty() { none.get(language).to_owned() } else { row.errors.len().to_string() };
        lines.push([row.tenant.clone(), row.name.clone(), row.appid.clone(), row.actions.clone(), errors]);
    }
    let width = |column: usize| lines.iter().map(|line| columns(&line[column])).max().unwrap_or(0);
    let widths: [usize; 5] = std::array::from_fn(width);
    for line in &lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| cell.clone() + &" ".repeat(width - columns(cell)));
        outln!("{}", padded.collect::<Vec<_>>().join("  ").trim_end());
    }
}

/// Width of a text on a terminal, in columns: Chinese characters take two.
fn columns(text: &str) -> usize {
    unicode_width::UnicodeWidthStr::width(text)
}
