//! Actions: plugins loaded from a folder, and one tenant's use of them.

mod descriptor;
mod elf;
mod flight;
mod generations;
mod host;
mod library;
mod live;
mod operation;
mod params;
mod plugin;
mod raw;
mod refusal;
mod run;
mod services;

pub use descriptor::Descriptor;
pub use generations::loaded as generations;
pub use library::{Change, Library, Refused};
pub use live::{Action, Configured, Named};
pub use plugin::Plugin;
pub use raw::SettingsFaults;
pub use refusal::Refusal;
pub use services::{Scope, Services};
