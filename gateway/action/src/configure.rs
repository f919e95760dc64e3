//! What a plugin tells and asks for while a tenant's settings are looked at.

use ::menlou_upstream::{Labels, Options, Place, Upstream};
use menlou_abi::menlou_upstream;
use serde_json::Value;
use std::{ptr, sync::Arc};

/// Faults that a plugin tells of settings: JSON pointer from the action's table, Chinese, English.
pub type SettingsFaults = Vec<(String, String, String)>;

/// One tenant's settings of one action, being looked at.
pub(super) struct Setup<'a> {
    pub tenant: &'a str,
    pub action: &'a str,
    pub settings: &'a Value,
    pub faults: SettingsFaults,
    pub upstreams: Vec<Arc<Upstream>>,
}

/// Where the settings of an upstream stand.
pub(super) struct Pointers {
    pub servers: String,
    pub health: String,
}

impl Setup<'_> {
    /// Whose upstreams they are.
    pub fn labels(&self) -> Labels {
        Labels { tenant: self.tenant.to_owned(), action: self.action.to_owned() }
    }

    /// Makes an upstream; NULL where its faults were told instead.
    pub fn upstream(&mut self, options: Options, pointers: &Pointers) -> *mut menlou_upstream {
        let faults = match Upstream::new(options) {
            Ok(upstream) => {
                let upstream = Arc::new(upstream);
                let handle = Arc::as_ptr(&upstream).cast_mut().cast();
                self.upstreams.push(upstream);
                return handle;
            }
            Err(faults) => faults,
        };
        let list = self.settings.pointer(&pointers.servers).is_some_and(Value::is_array);
        self.faults.extend(faults.into_iter().map(|fault| {
            let pointer = match fault.place {
                Place::Server(i) if list => format!("{}/{i}", pointers.servers),
                Place::Servers | Place::Server(_) => pointers.servers.clone(),
                Place::HealthPath | Place::HealthInterval => pointers.health.clone(),
            };
            let name = pointer.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap_or_default();
            (pointer.clone(), format!("{name} {}", fault.text.zh), format!("{name} {}", fault.text.en))
        }));
        ptr::null_mut()
    }
}
