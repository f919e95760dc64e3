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
pub use descriptor::{ActionFlags, Descriptor};
pub use elf::{PluginNote, check as check_file};
pub use generations::loaded as loaded_generations;
pub use instance::{Action, ConfiguredAction, NamedAction};
pub use library::{PluginChange, PluginRegistry, RejectedFile};
pub use params::ParamsSchema;
pub use plugin::Plugin;
pub use plugin_load_error::PluginLoadError;
pub use services::{Services, SessionCounter, TenantScope};
pub use watchdog::Watchdog;
