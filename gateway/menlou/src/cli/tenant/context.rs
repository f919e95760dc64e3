//! What all tenant commands share: their input, their result, and the sentences for refused changes.

use menlou_action::PluginRegistry;
use menlou_config::{config_error::ConfigError, server::Config, tenant::TenantName};
use menlou_error::text::Text;
use menlou_tenant::{TenantFileError, TenantFiles};
use serde_json::Value;

/// The input of a tenant command.
pub struct TenantContext<'a> {
    pub config: &'a Config,
    pub library: &'a PluginRegistry,
    /// Whether `--json` was given: print one JSON object and ask no questions.
    pub json: bool,
    /// Whether a config file was found. Without one, the defaults apply.
    pub configured: bool,
}

impl TenantContext<'_> {
    /// The tenant files of this gateway.
    pub fn files(&self) -> TenantFiles<'_> {
        TenantFiles::new(&self.config.tenants.dir, self.library, &self.config.keyring)
    }
}

/// The result of a command that ran to its end.
pub struct CommandOutput {
    /// What `--json` prints; the caller adds `ok`.
    pub json: Value,
    /// Whether the command found no problem. Decides the exit code.
    pub ok: bool,
}

/// Why a command did not do what was requested.
pub struct CommandFailure {
    /// A stable code, for scripts.
    pub code: &'static str,
    pub text: Text,
    pub errors: Vec<ConfigError>,
}

impl CommandFailure {
    /// A failure without config errors.
    pub fn new(code: &'static str, text: Text) -> Self {
        Self { code, text, errors: Vec::new() }
    }

    /// The command line itself is wrong. The exit code is 2.
    pub fn usage(text: Text) -> Self {
        Self::new("usage", text)
    }

    /// The change to the tenant's file was refused.
    pub fn from_file_error(name: &TenantName, refused: TenantFileError) -> Self {
        let (code, zh, en) = match refused {
            TenantFileError::Invalid(errors) => {
                let text = Text::new(
                    format!("租户 {name} 的文件有误，未作改动"),
                    format!("the file of tenant {name} has errors; nothing was changed"),
                );
                return Self { code: "faulty", text, errors };
            }
            TenantFileError::InvalidChange(text) => return Self::usage(text),
            TenantFileError::Io(text) => return Self::new("unsaved", text),
            TenantFileError::Exists => (
                "exists",
                format!("租户 {name} 已存在：用 menlou tenant edit {name} 修改"),
                format!("tenant {name} already exists: change it with menlou tenant edit {name}"),
            ),
            TenantFileError::Absent => (
                "absent",
                format!("没有租户 {name}：menlou tenant list 列出全部"),
                format!("there is no tenant {name}: menlou tenant list shows all"),
            ),
            TenantFileError::Changed => (
                "changed",
                format!("租户 {name} 的文件已被别人改动，未保存"),
                format!("somebody else has changed the file of tenant {name}; nothing was saved"),
            ),
        };
        Self::new(code, Text::new(zh, en))
    }
}

/// Parses a tenant's name from the command line.
pub fn parse_name(name: &str) -> Result<TenantName, CommandFailure> {
    TenantName::parse(name).map_err(CommandFailure::usage)
}
