//! Actions: plugins loaded from a folder, and one tenant's use of them.

mod conduct;
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
mod setup;
mod stream;
mod weight;

pub use conduct::Watch;
pub use descriptor::{Descriptor, Takes};
pub use elf::{Note, check as look};
pub use generations::loaded as generations;
pub use library::{Change, Library, Refused};
pub use live::{Action, Configured, Named};
pub use params::ParamsSchema;
pub use plugin::Plugin;
pub use refusal::Refusal;
pub use services::{Openings, Scope, Services};
pub use setup::SettingsFaults;
