//! Which values of a tenant's file are secrets, and which are not a tenant's own to set.

use super::{build, view};
use menlou_action::PluginRegistry;
use menlou_config::{
    config_error::ConfigError,
    hosts::HostPattern,
    load::Document,
    redacted::{Comments, mask},
    secret::SecretRef,
    tenant,
};
use menlou_error::text::Text;
use reqwest::Url;
use std::collections::BTreeSet;

/// What may be shown whatever else is wrong with a file. Not the appid: a secret may have slipped there.
const OPEN: [&str; 2] = ["/name", "/session/ttl"];

/// The places of a file's secrets. Where they can't be told (an action without a plugin, a file with faults), every
/// string counts as one.
struct Secrets {
    places: BTreeSet<String>,
    unknown: Vec<String>,
}

impl Secrets {
    fn of(doc: &Document, library: &PluginRegistry) -> Self {
        let mut secrets = Self { places: view::secret_pointers(doc, library), unknown: Vec::new() };
        if !tenant::fits(doc) {
            secrets.unknown.push(String::new());
        }
        for (action, plugin) in build::tables(doc) {
            let (pointer, own) = tenant::plugin_settings(doc, action);
            let schema = library.find(action, plugin).map(|(found, index)| &found.actions[index].settings);
            if schema.is_none_or(|schema| !own.check(&pointer, schema).is_empty()) {
                secrets.unknown.push(format!("{pointer}/"));
            }
        }
        secrets
    }

    fn has(&self, pointer: &str) -> bool {
        let plugin =
            pointer.starts_with("/actions/") && pointer.ends_with("/plugin") && pointer.matches('/').count() == 3;
        self.places.contains(pointer)
            || !plugin
                && !OPEN.contains(&pointer)
                && self.unknown.iter().any(|start| pointer.starts_with(start.as_str()))
    }
}

/// A tenant's file with its secrets masked. Where a secret is (`env:…`, `file:…`) is none.
pub fn redact(doc: &Document, library: &PluginRegistry, comments: Comments) -> String {
    let secrets = Secrets::of(doc, library);
    mask(doc, comments, |pointer, value| {
        // An address may hold a password.
        let address = value.contains("://") && value.contains('@');
        address || secrets.has(pointer) && !matches!(SecretRef::parse(value), Ok(reference) if reference.is_elsewhere())
    })
}

/// Where plugins have the gateway connect to: what their schemas mark as an address, and whatever else in their settings
/// is written like one, for not every plugin marks its own.
struct Addresses(BTreeSet<String>);

/// An address as a file has it: the action, its plugin, the address.
type Addressed<'a> = (&'a str, Option<&'a str>, &'a str);

impl Addresses {
    fn of(doc: &Document, library: &PluginRegistry) -> Self {
        Self(view::address_pointers(doc, library))
    }

    fn has(&self, pointer: &str, value: &str) -> bool {
        let written = || {
            pointer.starts_with("/actions/")
                && Url::parse(value).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        self.0.contains(pointer) || written()
    }

    fn all<'a>(&self, doc: &'a Document) -> BTreeSet<Addressed<'a>> {
        let strings = doc.strings().into_iter();
        strings
            .filter(|(at, value, _)| self.has(at, value))
            .filter_map(|(at, value, _)| addressed(doc, &at, value))
            .collect()
    }
}

/// Whether an address leads to one of these hosts, as far as it is written.
fn leads_to(value: &str, hosts: &[HostPattern]) -> bool {
    Url::parse(value).is_ok_and(|url| url.host_str().is_some_and(|host| hosts.iter().any(|of| of.matches(host))))
}

/// Which of an action's settings an address is in does not matter: one of several may be moved or taken away.
fn addressed<'a>(doc: &'a Document, pointer: &str, value: &'a str) -> Option<Addressed<'a>> {
    let named = pointer.split('/').nth(2)?;
    build::tables(doc).find(|(action, _)| *action == named).map(|(action, plugin)| (action.as_str(), plugin, value))
}

