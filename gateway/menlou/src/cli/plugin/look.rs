//! `menlou plugin check` and `menlou plugin list`: show plugins, or why they are rejected.

use super::describe::describe;
use crate::cli::output::{fail, show_errors};
use crate::gateway::open_library;
use menlou_action::{Plugin, PluginLoadError};
use menlou_config::{config_error::ConfigError, server::Config};
use menlou_error::text::{Language, Text};
use std::{path::Path, process::ExitCode};

pub fn check(file: &Path) -> ExitCode {
    match Plugin::open(file) {
        Ok(plugin) => {
            out!("{}", describe(&plugin, Language::for_operator()));
            ExitCode::SUCCESS
        }
        Err(why) => fail(&refused(file, &why)),
    }
}

pub fn list(config: impl FnOnce() -> Result<Config, Vec<ConfigError>>) -> ExitCode {
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
    for plugin in library.plugins() {
        let actions = plugin.actions.iter().map(|a| a.name.as_str()).collect::<Vec<_>>().join(", ");
        outln!("{} {}: {actions}", plugin.name, plugin.version);
    }
    let mut code = ExitCode::SUCCESS;
    for file in library.rejected() {
        code = fail(&refused(&file.path, &file.why));
    }
    code
}

/// The sentence about a rejected plugin.
pub fn refused(file: &Path, why: &PluginLoadError) -> Text {
    let (file, why) = (file.display(), why.text());
    Text::new(format!("{file}：{}", why.zh), format!("{file}: {}", why.en))
}
