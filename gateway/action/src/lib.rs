//! Actions: plugins loaded from a folder, and one tenant's use of them.

mod configure;
mod descriptor;
mod elf;
mod ffi;
mod generations;
mod host;
mod instance;
mod library;
mod operation;
mod params;
mod plugin;
mod plugin_call;
mod plugin_load_error;
mod run;
mod schema_cost;
mod services;
mod stream;
mod watchdog;

pub use configure::SettingsFaults;
pub use descriptor::{Descriptor, Takes};
pub use elf::{Note, check as look};
pub use generations::loaded as generations;
pub use instance::{Action, Configured, Named};
pub use library::{Change, Library, Refused};
pub use params::ParamsSchema;
pub use plugin::Plugin;
pub use plugin_load_error::PluginLoadError;
pub use services::{Openings, Scope, Services};
pub use watchdog::Watchdog;
