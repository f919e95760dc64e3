//! `menlou openapi` and `menlou typescript`: descriptions of the actions for client developers.

use crate::cli::output::{fail, show_errors};
use crate::gateway::open_library;
use menlou_action::NamedAction;
use menlou_admin::{openapi, typescript};
use menlou_config::{config_error::ConfigError, load::Document, server::Config, tenant::TenantName};
use menlou_error::text::Text;
use std::process::ExitCode;

/// Arguments of `openapi` and `types`.
#[derive(clap::Args)]
pub struct Arguments {
    /// 只包含此租户已启用的动作。Include only the actions that this tenant has enabled.
    #[arg(long, value_name = "NAME")]
    tenant: Option<String>,
}

/// The output format.
#[derive(Clone, Copy)]
pub enum As {
    /// An OpenAPI document.
    OpenApi,
    /// TypeScript types.
    TypeScript,
}

pub fn run(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>, arguments: &Arguments, how: As) -> ExitCode {
    let config = match config() {
        Ok(config) => config,
        Err(errors) => {
            show_errors(&errors);
            return ExitCode::FAILURE;
        }
    };
    let library = match open_library(&config) {
        Ok(library) => library,
        Err(text) => return fail(&text),
    };
    for refused in library.rejected() {
        let (file, why) = (refused.path.display(), refused.why.text());
        let _ = fail(&Text::new(format!("插件 {file}：{}", why.zh), format!("plugin {file}: {}", why.en)));
    }
    let tenant = arguments.tenant.as_deref();
    let doc = match tenant.map(|name| tenant_file(&config, name)).transpose() {
        Ok(doc) => doc,
        Err(code) => return code,
    };
    let actions: Vec<NamedAction<'_>> = match &doc {
        Some(doc) => {
            let (actions, errors) = menlou_tenant::enabled_actions(doc, &library);
            show_errors(&errors);
            actions
        }
        None => library.actions().map(NamedAction::new).collect(),
    };
    let text = match how {
        As::OpenApi => format!("{:#}\n", openapi::document(tenant, actions, config.server.listen)),
        As::TypeScript => typescript::types(tenant, actions),
    };
    out!("{text}");
    ExitCode::SUCCESS
}

fn tenant_file(config: &Config, name: &str) -> Result<Document, ExitCode> {
    let name = TenantName::parse(name).map_err(|text| fail(&text))?;
    let path = config.tenants.dir.join(format!("{}.toml", name.as_str()));
    Document::read(&path).map_err(|errors| {
        show_errors(&errors);
        ExitCode::FAILURE
    })
}
