//! The settings in which two configs differ, by name and never by value.

use super::{Config, Store};
use crate::secret::SecretRef;
use secrecy::ExposeSecret;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;

impl Config {
    /// The settings whose value differs in `other`, sorted: `log.level`.
    pub fn changed_settings(&self, other: &Self) -> Vec<String> {
        let mut changed = Vec::new();
        let mut compare = |section: &str, before: Value, after: Value| {
            let empty = serde_json::Map::new();
            let (before, after) = (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
            let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
            let differing = keys.into_iter().filter(|key| before.get(*key) != after.get(*key));
            changed.extend(differing.map(|key| format!("{section}.{key}")));
        };
        compare("server", json(&self.server), json(&other.server));
        compare("clients", json(&self.clients), json(&other.clients));
        compare("proxies", json(&self.proxies), json(&other.proxies));
        compare("tls", json(&self.tls), json(&other.tls));
        compare("http2", json(&self.http2), json(&other.http2));
        compare("admin", json(&self.admin), json(&other.admin));
        compare("tenants", json(&self.tenants), json(&other.tenants));
        compare("plugins", json(&self.plugins), json(&other.plugins));
        compare("upstreams", json(&self.upstreams), json(&other.upstreams));
        compare("passwords", json(&self.passwords), json(&other.passwords));
        compare("testing", json(&self.testing), json(&other.testing));
        compare("log", json(&self.log), json(&other.log));
        changed.extend(self.store.changed_settings(&other.store));
        if self.keyring.file() != other.keyring.file() || self.keyring.is_set() != other.keyring.is_set() {
            changed.push("secrets.keys_file".to_owned());
        }
        changed.sort();
        changed
    }
}

impl Store {
    fn changed_settings(&self, other: &Self) -> impl Iterator<Item = String> {
        // Resolved when the config was loaded: both are literals.
        let differ = |before: &Option<SecretRef>, after: &Option<SecretRef>| {
            let address = |reference: &Option<SecretRef>| {
                reference.as_ref().and_then(SecretRef::literal).map(|secret| secret.expose_secret().to_owned())
            };
            address(before) != address(after)
        };
        [
            ("store.path", self.path != other.path),
            ("store.sessions", differ(&self.sessions, &other.sessions)),
            ("store.users", differ(&self.users, &other.users)),
            ("store.users_replica", differ(&self.users_replica, &other.users_replica)),
            ("store.ca_file", self.ca_file != other.ca_file),
            ("store.prefix", self.prefix != other.prefix),
        ]
        .into_iter()
        .filter(|(_, is_different)| *is_different)
        .map(|(name, _)| name.to_owned())
    }
}

/// Sections serialise: they are plain data.
fn json(section: &impl Serialize) -> Value {
    serde_json::to_value(section).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn config(settings: &[(&str, &str)]) -> Config {
        let env: BTreeMap<String, String> = settings.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Config::load(None, env.into_iter()).unwrap()
    }

    #[test]
    fn every_section_of_the_config_is_compared() {
        let properties = crate::server::schema();
        let sections: Vec<&String> = properties["properties"].as_object().unwrap().keys().collect();
        let compared = include_str!("changes.rs");
        for section in sections {
            let is_compared =
                compared.contains(&format!("compare(\"{section}\"")) || compared.contains(&format!("\"{section}."));
            assert!(is_compared, "{section}");
        }
    }

    #[test]
    fn names_of_changed_settings_are_listed_without_values() {
        let before = config(&[]);
        assert_eq!(before.changed_settings(&config(&[])), Vec::<String>::new());
        let after = config(&[
            ("MENLOU_LOG__LEVEL", "debug"),
            ("MENLOU_SERVER__MAX_BODY", "2MiB"),
            ("MENLOU_STORE__SESSIONS", "redis://:a-password@host"),
            ("MENLOU_SECRETS__KEYS_FILE", "file:seal.keys"),
        ]);
        let names = ["log.level", "secrets.keys_file", "server.max_body", "store.sessions"];
        assert_eq!(before.changed_settings(&after), names);
        assert_eq!(after.changed_settings(&before), names);
    }
}
