//! Action plugins: loads shared libraries from a folder, checks them against the plugin ABI, and runs their actions.
//!
//! A [`PluginRegistry`] holds the plugins of a folder. A [`ConfiguredAction`] is one action with a tenant's settings, an
//! [`Action`] is the same with the tenant's services. `Action::run` serves one request. Routing, tenant files and reloads
//! belong to `menlou-tenant`; HTTP belongs to `menlou-server`.

mod coarse_clock;
mod configure;
mod constructors;
mod descriptor;
mod elf;
mod exit_code;
mod exit_guard;
mod ffi;
mod generations;
mod host;
mod instance;
mod operation;
mod params;
mod plugin;
mod plugin_call;
mod plugin_future;
mod plugin_load_error;
mod plugin_registry;
mod plugin_thread;
mod private_copy;
mod reply;
mod request_view;
mod run;
mod schema_cost;
mod services;
mod stream;
mod violations;
mod watchdog;
mod worker_limit;

pub use configure::SettingsErrors;
pub use descriptor::{ActionFlags, Descriptor};
pub use elf::{PluginNote, check as check_file};
pub use exit_guard::ExitGuard;
pub use generations::loaded as loaded_generations;
pub use instance::{Action, ConfiguredAction, NamedAction};
pub use params::ParamsSchema;
pub use plugin::Plugin;
pub use plugin_load_error::{LoadStage, PluginLoadError};
pub use plugin_registry::{PluginChange, PluginRegistry, RejectedFile};
pub use services::{Services, SessionCounter, TenantScope};
pub use violations::{Violation, ViolationCounters};
pub use watchdog::Watchdog;
