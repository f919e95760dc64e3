//! The state of a plugin's `configure`: the errors that the plugin reports and the upstreams that it creates.

use ::menlou_upstream::{OptionField, Upstream, UpstreamLabels, UpstreamOptions};
use menlou_abi::menlou_upstream;
use serde_json::Value;
use std::{ptr, sync::Arc};

/// Errors in settings: JSON pointer within the action's table, text in Chinese, text in English.
pub type SettingsErrors = Vec<(String, String, String)>;

/// One tenant's settings of one action while `configure` runs. The ABI's `menlou_setup` points to it.
pub(super) struct ConfigureContext<'a> {
    pub tenant: &'a str,
    pub action: &'a str,
    pub settings: &'a Value,
    pub errors: SettingsErrors,
    pub upstreams: Vec<Arc<Upstream>>,
}

/// JSON pointers to the settings of an upstream, for errors.
pub(super) struct UpstreamPointers {
    pub servers: String,
    pub health: String,
}

impl<'a> ConfigureContext<'a> {
    /// The state of a `configure` that has reported and created nothing yet.
    pub fn new(tenant: &'a str, action: &'a str, settings: &'a Value) -> Self {
        Self { tenant, action, settings, errors: Vec::new(), upstreams: Vec::new() }
    }

    /// Metric labels of the upstreams.
    pub fn labels(&self) -> UpstreamLabels {
        UpstreamLabels { tenant: self.tenant.to_owned(), action: self.action.to_owned() }
    }

    /// Creates an upstream and returns its handle. Returns NULL and adds errors if the options are invalid.
    pub fn add_upstream(&mut self, options: UpstreamOptions, pointers: &UpstreamPointers) -> *mut menlou_upstream {
        let errors = match Upstream::new(options) {
            Ok(upstream) => {
                let upstream = Arc::new(upstream);
                let handle = Arc::as_ptr(&upstream).cast_mut().cast();
                self.upstreams.push(upstream);
                return handle;
            }
            Err(errors) => errors,
        };
        let is_list = self.settings.pointer(&pointers.servers).is_some_and(Value::is_array);
        self.errors.extend(errors.into_iter().map(|error| {
            let pointer = match error.field {
                OptionField::Server(i) if is_list => format!("{}/{i}", pointers.servers),
                OptionField::Servers | OptionField::Server(_) => pointers.servers.clone(),
                OptionField::HealthPath | OptionField::HealthInterval => pointers.health.clone(),
            };
            let name = pointer.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap_or_default();
            (pointer.clone(), format!("{name} {}", error.text.zh), format!("{name} {}", error.text.en))
        }));
        ptr::null_mut()
    }
}
