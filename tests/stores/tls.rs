//! TLS to Redis and PostgreSQL: the server needs a certificate of the configured CA.

use menlou_harness::{self as harness, TestCa, process::free_port};
use menlou_store::{EphemeralKv, Error, Postgres, Redis, StoreConfig, Stores, UserStore};
use secrecy::SecretString;
use std::fs;

fn pem(authority: &TestCa) -> Vec<u8> {
    fs::read(authority.ca()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_over_tls_needs_a_certificate_of_the_configured_ca() {
    let (authority, other) = (TestCa::new(), TestCa::new());
    let port = free_port().to_string();
    let [certificate, key, ca] =
        [authority.certificate(), authority.key(), authority.ca()].map(|path| path.display().to_string());
    let options = ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let _server =
        harness::Redis::with(&[&options[..], &["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"]].concat());
    let url = SecretString::from(format!("rediss://127.0.0.1:{port}/0"));
    let config = |path: std::path::PathBuf| StoreConfig {
        sessions: Some(url.clone()),
        path: path.join("menlou.db"),
        ca_file: Some(authority.ca()),
        prefix: "menlou".into(),
        ..StoreConfig::default()
    };
    let folder = tempfile::tempdir().unwrap();
    Stores::open(&config(folder.path().into())).await.unwrap().ephemeral.ping().await.unwrap();
    for ca in [None, Some(pem(&other))] {
        let store = Redis::open(&url, ca.as_deref(), "menlou").await.unwrap();
        let refused = store.ping().await.unwrap_err();
        assert!(
            matches!(&refused, Error::Unavailable { reason, is_logged: true } if reason.contains("ertificate")),
            "{refused}"
        );
    }
    let malformed = Redis::open(&url, Some(b"no certificate"), "menlou").await;
    assert!(malformed.is_err() || malformed.unwrap().ping().await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_over_tls_needs_a_certificate_of_the_configured_ca() {
    let (authority, other) = (TestCa::new(), TestCa::new());
    let server = harness::Postgres::start();
    let url = SecretString::from(server.url());
    let store = Postgres::open(&url, None, Some(pem(&authority))).await.unwrap();
    assert!(store.ping().await.is_err(), "with a CA there is no fallback to plain text");

    server.use_tls(&authority);
    let store = Postgres::open(&url, None, Some(pem(&authority))).await.unwrap();
    store.ping().await.unwrap();
    let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
        WHERE NOT ssl AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    assert_eq!(server.query(plain), "0");
    drop(store);
    let refused = Postgres::open(&url, None, Some(pem(&other))).await.unwrap().ping().await.unwrap_err();
    assert!(
        matches!(&refused, Error::Unavailable { reason, is_logged: true } if reason.contains("ertificate")),
        "{refused}"
    );
    let checked = SecretString::from(format!("{}?sslmode=verify-full", server.url()));
    assert!(
        Postgres::open(&checked, None, None).await.unwrap().ping().await.is_err(),
        "the system does not trust this CA"
    );
    let named = format!("{}?sslmode=verify-ca&sslrootcert={}", server.url(), authority.ca().display());
    Postgres::open(&SecretString::from(named), None, None).await.unwrap().ping().await.unwrap();
}
