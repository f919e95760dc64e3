//! What the PostgreSQL store guarantees beyond the contract.

use crate::{
    test_stores::open_postgres,
    users::{identity, new},
    waiting::within,
};
use menlou_harness as harness;
use menlou_store::{AccountSelector, AccountStore, AdminStore, Error, Postgres, UpdateOutcome, UserStore};
use secrecy::SecretString;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};
use std::{future::Future, str::FromStr, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::Instant};

const SECOND: Duration = Duration::from_secs(1);

/// Asserts that all operations fail as unavailable, each within a second.
async fn assert_all_unavailable(store: &Postgres) {
    async fn refused<T: std::fmt::Debug>(what: &str, operation: impl Future<Output = Result<T, Error>>) {
        let start = Instant::now();
        let outcome = operation.await;
        assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{what}: {outcome:?}");
        assert!(start.elapsed() < SECOND, "{what} took {:?}", start.elapsed());
    }
    refused("find", store.find("a", "wechat", "nobody")).await;
    refused("bind", store.bind("a", &identity("o9"), new("x"))).await;
    refused("unbind", store.unbind("a", "wechat", "o9")).await;
    refused("update", store.update("a", 1, Some("x"), None)).await;
    refused("credentials", store.credentials("a", "alice")).await;
    refused("add", store.add("a", "alice", &SecretString::from("x"), "", "")).await;
    refused("ping", store.ping()).await;
}

