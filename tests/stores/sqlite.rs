//! What the SQLite store guarantees beyond the contract.

use crate::{
    sessions::{now, session, token},
    users::{identity, new},
    waiting::within,
};
use menlou_store::{AdminStore, EphemeralKv, Error, Session, SessionStore, Sqlite, TokenHash, UserStore};
use rusqlite::Connection;
use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

fn rows(path: &Path, table: &str) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row(&format!("SELECT count(*) FROM {table}"), (), |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn file_is_readable_by_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    let store = Sqlite::open(&path).await.unwrap();
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    for file in fs::read_dir(folder.path()).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[tokio::test]
async fn error_names_the_file_and_the_cause() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing/menlou.db");
    let error = Sqlite::open(&missing).await.err().unwrap().to_string();
    assert!(error.contains("missing/menlou.db") && error.contains("No such file or directory"), "{error}");
    let foreign = folder.path().join("foreign.db");
    fs::write(&foreign, "this is no database, but long enough to be read as one".repeat(100)).unwrap();
    let error = Sqlite::open(&foreign).await.err().unwrap().to_string();
    assert!(error.contains("foreign.db") && error.contains("not a database"), "{error}");
}

#[tokio::test]
async fn stored_data_survives_a_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    let store = Sqlite::open(&path).await.unwrap();
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    store.put("a", "key", b"value", Duration::from_secs(60)).await.unwrap();
    let user = store.bind("a", &identity("person"), new("name")).await.unwrap();
    drop(store);
    let store = Sqlite::open(&path).await.unwrap();
    assert_eq!(SessionStore::find(&store, "a", &token(1)).await.unwrap().unwrap().openid, "person");
    assert_eq!(store.get("a", "key").await.unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(UserStore::find(&store, "a", "wechat", "person").await.unwrap(), user);
}

#[tokio::test]
async fn file_of_a_newer_release_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    drop(Sqlite::open(&path).await.unwrap());
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    let error = Sqlite::open(&path).await.err().unwrap().to_string();
    assert!(error.contains("version 99"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_stores_may_open_an_empty_file_concurrently() {
    for _ in 0..5 {
        let folder = tempfile::tempdir().unwrap();
        let path = Arc::new(folder.path().join("menlou.db"));
        let mut starts = JoinSet::new();
        for n in 0..6 {
            let path = Arc::clone(&path);
            starts.spawn(async move {
                let store = Sqlite::open(&path).await.unwrap();
                store.open("a", &token(n), session("person", 60)).await.unwrap();
                store
            });
        }
        let stores = starts.join_all().await;
        for store in &stores {
            for n in 0..6 {
                assert!(SessionStore::find(store, "a", &token(n)).await.unwrap().is_some());
            }
        }
    }
}

/// Not a test: the next tests run it in processes of their own. It opens the file, and prints a line with a number for each
/// session and binding that was acknowledged.
#[tokio::test]
#[ignore = "run by other tests, in a process of its own"]
async fn writing_process() {
    let (Ok(path), Ok(count)) = (std::env::var("MENLOU_TEST_FILE"), std::env::var("MENLOU_TEST_COUNT")) else { return };
    let store = Sqlite::open(Path::new(&path)).await.unwrap();
    for n in 0..count.parse::<u32>().unwrap() {
        let openid = format!("{}-{n}", std::process::id());
        store.open("a", &numbered(n), session(&openid, 600)).await.unwrap();
        store.bind("a", &identity(&openid), new("name")).await.unwrap();
        println!("stored {n}");
    }
}

fn numbered(n: u32) -> TokenHash {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&n.to_be_bytes());
    TokenHash(hash)
}

fn start_writing_process(path: &Path, count: u32) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "sqlite::writing_process", "--ignored", "--nocapture"]);
    command.env("MENLOU_TEST_FILE", path).env("MENLOU_TEST_COUNT", count.to_string());
    command.stdout(Stdio::piped()).spawn().unwrap()
}

// On several threads, since it blocks while it waits for processes: a store suspended in a transaction would lock them out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_processes_may_open_an_empty_file_concurrently() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    let processes: Vec<Child> = (0..4).map(|_| start_writing_process(&path, 3)).collect();
    let ids: Vec<u32> = processes.iter().map(Child::id).collect();
    for process in processes {
        assert!(process.wait_with_output().unwrap().status.success());
    }
    let store = Sqlite::open(&path).await.unwrap();
    for id in ids {
        assert!(UserStore::find(&store, "a", "wechat", &format!("{id}-2")).await.unwrap().is_some());
    }
}

