//! The tables of renamed config keys and values: an old name is an error that names the new one.

/// Old and new key. A row applies wherever the old key is unknown and the new one is known, in files and in environment
/// variables, of the gateway, of tenants and of plugins' settings alike.
const RENAMED: &[(&str, &str)] = &[
    ("answer_idle_timeout", "response_write_timeout"),
    ("ca", "ca_file"),
    ("concurrent", "max_concurrent"),
    ("keys", "keys_file"),
    ("login", "auth"),
    ("max_calls", "max_concurrent_requests"),
    ("max_calls_per_tenant", "max_concurrent_requests_per_tenant"),
    ("max_pings", "max_control_frames_per_minute"),
    ("max_resets", "max_pending_resets"),
    ("max_target", "max_uri_length"),
    ("min_rate", "min_transfer_rate"),
    ("protocol", "proxy_protocol"),
    ("tenant_hosts", "allowed_upstream_hosts"),
];

/// Values that were renamed together with their key: old key, old value, new value.
const RENAMED_VALUES: &[(&str, &str, &str)] = &[("login", "none", "optional")];

/// The new name of the key `old`, if `is_known` accepts it here.
pub fn new_name(old: &str, is_known: impl Fn(&str) -> bool) -> Option<&'static str> {
    RENAMED.iter().find(|(from, to)| *from == old && is_known(to)).map(|(_, to)| *to)
}

/// The old and the new name of a value that was renamed together with the key `old_key`.
pub fn new_value(old_key: &str, value: &str) -> Option<(&'static str, &'static str)> {
    let row = RENAMED_VALUES.iter().find(|(key, from, _)| *key == old_key && *from == value);
    row.map(|(_, from, to)| (*from, *to))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{check::violations, load::Document, schema::Schema, server::Config, tenant::TenantFile};
    use serde_json::{Value, json};

    /// Where each row applies: a table of the gateway's config, or of a tenant's file.
    const TABLES: &[(&str, &str)] = &[
        ("answer_idle_timeout", "clients"),
        ("ca", "store"),
        ("keys", "secrets"),
        ("max_calls", "server"),
        ("max_calls_per_tenant", "server"),
        ("max_pings", "http2"),
        ("max_resets", "http2"),
        ("max_target", "clients"),
        ("min_rate", "clients"),
        ("protocol", "proxies"),
        ("tenant_hosts", "admin"),
    ];

    #[test]
    fn an_old_key_of_the_gateway_is_an_error_that_names_the_new_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("menlou.toml");
        for (old, table) in TABLES {
            let new = new_name(old, |_| true).unwrap();
            std::fs::write(&path, format!("[{table}]\n{old} = 1\n")).unwrap();
            let errors = Config::load(Some(&path), std::iter::empty()).unwrap_err();
            let expected = format!("menlou.toml:2:1: the key `{old}` is called `{new}` now");
            assert!(errors.iter().any(|e| e.to_string().contains(&expected)), "{errors:?}");

            let variable = format!("MENLOU_{}__{}", table.to_uppercase(), old.to_uppercase());
            let errors = Config::load(None, [(variable.clone(), "1".to_owned())].into_iter()).unwrap_err();
            let expected = format!("MENLOU_{}__{}", table.to_uppercase(), new.to_uppercase());
            let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
            assert!(texts[0].contains(&variable) && texts[0].contains(&expected), "{texts:?}");
        }
    }

    #[test]
    fn an_old_key_of_a_tenant_is_an_error_that_names_the_new_one() {
        for table in ["limits", "actions.login.limits"] {
            let text = format!(
                "name = 'A'\n[wechat]\nappid = 'wx0123456789abcdef'\nsecret = 'env:S'\n[{table}]\nconcurrent = 2"
            );
            let doc = Document::parse("a.toml", text.as_bytes()).unwrap();
            let errors = TenantFile::read(&doc).unwrap_err();
            assert_eq!(errors[0].to_string(), "a.toml:6:1: the key `concurrent` is called `max_concurrent` now");
        }
    }

    #[test]
    fn an_old_value_of_a_renamed_key_is_an_error_that_names_the_new_value() {
        let schema = Schema::compile(&json!({
            "properties": { "auth": { "enum": ["optional", "session", "required"] } },
            "additionalProperties": false,
        }))
        .unwrap();
        let error = |value: Value| violations(&json!({ "login": value }), &schema)[0].text.clone();
        let renamed = error(json!("none"));
        assert_eq!(renamed.en, "the key `login` is called `auth` now, and its value `none` is called `optional`");
        assert_eq!(renamed.zh, "键 `login` 已改名为 `auth`，其值 `none` 已改名为 `optional`");
        for unchanged in [json!("session"), json!("required"), json!("hunter2"), json!(["none"])] {
            assert_eq!(error(unchanged).en, "the key `login` is called `auth` now");
        }
    }

    #[test]
    fn every_row_is_tested_and_applies_only_where_the_new_key_is_known() {
        let tried = TABLES.iter().map(|(old, _)| *old).chain(["concurrent", "login"]);
        let mut tried: Vec<&str> = tried.collect();
        tried.sort_unstable();
        assert_eq!(tried, RENAMED.iter().map(|(old, _)| *old).collect::<Vec<_>>());
        assert_eq!(new_name("login", |key| key == "methods"), None);
    }
}