async fn name(store: &Postgres, openid: &str) -> Option<String> {
    store.find("a", "wechat", openid).await.unwrap().map(|user| user.name.clone())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_postgres_is_unavailable_within_a_second_and_works_after_its_restart() {
    let mut server = harness::Postgres::start();
    let store = open_postgres(&server.url()).await;
    store.bind("a", &identity("o1"), new("one")).await.unwrap();
    assert_eq!(name(&store, "o1").await.as_deref(), Some("one"));
    server.kill();
    assert_all_unavailable(&store).await;
    server.restart();
    within(SECOND, "the store works", || async { store.ping().await.is_ok() }).await;
    assert_eq!(name(&store, "o1").await.as_deref(), Some("one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frozen_postgres_is_unavailable_within_a_second_and_works_when_it_resumes() {
    let server = harness::Postgres::start();
    let store = open_postgres(&server.url()).await;
    store.bind("a", &identity("o1"), new("one")).await.unwrap();
    server.freeze();
    assert_all_unavailable(&store).await;
    server.thaw();
    within(Duration::from_secs(2), "the store works", || async { store.ping().await.is_ok() }).await;
    assert_eq!(name(&store, "o1").await.as_deref(), Some("one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_opened_before_its_postgres_creates_its_tables_when_postgres_starts() {
    let mut server = harness::Postgres::start();
    server.kill();
    let store = open_postgres(&server.url()).await;
    assert_all_unavailable(&store).await;
    server.restart();
    within(SECOND, "the store works", || async { store.ping().await.is_ok() }).await;
    store.bind("a", &identity("o1"), new("one")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_opened_on_a_frozen_postgres_works_when_postgres_resumes() {
    let server = harness::Postgres::start();
    server.freeze();
    let start = Instant::now();
    let store = open_postgres(&server.url()).await;
    assert!(start.elapsed() < Duration::from_secs(3));
    assert_all_unavailable(&store).await;
    server.thaw();
    within(Duration::from_secs(2), "the store works", || async { store.ping().await.is_ok() }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocked_statement_fails_within_a_second_and_other_statements_work() {
    let server = harness::Postgres::start();
    let store = open_postgres(&server.url()).await;
    store.bind("a", &identity("o1"), new("one")).await.unwrap();
    let other = open_postgres(&server.url()).await;
    let user = other.find("a", "wechat", "o1").await.unwrap().unwrap();
    let mut lock = PgConnectOptions::from_str(&server.url()).unwrap().connect().await.unwrap();
    sqlx::raw_sql("BEGIN; UPDATE users SET name = 'locked'").execute(&mut lock).await.unwrap();
    for _ in 0..3 {
        let start = Instant::now();
        let outcome = store.update("a", user.id, Some("two"), None).await;
        assert!(matches!(outcome, Err(Error::Unavailable { .. })), "{outcome:?}");
        assert!(start.elapsed() < SECOND, "{:?}", start.elapsed());
        assert!(store.find("a", "wechat", "o1").await.unwrap().is_some());
    }
    sqlx::raw_sql("ROLLBACK").execute(&mut lock).await.unwrap();
    assert_eq!(store.update("a", user.id, Some("two"), None).await.unwrap().unwrap().name, "two");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_replicas_may_start_concurrently_on_an_empty_database() {
    let server = harness::Postgres::start();
    let url = Arc::new(server.url());
    let mut starts = JoinSet::new();
    for n in 0..6 {
        let url = Arc::clone(&url);
        starts.spawn(async move {
            let store = open_postgres(&url).await;
            store.bind("a", &identity(&format!("o{n}")), new("one")).await.unwrap();
            store
        });
    }
    let stores = starts.join_all().await;
    for store in &stores {
        for n in 0..6 {
            assert!(name(store, &format!("o{n}")).await.is_some());
        }
    }
    assert_eq!(server.query("SELECT count(*), max(version) FROM menlou_schema"), "1|3");
    assert_eq!(server.query("SELECT count(*) FROM users"), "6");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_by_one_replica_soon_leaves_the_cache_of_the_other() {
    let server = harness::Postgres::start();
    let (one, two) = (open_postgres(&server.url()).await, open_postgres(&server.url()).await);
    let user = one.bind("a", &identity("o1"), new("old")).await.unwrap().unwrap();
    one.bind("a", &identity("o2"), AccountSelector::Existing(user.id)).await.unwrap();
    for openid in ["o1", "o2"] {
        assert_eq!(name(&two, openid).await.as_deref(), Some("old"));
    }
    // Far sooner than an entry would expire.
    one.update("a", user.id, Some("new"), None).await.unwrap();
    for openid in ["o1", "o2"] {
        assert_eq!(name(&one, openid).await.as_deref(), Some("new"));
        within(SECOND, "update", || async { name(&two, openid).await.as_deref() == Some("new") }).await;
    }
    let phone = one.bind("a", &identity("o1"), AccountSelector::Phone("+8613800138000")).await.unwrap().unwrap();
    within(SECOND, "rebinding", || async { name(&two, "o1").await.as_deref() == Some(&phone.name) }).await;
    assert!(one.unbind("a", "wechat", "o2").await.unwrap());
    within(SECOND, "unbinding", || async { name(&two, "o2").await.is_none() }).await;
    let external = |name| AccountSelector::External { id: "7", name, avatar_url: "" };
    one.bind("a", &identity("o3"), external("old")).await.unwrap();
    assert_eq!(name(&two, "o3").await.as_deref(), Some("old"));
    one.bind("a", &identity("o4"), external("new")).await.unwrap();
    within(SECOND, "external", || async { name(&two, "o3").await.as_deref() == Some("new") }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn change_during_a_lost_notification_connection_is_not_hidden_by_the_cache() {
    let server = harness::Postgres::start();
    let store = open_postgres(&server.url()).await;
    store.bind("a", &identity("o1"), new("old")).await.unwrap();
    assert_eq!(name(&store, "o1").await.as_deref(), Some("old"));
    server.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE query LIKE 'LISTEN%' OR query = 'SELECT 1'; UPDATE users SET name = 'new'",
    );
    within(SECOND, "the new name", || async {
        store.find("a", "wechat", "o1").await.is_ok_and(|user| user.unwrap().name == "new")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cached_user_is_found_without_postgres() {
    let server = harness::Postgres::start();
    let store = open_postgres(&server.url()).await;
    store.bind("a", &identity("o1"), new("one")).await.unwrap();
    let first = store.find("a", "wechat", "o1").await.unwrap().unwrap();
    let second = store.find("a", "wechat", "o1").await.unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &second));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_bindings_on_two_replicas_create_one_account() {
    let server = harness::Postgres::start();
    let stores = [Arc::new(open_postgres(&server.url()).await), Arc::new(open_postgres(&server.url()).await)];
    for (round, account) in [
        new("one"),
        AccountSelector::Phone("+8613800138000"),
        AccountSelector::External { id: "7", name: "x", avatar_url: "" },
    ]
    .into_iter()
    .enumerate()
    {
        let mut tasks = JoinSet::new();
        for n in 0..12 {
            let store = Arc::clone(&stores[n % 2]);
            let openid = format!("o{round}");
            tasks.spawn(async move { store.bind("a", &identity(&openid), account).await.unwrap().unwrap() });
        }
        let users = tasks.join_all().await;
        assert!(users.iter().all(|user| user == &users[0]));
        assert_eq!(server.query("SELECT count(*) FROM users"), (round + 1).to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nul_in_text_is_replaced() {
    let server = harness::Postgres::start();
    let store = open_postgres(&server.url()).await;
    assert!(store.find("a", "wechat", "a\0b").await.unwrap().is_none());
    let user = store.bind("a", &identity("a\0b"), new("x\0y")).await.unwrap().unwrap();
    assert_eq!(user.name, "x\u{fffd}y");
    assert_eq!(store.find("a", "wechat", "a\0b").await.unwrap(), Some(user));
    assert!(store.unbind("a", "wechat", "a\0b").await.unwrap());
    assert!(store.find("a", "wechat", "a\0b").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn errors_hold_no_password_and_a_newer_schema_is_refused() {
    let server = harness::Postgres::start();
    for url in ["hunter2", "http://u:hunter2@127.0.0.1", "postgres://u:hunter2@127.0.0.1:notaport/x"] {
        let error = Postgres::open(&SecretString::from(url), None, None).await.err().unwrap().to_string();
        assert!(!error.contains("hunter2") && error.contains("user store"), "{error}");
    }
    let url = server.url().replace("menlou@", "nobody:hunter2@");
    let error = open_postgres(&url).await.ping().await.unwrap_err().to_string();
    assert!(!error.contains("hunter2") && error.contains("refused the credentials"), "{error}");

    drop(open_postgres(&server.url()).await);
    server.query("UPDATE menlou_schema SET version = 99");
    let error = open_postgres(&server.url()).await.ping().await.unwrap_err().to_string();
    assert!(error.contains("version 99"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn database_refuses_to_change_the_audit_log() {
    let server = harness::Postgres::start();
    let store = open_postgres(&server.url()).await;
    store.append_audit_entry(&crate::admins::entry("tenant.remove", Some("acme"))).await.unwrap();
    let mut other = PgConnectOptions::from_str(&server.url()).unwrap().connect().await.unwrap();
    for sql in ["DELETE FROM audit", "UPDATE audit SET who = 'nobody'", "TRUNCATE audit"] {
        let refused = sqlx::query(sql).execute(&mut other).await.unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
    assert_eq!(store.audit_entries(None, None, 10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn account_deleted_by_one_replica_is_gone_in_the_others() {
    let server = harness::Postgres::start();
    let (one, two) = (open_postgres(&server.url()).await, open_postgres(&server.url()).await);
    let user = one.bind("a", &identity("o1"), new("one")).await.unwrap().unwrap();
    assert_eq!(name(&two, "o1").await.as_deref(), Some("one"));
    one.update_profile("a", user.id, None, Some("renamed"), None).await.unwrap();
    within(SECOND, "the new name", || async { name(&two, "o1").await.as_deref() == Some("renamed") }).await;
    assert_eq!(one.delete_account("a", user.id, None).await.unwrap(), UpdateOutcome::Done);
    within(SECOND, "the account is gone", || async { name(&two, "o1").await.is_none() }).await;
}
