//! `menlou schema tenant|server`: prints the JSON Schemas of the config files, for editors.

use menlou_config::{server, tenant};
use std::process::ExitCode;

/// Arguments of `schema`.
#[derive(clap::Args)]
pub struct Arguments {
    #[arg(value_enum)]
    of: Of,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Of {
    /// 租户文件。Tenant files.
    Tenant,
    /// 网关配置。The gateway's config.
    Server,
}

pub fn run(arguments: &Arguments) -> ExitCode {
    let schema = match arguments.of {
        Of::Tenant => tenant::schema(),
        Of::Server => server::schema(),
    };
    outln!("{schema:#}");
    ExitCode::SUCCESS
}
