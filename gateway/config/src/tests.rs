//! Tests of complete configs: the wording of errors, the shipped files, and arbitrary input.

mod any_input;
mod files;
mod goldens;
mod plugin_settings;
mod variables;

use super::{config_error::ConfigError, load::Document, tenant::TenantFile};
use menlou_error::text::Language;

/// All errors of a tenant's file, rendered.
fn tenant_errors(text: &str, language: Language) -> String {
    let errors = match Document::parse("tenants/x.toml", text.as_bytes()) {
        Ok(doc) => TenantFile::read(&doc).err().unwrap_or_default(),
        Err(errors) => errors,
    };
    render(&errors, language)
}

fn render(errors: &[ConfigError], language: Language) -> String {
    errors.iter().map(|f| f.render(language, false)).collect::<Vec<_>>().join("\n\n")
}
