//! What a tenant's own admin may not change in the tenant file, unlike the operator.

use super::secret_pointers::{PossibleSecrets, address_pointers};
use menlou_action::PluginRegistry;
use menlou_config::{
    config_error::{ConfigError, MAX_ERRORS},
    hosts::HostPattern,
    load::Document,
    secret::SecretRef,
    tenant,
};
use menlou_error::text::Text;
use menlou_platform::PLATFORM_KEYS;
use reqwest::Url;
use std::collections::BTreeSet;

/// The addresses that the gateway connects to: those that a plugin's schema marks, and all other strings of an action that
/// are http(s) URLs, because not every plugin marks its addresses.
struct Addresses(BTreeSet<String>);

/// An address in a file: the action, its plugin, the address.
type AddressUse<'a> = (&'a str, Option<&'a str>, &'a str);

impl Addresses {
    fn for_document(doc: &Document, plugins: &PluginRegistry) -> Self {
        Self(address_pointers(doc, plugins))
    }

    fn has(&self, pointer: &str, value: &str) -> bool {
        let is_url = || {
            pointer.starts_with("/actions/")
                && Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        self.0.contains(pointer) || is_url()
    }

    fn all<'a>(&self, doc: &'a Document) -> BTreeSet<AddressUse<'a>> {
        let strings = doc.strings().into_iter();
        strings
            .filter(|(at, value, _)| self.has(at, value))
            .filter_map(|(at, value, _)| address_use(doc, &at, value))
            .collect()
    }
}

/// Whether the host of an address matches one of these patterns. The name is not resolved.
fn has_host(value: &str, hosts: &[HostPattern]) -> bool {
    Url::parse(value)
        .is_ok_and(|url| url.host_str().is_some_and(|host| hosts.iter().any(|pattern| pattern.matches(host))))
}

/// The use of an address, without the setting that holds it: an address may be moved between an action's settings.
fn address_use<'a>(doc: &'a Document, pointer: &str, value: &'a str) -> Option<AddressUse<'a>> {
    let named = pointer.split('/').nth(2)?;
    let (action, table) = doc.value("/actions")?.as_object()?.get_key_value(named)?;
    let plugin = table.get("plugin").and_then(serde_json::Value::as_str);
    (tenant::is_name(action) && table.is_object()).then_some((action.as_str(), plugin, value))
}