// On several threads, since it blocks while it waits for processes: a store suspended in a transaction would lock them out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_data_survives_sigkill_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    for round in 0..5 {
        let mut process = start_writing_process(&path, u32::MAX);
        let id = process.id();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok);
        // The test runner prints lines of its own first.
        let mut stored = lines.filter_map(|line| line.rsplit_once("stored ")?.1.parse::<u32>().ok());
        let first = 3 + round * 7;
        assert!(stored.any(|n| n == first));
        process.kill().unwrap();
        process.wait().unwrap();
        let last = stored.last().unwrap_or(first);
        let store = Sqlite::open(&path).await.unwrap();
        for n in 0..=last {
            let openid = format!("{id}-{n}");
            assert_eq!(SessionStore::find(&store, "a", &numbered(n)).await.unwrap().unwrap().openid, openid);
            assert!(UserStore::find(&store, "a", "wechat", &openid).await.unwrap().is_some());
        }
    }
}

#[tokio::test]
async fn expired_rows_are_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    let store = Sqlite::open(&path).await.unwrap();
    store.open("a", &token(1), Session { expires_at: now() - 1, ..session("person", 0) }).await.unwrap();
    store.open("a", &token(2), session("person", 60)).await.unwrap();
    store.put("a", "key", b"", Duration::from_millis(1)).await.unwrap();
    drop(store);
    // The time to live has to pass; expired rows are deleted when the store is opened.
    sleep(Duration::from_millis(5)).await;
    let store = Sqlite::open(&path).await.unwrap();
    within(Duration::from_secs(10), "expired rows are deleted", async || {
        (rows(&path, "sessions"), rows(&path, "ephemeral")) == (1, 0)
    })
    .await;
    assert!(SessionStore::find(&store, "a", &token(2)).await.unwrap().is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_locked_by_another_process_is_unavailable_within_a_second_and_works_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    let store = Sqlite::open(&path).await.unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let refused = store.open("a", &token(1), session("person", 60)).await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    assert!(start.elapsed() < Duration::from_millis(1200), "{:?}", start.elapsed());
    // Reads work meanwhile.
    assert!(SessionStore::find(&store, "a", &token(1)).await.unwrap().is_none());
    other.execute_batch("ROLLBACK").unwrap();
    store.open("a", &token(2), session("person", 60)).await.unwrap();
}

#[tokio::test]
async fn unreadable_record_is_corrupt_and_not_in_the_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    let store = Sqlite::open(&path).await.unwrap();
    store.open("a", &token(1), session("person", 60)).await.unwrap();
    let other = Connection::open(&path).unwrap();
    for record in [
        &b"{\"secret\""[..],
        b"",
        b"{\"v\":99,\"platform\":\"secret\",\"openid\":\"\",\"created_at\":0,\"expires_at\":0}",
    ] {
        other.execute("UPDATE sessions SET record = ?", (record,)).unwrap();
        match SessionStore::find(&store, "a", &token(1)).await {
            Err(Error::Corrupt(text)) => assert!(!text.contains("secret"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn sessions_of_an_older_file_are_counted_and_listed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    let old = Connection::open(&path).unwrap();
    old.execute_batch(include_str!("../../gateway/store/migrations/sqlite/1.sql")).unwrap();
    let record = r#"{"v":1,"platform":"wechat","openid":"person","created_at":1,"expires_at":4000000000}"#;
    for (token, record) in [([1; 32], record.as_bytes()), ([2; 32], b"no record".as_slice())] {
        let sql = "INSERT INTO sessions VALUES ('a', ?, ?, 4000000000000)";
        old.execute(sql, (token, record)).unwrap();
    }
    old.execute_batch("PRAGMA user_version = 1").unwrap();
    drop(old);
    let store = Sqlite::open(&path).await.unwrap();
    assert_eq!(store.count("a").await.unwrap(), 2);
    let listed = store.list("a", "wechat", "person").await.unwrap();
    assert!(listed.len() == 1 && listed[0].0 == TokenHash([1; 32]));
}

#[tokio::test]
async fn database_refuses_to_change_the_audit_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("menlou.db");
    let store = Sqlite::open(&path).await.unwrap();
    store.append_audit_entry(&crate::admins::entry("tenant.remove", Some("acme"))).await.unwrap();
    let other = Connection::open(&path).unwrap();
    for sql in ["DELETE FROM audit", "UPDATE audit SET who = 'nobody'"] {
        let refused = other.execute(sql, ()).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
    assert_eq!(store.audit_entries(None, None, 10).await.unwrap().len(), 1);
}
