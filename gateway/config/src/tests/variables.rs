//! The gateway's config with environment variables.

use super::*;
use crate::server::{Config, LogFormat};
use secrecy::ExposeSecret;
use std::path::Path;

fn load(file: Option<&str>, env: &[(&str, &str)]) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
    }
    let env = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    Config::load(file.map(|_| path.as_path()), env)
        .map_err(|errors| render(&errors, Language::En).replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn variables_override_the_file_and_their_paths_start_from_the_working_directory() {
    let config = load(
        Some("[server]\nlisten = '127.0.0.1:1'\n[tenants]\ndir = 'here'\n"),
        &[
            ("MENLOU_SERVER__LISTEN", "[::1]:2"),
            ("MENLOU_SERVER__MAX_CONCURRENT_REQUESTS", "7"),
            ("MENLOU_TESTING__ALLOW_TEST_OPENIDS", "true"),
            ("MENLOU_LOG__FORMAT", "json"),
            ("MENLOU_STORE__SESSIONS", "env:REDIS"),
            ("MENLOU_TENANTS__DIR", "there"),
            ("REDIS", "redis://:hunter2@127.0.0.1/0"),
            ("MENLOU_LANG", "zh"),
            ("OTHER__THING", "x"),
        ],
    )
    .unwrap();
    assert_eq!(config.server.listen.to_string(), "[::1]:2");
    assert_eq!((config.server.max_concurrent_requests, config.log.format), (7, LogFormat::Json));
    assert!(config.testing.allow_test_openids);
    assert_eq!(config.tenants.dir, Path::new("there"));
    let sessions = config.store.sessions.clone().unwrap().literal().cloned().unwrap();
    assert_eq!(sessions.expose_secret(), "redis://:hunter2@127.0.0.1/0");
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn the_defaults_apply_without_a_file() {
    let config = load(None, &[]).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.store.path, Path::new("menlou.db"));
    assert!(config.plugins.dir.is_none() && config.store.sessions.is_none());
}

#[test]
fn errors_of_file_and_variables_are_reported_together() {
    let found = load(
        Some("[server]\nlisten = 'localhost:8080'\nmax_header_bytes = '1KiB'\nmax_concurrent_requests = 0\n[admin]\nport = 1\n[store]\nsessions = 'hunter2'\n[log]\nlevel = 'wran'\n"),
        &[
            ("MENLOU_SERVER__LISTN", "x"),
            ("MENLOU_NONSENSE__X", "x"),
            ("MENLOU_SERVER__MAX_CONNECTIONS", "many"),
            ("MENLOU_SERVER__MAX_BODY", "1GiB"),
            ("MENLOU_STORE__USERS", "env:NONE"),
            ("MENLOU_TESTING__ALLOW_TEST_OPENIDS", "yes"),
            ("MENLOU_STORE__PATH", ""),
        ],
    )
    .unwrap_err();
    let expected = r#"
error: `listen` must be an IP address and a port, such as "127.0.0.1:8080" or "[::]:8080"
 --> menlou.toml:2:10
  |
2 | listen = 'localhost:8080'
  |          ^^^^^^^^^^^^^^^^

error: `max_header_bytes` must be from 8KiB to 1MiB
 --> menlou.toml:3:20
  |
3 | max_header_bytes = '1KiB'
  |                    ^^^^^^

error: `max_concurrent_requests` must be at least 1
 --> menlou.toml:4:27
  |
4 | max_concurrent_requests = 0
  |                           ^

error: unknown key `port`; known keys: `allow_plain_http`, `allowed_hosts`, `allowed_upstream_hosts`, `audit_export_dir`, `audit_retention_months`, `listen`, `tls_cert`, `tls_key`, `writes_per_minute`
 --> menlou.toml:6:1
  |
6 | port = *
  | ^^^^

error: `sessions`: the address must start with redis://, rediss://, redis+sentinel://, rediss+sentinel://, redis+cluster:// or rediss+cluster://
 --> menlou.toml:8:12
  |
8 | sessions = '*******'
  |            ^^^^^^^^^

error: `level` must be one of `error`, `warn`, `info`, `debug`, `trace`; did you mean `warn`?
  --> menlou.toml:10:9
   |
10 | level = 'wran'
   |         ^^^^^^

error: `max_body` must be from 1KiB to 64MiB
--> MENLOU_SERVER__MAX_BODY

error: the environment variable NONE is not set
--> MENLOU_STORE__USERS

error: there is no such setting; names look like MENLOU_SERVER__LISTEN, and menlou.toml lists the settings
--> MENLOU_NONSENSE__X

error: there is no such setting; did you mean `MENLOU_SERVER__LISTEN`?
--> MENLOU_SERVER__LISTN

error: must be an integer
--> MENLOU_SERVER__MAX_CONNECTIONS

error: `path` must be a string that is not empty
--> MENLOU_STORE__PATH

error: must be true or false
--> MENLOU_TESTING__ALLOW_TEST_OPENIDS
"#;
    assert!(found == expected.trim_matches('\n'), "{found}");
}

#[test]
fn two_listeners_on_one_address_are_an_error_of_the_explicit_setting() {
    let found = load(None, &[("MENLOU_SERVER__LISTEN", "127.0.0.1:8081")]).unwrap_err();
    assert!(found.ends_with("--> MENLOU_SERVER__LISTEN"), "{found}");
    let found = load(Some("[server]\nlisten = '0.0.0.0:1'\n[admin]\nlisten = '0.0.0.0:1'\n"), &[]).unwrap_err();
    assert!(found.contains("menlou.toml:4:10"), "{found}");
    assert!(load(None, &[("MENLOU_SERVER__LISTEN", "127.0.0.1:0"), ("MENLOU_ADMIN__LISTEN", "127.0.0.1:0")]).is_ok());
}

#[test]
fn an_unreadable_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path(), &folder.path().join("none.toml")] {
        let errors = Config::load(Some(path), std::iter::empty()).unwrap_err();
        assert_eq!((errors.len(), errors[0].file()), (1, Some(path)));
    }
}