/// The changes in a new file that a tenant's own admin may not make, one error for each. `before` is the file that it
/// replaces, `allowed_hosts` are the hosts that the operator allows in addresses.
///
/// - References to secrets (`env:`, `file:`). The gateway resolves them with its own permissions and sends the result
///   where the file says, so an admin could read every variable and file of the gateway.
/// - Addresses. The gateway may reach hosts that the admin cannot: its own admin port, a store, the metadata service of a
///   cloud. A check of the host name would not help, because its owner can change its DNS records at any time.
/// - The base URL of the platform.
pub fn tenant_admin_violations(
    doc: &Document,
    before: Option<&Document>,
    plugins: &PluginRegistry,
    allowed_hosts: &[HostPattern],
) -> Vec<ConfigError> {
    let secrets = PossibleSecrets::for_document(doc, plugins);
    let is_unchanged = |pointer: &str, value: &str| {
        let had = |at: &str| before.and_then(|before| before.value(at)).is_some_and(|had| had.as_str() == Some(value));
        // While the secret is being replaced, the reference to the old one moves to `previous_secret`.
        had(pointer) || PLATFORM_KEYS.iter().any(|keys| pointer == keys.previous_secret && had(keys.secret))
    };
    let mut errors = Vec::new();
    for (pointer, value, _) in doc.strings() {
        if errors.len() >= MAX_ERRORS {
            return errors;
        }
        let is_reference =
            secrets.has(&pointer) && SecretRef::parse(value).is_ok_and(|reference| reference.is_elsewhere());
        if is_reference && !is_unchanged(&pointer, value) {
            let text = Text::fixed(
                "引用（env:、file:）只能由运维设置；请直接填写密钥",
                "only the operator may set a reference (env:, file:); enter the secret itself",
            );
            errors.push(doc.error_at(&pointer, text));
        }
    }
    let known = before.map(|before| Addresses::for_document(before, plugins).all(before)).unwrap_or_default();
    let addresses = Addresses::for_document(doc, plugins);
    for (pointer, value, _) in doc.strings() {
        if errors.len() >= MAX_ERRORS {
            return errors;
        }
        if addresses.has(&pointer, value)
            && !has_host(value, allowed_hosts)
            && !address_use(doc, &pointer, value).is_some_and(|one| known.contains(&one))
        {
            let text = Text::fixed(
                "网关要连接的地址只能由运维设置",
                "only the operator may set an address that the gateway connects to",
            );
            errors.push(doc.error_at(&pointer, text));
        }
    }
    for keys in PLATFORM_KEYS {
        if doc.value(keys.base_url) != before.and_then(|before| before.value(keys.base_url)) {
            let text = Text::fixed("`base_url` 只能由运维修改", "only the operator may change `base_url`");
            errors.push(doc.error_with_value(keys.base_url, text));
        }
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "name = \"Acme\"\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"hunter2\" # x\n[actions.pay]\nplugin = \"none\"\nkey = \"k1\"\n";

    fn doc(text: &str) -> Document {
        Document::parse("x.toml", text.as_bytes()).unwrap()
    }

    #[test]
    fn a_tenant_admin_may_not_add_an_address() {
        let file = |settings: &str| FILE.replace("key = \"k1\"", settings);
        let count = |after: &str, before: &str| {
            tenant_admin_violations(&doc(&file(after)), Some(&doc(&file(before))), &PluginRegistry::default(), &[])
                .len()
        };
        let two = "to = [\"http://10.0.0.5/\", \"http://10.0.0.6/\"]";
        for inner in
            ["http://10.0.0.5/", "HTTP:10.0.0.5", " http://127.0.0.1:8081", "https:/\\\\db", "http://a.example"]
        {
            assert_eq!(count(&format!("to = \"{inner}\""), "to = \"x\""), 1, "{inner}");
            assert_eq!(count(&format!("to = [\"{inner}\"]"), two), usize::from(inner != "http://10.0.0.5/"));
        }
        assert_eq!(count("to = \"see http://10.0.0.5/\"", ""), 0);
        let reach = ["*.example".parse().unwrap(), "10.0.0.0/24".parse().unwrap()];
        for (to, violations) in
            [("https://a.example/x", 0), ("http://10.0.0.9", 0), ("http://10.0.1.9", 1), ("http://a.net", 1)]
        {
            let text = file(&format!("to = \"{to}\""));
            assert_eq!(
                tenant_admin_violations(&doc(&text), None, &PluginRegistry::default(), &reach).len(),
                violations,
                "{to}"
            );
        }
        // What the operator has set may stay, be moved or be removed. It may not move to another plugin or action.
        for kept in [two, "a = \"http://10.0.0.6/\"", "to = \"http://10.0.0.5/\"\nmore = 1", ""] {
            assert_eq!(count(kept, two), 0, "{kept}");
        }
        let other = tenant_admin_violations(
            &doc(&file(two).replace("none", "other")),
            Some(&doc(&file(two))),
            &PluginRegistry::default(),
            &[],
        );
        let renamed = tenant_admin_violations(
            &doc(&file(two).replace("pay", "buy")),
            Some(&doc(&file(two))),
            &PluginRegistry::default(),
            &[],
        );
        assert_eq!((other.len(), renamed.len()), (2, 2));
    }

    #[test]
    fn a_tenant_admin_may_not_add_a_reference_or_change_base_url() {
        let lines = |after: &str, before: &str| {
            let violations = tenant_admin_violations(&doc(after), Some(&doc(before)), &PluginRegistry::default(), &[]);
            violations.iter().filter_map(ConfigError::position).map(|(line, _)| line).collect::<Vec<_>>()
        };
        let reference = FILE.replace("hunter2", "env:S");
        let unknown = FILE.replace("k1", "file:/etc/shadow");
        assert!(lines(FILE, FILE).is_empty());
        assert!(lines(&reference, &reference).is_empty());
        assert!(lines(FILE, &reference).is_empty());
        assert_eq!(lines(&reference, FILE), [4]);
        assert_eq!(lines(&reference.replace("env:S", "env:T"), &reference), [4]);
        assert_eq!(lines(&unknown, FILE), [7]);
        let credential = FILE.replace("hunter2", "file:$CREDENTIALS_DIRECTORY/other");
        assert_eq!(lines(&credential, FILE), [4]);
        let elsewhere = FILE.replace("secret =", "base_url = \"http://x\"\nsecret =");
        assert_eq!((lines(&elsewhere, FILE), lines(FILE, &elsewhere).len()), (vec![4], 1));
    }
}
