//! The state of a plugin's `configure`: the faults that the plugin reports and the upstreams that it creates.

use ::menlou_upstream::{OptionField, Upstream, UpstreamLabels, UpstreamOptions};
use menlou_abi::menlou_upstream;
use serde_json::Value;
use std::{ptr, sync::Arc};

/// Faults of settings: JSON pointer within the action's table, text in Chinese, text in English.
pub type SettingsFaults = Vec<(String, String, String)>;

/// One tenant's settings of one action while `configure` runs. The ABI's `menlou_setup` points to it.
pub(super) struct ConfigureContext<'a> {
    pub tenant: &'a str,
    pub action: &'a str,
    pub settings: &'a Value,
    pub faults: SettingsFaults,
    pub upstreams: Vec<Arc<Upstream>>,
}

/// JSON pointers to the settings that an upstream is made of, for faults.
pub(super) struct UpstreamPointers {
    pub servers: String,
    pub health: String,
}

impl ConfigureContext<'_> {
    /// Metric labels of the upstreams.
    pub fn labels(&self) -> UpstreamLabels {
        UpstreamLabels { tenant: self.tenant.to_owned(), action: self.action.to_owned() }
    }

    /// Creates an upstream and returns its handle. Returns NULL and adds faults if the options are invalid.
    pub fn add_upstream(&mut self, options: UpstreamOptions, pointers: &UpstreamPointers) -> *mut menlou_upstream {
        let faults = match Upstream::new(options) {
            Ok(upstream) => {
                let upstream = Arc::new(upstream);
                let handle = Arc::as_ptr(&upstream).cast_mut().cast();
                self.upstreams.push(upstream);
                return handle;
            }
            Err(faults) => faults,
        };
        let is_list = self.settings.pointer(&pointers.servers).is_some_and(Value::is_array);
        self.faults.extend(faults.into_iter().map(|fault| {
            let pointer = match fault.field {
                OptionField::Server(i) if is_list => format!("{}/{i}", pointers.servers),
                OptionField::Servers | OptionField::Server(_) => pointers.servers.clone(),
                OptionField::HealthPath | OptionField::HealthInterval => pointers.health.clone(),
            };
            let name = pointer.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap_or_default();
            (pointer.clone(), format!("{name} {}", fault.text.zh), format!("{name} {}", fault.text.en))
        }));
        ptr::null_mut()
    }
}