#[test]
fn errors_found_by_deserialisation_have_a_position() {
    let found = load(Some("[server]\nmax_concurrent_requests = 7.0\n"), &[]).unwrap_err();
    assert!(found.contains("menlou.toml:2:27") && found.contains("wrong type"), "{found}");
}

#[test]
fn seal_keys_come_from_a_file_or_variable_and_never_from_the_config() {
    let key = crate::seal::Keys::generate().unwrap();
    let key = key.expose_secret();
    let ids = |config: &Config| config.keyring.keys().map(|keys| keys.ids().map(str::to_owned).collect::<Vec<_>>());
    assert!(ids(&load(None, &[]).unwrap()).unwrap_err().en.contains("no keys for sealed secrets are configured"));
    let config = load(Some("[secrets]\nkeys_file = 'env:SEAL'\n"), &[("SEAL", key)]).unwrap();
    let other = load(None, &[("MENLOU_SECRETS__KEYS_FILE", key)]).unwrap();
    assert_eq!(ids(&config).unwrap(), ids(&other).unwrap());
    assert!(!format!("{config:?}").contains(&key[14..]));
    let lazy = load(Some("[secrets]\nkeys_file = 'file:made-later'\n"), &[]).unwrap();
    assert!(ids(&lazy).unwrap_err().en.contains("made-later can't be read"));
    for (file, env, says) in [
        (format!("[secrets]\nkeys_file = '{key}'\n"), ("X", "x"), "menlou.toml:2:13"),
        (format!("[secrets]\nkeys_file = '{key}'\n"), ("X", "x"), "must not be in the config"),
        ("[secrets]\nkeys_file = 'env:NONE'\n".into(), ("X", "x"), "NONE is not set"),
        ("[secrets]\nkeys_file = 'env:X'\n".into(), ("X", "hunter2"), "line 1 is not a key"),
        (
            "[secrets]\nkeys_file = 'file:$CREDENTIALS_DIRECTORY/x'\n".into(),
            ("X", "x"),
            "CREDENTIALS_DIRECTORY is not set",
        ),
        (
            "[secrets]\nkeys_file = 'sealed:v1:00112233:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'\n".into(),
            ("X", "x"),
            "sealed themselves",
        ),
    ] {
        let message = load(Some(&file), &[env]).unwrap_err();
        assert!(message.contains(says) && !message.contains(&key[14..]) && !message.contains("hunter2"), "{message}");
    }
}

#[test]
fn addresses_with_several_hosts_are_accepted_and_a_replica_needs_its_primary() {
    let file = |sessions: &str| format!("[store]\nsessions = '{sessions}'\n");
    for (address, warnings) in [
        ("redis+sentinel://a:26379,b:26379/mymaster/0", 0),
        ("rediss+sentinel://a,b/mymaster?sentinel_user=x&sentinel_password=hunter2", 1),
        ("redis+cluster://u:hunter2@a:6379,b:6379", 1),
        ("rediss+cluster://a", 0),
    ] {
        let config = load(Some(&file(address)), &[]).unwrap();
        assert_eq!(config.warnings.len(), warnings, "{address}");
    }
    let message = load(Some("[store]\nusers_replica = 'postgres://h/d'\n"), &[]).unwrap_err();
    assert!(message.contains("`users_replica` needs `users`") && message.contains("menlou.toml:2:17"), "{message}");
}

#[test]
fn a_store_address_may_be_sealed_and_a_plain_password_causes_a_warning() {
    use crate::seal::{Field, Keys};
    let key = Keys::generate().unwrap();
    let sealed = |pointer| {
        let field = Field { tenant: None, pointer };
        Keys::parse(&key).unwrap().seal(&"redis://:hunter2@127.0.0.1/0".into(), field).unwrap().to_string()
    };
    let file = |sessions: &str| format!("[store]\nsessions = '{sessions}'\n[secrets]\nkeys_file = 'env:SEAL'\n");
    let env = [("SEAL", key.expose_secret())];
    let config = load(Some(&file(&sealed("/store/sessions"))), &env).unwrap();
    assert_eq!(config.store.sessions.unwrap().literal().unwrap().expose_secret(), "redis://:hunter2@127.0.0.1/0");
    assert_eq!(config.warnings, []);
    let message = load(Some(&file(&sealed("/store/users"))), &env).unwrap_err();
    assert!(message.contains("menlou.toml:2:12") && message.contains("not sealed for store.sessions"), "{message}");

    let warned = |sessions: &str| load(Some(&file(sessions)), &env).unwrap().warnings;
    assert_eq!(warned("redis://127.0.0.1/0"), []);
    let warnings = warned("redis://:hunter2@127.0.0.1/0");
    assert_eq!((warnings.len(), warnings[0].position()), (1, Some((2, 12))));
    assert!(!format!("{warnings:?}").contains("hunter2"));
}