/// What in a new file a tenant's own admin may not set. A reference is read with the gateway's eyes, and what it gives is
/// sent where the file says: who could name any variable or file would have everybody's secrets. An address is one that the
/// gateway can reach, and its caller perhaps not: its own admin port, a store, a cloud's metadata. Which these are can't be
/// told by looking at a name, whose owner may have it lead anywhere at any time.
/// `reach` are the hosts that operators leave to such admins.
pub fn tenant_admin_violations(
    doc: &Document,
    before: Option<&Document>,
    library: &PluginRegistry,
    reach: &[HostPattern],
) -> Vec<ConfigError> {
    let secrets = Secrets::of(doc, library);
    let as_before = |pointer: &str, value: &str| {
        let stood =
            |at: &str| before.and_then(|before| before.value(at)).is_some_and(|had| had.as_str() == Some(value));
        // While the AppSecret is being changed, the one before it stands beside it.
        stood(pointer) || pointer == "/wechat/previous_secret" && stood("/wechat/secret")
    };
    let mut faults = Vec::new();
    for (pointer, value, _) in doc.strings() {
        let reference =
            secrets.has(&pointer) && SecretRef::parse(value).is_ok_and(|reference| reference.is_elsewhere());
        if reference && !as_before(&pointer, value) {
            let text = Text::fixed(
                "引用（env:、file:）只能由运维设置；请直接填写密钥",
                "a reference (env:, file:) is for an operator to set; write the secret itself",
            );
            faults.push(doc.fault_at(&pointer, text));
        }
    }
    let known = before.map(|before| Addresses::of(before, library).all(before)).unwrap_or_default();
    let addresses = Addresses::of(doc, library);
    for (pointer, value, _) in doc.strings() {
        if addresses.has(&pointer, value)
            && !leads_to(value, reach)
            && !addressed(doc, &pointer, value).is_some_and(|one| known.contains(&one))
        {
            let text = Text::fixed(
                "网关要连接的地址只能由运维设置",
                "an address that the gateway connects to is for an operator to set",
            );
            faults.push(doc.fault_at(&pointer, text));
        }
    }
    let address = "/wechat/base_url";
    if doc.value(address) != before.and_then(|before| before.value(address)) {
        let text = Text::fixed("`base_url` 只能由运维修改", "`base_url` is for an operator to change");
        faults.push(doc.fault_showing(address, text));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "name = \"Acme\"\n[wechat]\nappid = \"wx4f4bc4dec97d474b\"\nsecret = \"hunter2\" # x\n[actions.pay]\nplugin = \"none\"\nkey = \"k1\"\n";

    fn doc(text: &str) -> Document {
        Document::parse("x.toml", text.as_bytes()).unwrap()
    }

    fn shown(text: &str) -> String {
        redact(&doc(text), &PluginRegistry::default(), Comments::All)
    }

    #[test]
    fn a_literal_is_masked_and_a_reference_is_shown() {
        assert!(shown(FILE).contains("secret = \"masked:\" # x\n"));
        for reference in ["env:S", "file:$CREDENTIALS_DIRECTORY/s"] {
            assert!(shown(&FILE.replace("hunter2", reference)).contains(reference), "{reference}");
        }
        assert!(shown(&FILE.replace("hunter2", "sealed:abc")).contains("secret = \"masked:\" # x\n"));
    }

    #[test]
    fn where_secrets_can_not_be_told_every_string_is_masked() {
        assert!(shown(FILE).ends_with("plugin = \"none\"\nkey = \"masked:\"\n"), "{}", shown(FILE));
        let slip = shown(&FILE.replace("secret", "secrte"));
        assert!(slip.contains("secrte = \"masked:\"") && slip.contains("appid = \"masked:\""), "{slip}");
        let address = shown(&FILE.replace("secret =", "base_url = \"http://u:p@h\"\nsecret ="));
        assert!(address.contains("base_url = \"masked:\""), "{address}");
    }

    #[test]
    fn a_tenant_s_own_admin_names_no_address() {
        let file = |settings: &str| FILE.replace("key = \"k1\"", settings);
        let told = |after: &str, before: &str| {
            tenant_admin_violations(&doc(&file(after)), Some(&doc(&file(before))), &PluginRegistry::default(), &[])
                .len()
        };
        let two = "to = [\"http://10.0.0.5/\", \"http://10.0.0.6/\"]";
        for inner in
            ["http://10.0.0.5/", "HTTP:10.0.0.5", " http://127.0.0.1:8081", "https:/\\\\db", "http://a.example"]
        {
            assert_eq!(told(&format!("to = \"{inner}\""), "to = \"x\""), 1, "{inner}");
            assert_eq!(told(&format!("to = [\"{inner}\"]"), two), usize::from(inner != "http://10.0.0.5/"));
        }
        assert_eq!(told("to = \"see http://10.0.0.5/\"", ""), 0);
        let reach = ["*.example".parse().unwrap(), "10.0.0.0/24".parse().unwrap()];
        for (to, refused) in
            [("https://a.example/x", 0), ("http://10.0.0.9", 0), ("http://10.0.1.9", 1), ("http://a.net", 1)]
        {
            let text = file(&format!("to = \"{to}\""));
            assert_eq!(
                tenant_admin_violations(&doc(&text), None, &PluginRegistry::default(), &reach).len(),
                refused,
                "{to}"
            );
        }
        // What an operator has set may stay, be moved, be taken away; not be given to another plugin or action.
        for kept in [two, "a = \"http://10.0.0.6/\"", "to = \"http://10.0.0.5/\"\nmore = 1", ""] {
            assert_eq!(told(kept, two), 0, "{kept}");
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
    fn a_tenant_s_own_admin_adds_no_reference_and_leaves_the_address() {
        let told = |after: &str, before: &str| {
            let faults = tenant_admin_violations(&doc(after), Some(&doc(before)), &PluginRegistry::default(), &[]);
            faults.iter().filter_map(ConfigError::position).map(|(line, _)| line).collect::<Vec<_>>()
        };
        let reference = FILE.replace("hunter2", "env:S");
        let unknown = FILE.replace("k1", "file:/etc/shadow");
        assert!(told(FILE, FILE).is_empty());
        assert!(told(&reference, &reference).is_empty());
        assert!(told(FILE, &reference).is_empty());
        assert_eq!(told(&reference, FILE), [4]);
        assert_eq!(told(&reference.replace("env:S", "env:T"), &reference), [4]);
        assert_eq!(told(&unknown, FILE), [7]);
        let credential = FILE.replace("hunter2", "file:$CREDENTIALS_DIRECTORY/other");
        assert_eq!(told(&credential, FILE), [4]);
        let elsewhere = FILE.replace("secret =", "base_url = \"http://x\"\nsecret =");
        assert_eq!((told(&elsewhere, FILE), told(FILE, &elsewhere).len()), (vec![4], 1));
    }
}
