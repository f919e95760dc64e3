//! The contract of session stores.

use crate::test_stores::TestStores;
use menlou_store::{Session, TokenHash};
use secrecy::{ExposeSecret, SecretString};
use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub fn token(n: u8) -> TokenHash {
    TokenHash([n; 32])
}

/// A session with all fields, which expires in this many seconds.
pub fn session(openid: &str, seconds: u64) -> Session {
    Session {
        platform: "wechat".into(),
        openid: openid.into(),
        unionid: Some("union \"quoted\" \\ 门楼".into()),
        session_key: Some(SecretString::from("tiihtNczf5v6AKRyjwEUhQ==")),
        test: true,
        created_at: now(),
        expires_at: now() + seconds,
    }
}

async fn openid_of(stores: &TestStores, tenant: &str, token: &TokenHash) -> Option<String> {
    stores.sessions.find(tenant, token).await.unwrap().map(|session| session.openid.clone())
}

pub async fn session_is_found_as_it_was_opened(stores: &TestStores) {
    let opened = session("person", 60);
    stores.sessions.open("a", &token(1), session("person", 60)).await.unwrap();
    // The first read goes to the store, the second may be served from a cache.
    for _ in 0..2 {
        let found = stores.sessions.find("a", &token(1)).await.unwrap().unwrap();
        assert_eq!((&*found.platform, &*found.openid, found.test), ("wechat", "person", true));
        assert_eq!(found.unionid, opened.unionid);
        assert_eq!(found.session_key.as_ref().unwrap().expose_secret(), "tiihtNczf5v6AKRyjwEUhQ==");
        assert!(found.created_at >= opened.created_at && found.created_at <= opened.created_at + 2);
        assert!(found.expires_at >= opened.expires_at && found.expires_at <= opened.expires_at + 2);
    }
}

pub async fn session_without_optional_fields_is_found_as_it_was_opened(stores: &TestStores) {
    let plain = Session { unionid: None, session_key: None, test: false, ..session("person", 60) };
    stores.sessions.open("a", &token(1), plain).await.unwrap();
    let found = stores.sessions.find("a", &token(1)).await.unwrap().unwrap();
    assert!(found.unionid.is_none() && found.session_key.is_none() && !found.test);
}

pub async fn only_an_existing_session_is_replaced(stores: &TestStores) {
    let renewed = || Session { session_key: Some(SecretString::from("renewed")), ..session("person", 60) };
    assert!(!stores.sessions.replace("a", &token(1), renewed()).await.unwrap());
    assert_eq!(openid_of(stores, "a", &token(1)).await, None);

    stores.sessions.open("a", &token(1), session("person", 60)).await.unwrap();
    assert_eq!(openid_of(stores, "a", &token(1)).await.as_deref(), Some("person"));
    assert!(stores.sessions.replace("a", &token(1), renewed()).await.unwrap());
    let found = stores.sessions.find("a", &token(1)).await.unwrap().unwrap();
    assert_eq!(found.session_key.as_ref().unwrap().expose_secret(), "renewed");

    assert!(!stores.sessions.replace("b", &token(1), renewed()).await.unwrap(), "a session of another tenant");
    stores.sessions.end("a", &token(1)).await.unwrap();
    assert!(!stores.sessions.replace("a", &token(1), renewed()).await.unwrap());
    assert_eq!(openid_of(stores, "a", &token(1)).await, None, "an ended session stays ended");
}

pub async fn unknown_token_finds_nothing(stores: &TestStores) {
    assert!(stores.sessions.find("a", &token(1)).await.unwrap().is_none());
    assert!(!stores.sessions.end("a", &token(1)).await.unwrap());
}

pub async fn expired_session_is_not_found(stores: &TestStores) {
    let brief = session("person", 2);
    let end = Duration::from_secs(brief.expires_at);
    stores.sessions.open("a", &token(1), brief).await.unwrap();
    let found = openid_of(stores, "a", &token(1)).await;
    assert!(found.as_deref() == Some("person") || now() >= end.as_secs());
    // The time to live has to pass.
    sleep(end.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).unwrap()) + Duration::from_millis(5)).await;
    assert_eq!(openid_of(stores, "a", &token(1)).await, None);
}

pub async fn session_opened_already_expired_is_never_found(stores: &TestStores) {
    stores.sessions.open("a", &token(1), session("first", 60)).await.unwrap();
    stores.sessions.open("a", &token(1), Session { expires_at: now() - 1, ..session("person", 0) }).await.unwrap();
    assert_eq!(openid_of(stores, "a", &token(1)).await, None);
}

pub async fn ended_session_is_gone_immediately_and_ends_only_once(stores: &TestStores) {
    stores.sessions.open("a", &token(1), session("person", 60)).await.unwrap();
    assert!(stores.sessions.find("a", &token(1)).await.unwrap().is_some());
    assert!(stores.sessions.end("a", &token(1)).await.unwrap());
    assert_eq!(openid_of(stores, "a", &token(1)).await, None);
    assert!(!stores.sessions.end("a", &token(1)).await.unwrap());
}

pub async fn ending_an_expired_session_returns_false(stores: &TestStores) {
    stores.sessions.open("a", &token(1), Session { expires_at: now(), ..session("person", 0) }).await.unwrap();
    assert!(!stores.sessions.end("a", &token(1)).await.unwrap());
}

pub async fn token_is_unknown_in_another_tenant(stores: &TestStores) {
    stores.sessions.open("a", &token(1), session("of a", 60)).await.unwrap();
    assert_eq!(openid_of(stores, "a", &token(1)).await.as_deref(), Some("of a"));
    assert_eq!(openid_of(stores, "b", &token(1)).await, None);
    assert!(!stores.sessions.end("b", &token(1)).await.unwrap());
    stores.sessions.open("b", &token(1), session("of b", 60)).await.unwrap();
    for _ in 0..2 {
        assert_eq!(openid_of(stores, "a", &token(1)).await.as_deref(), Some("of a"));
        assert_eq!(openid_of(stores, "b", &token(1)).await.as_deref(), Some("of b"));
    }
    assert!(stores.sessions.end("b", &token(1)).await.unwrap());
    assert_eq!(openid_of(stores, "a", &token(1)).await.as_deref(), Some("of a"));
}

pub async fn reopening_a_token_replaces_its_session(stores: &TestStores) {
    stores.sessions.open("a", &token(1), session("first", 60)).await.unwrap();
    assert_eq!(openid_of(stores, "a", &token(1)).await.as_deref(), Some("first"));
    stores.sessions.open("a", &token(1), session("second", 60)).await.unwrap();
    assert_eq!(openid_of(stores, "a", &token(1)).await.as_deref(), Some("second"));
}

pub async fn debug_output_holds_neither_session_key_nor_token(stores: &TestStores) {
    stores.sessions.open("a", &token(0xab), session("person", 60)).await.unwrap();
    let found = stores.sessions.find("a", &token(0xab)).await.unwrap();
    let printed = format!("{found:?} {:?}", token(0xab));
    assert!(!printed.contains("tiihtNczf5v6AKRyjwEUhQ") && !printed.contains("171") && !printed.contains("abab"));
}

pub async fn sessions_opened_concurrently_are_all_found(stores: &TestStores) {
    let mut tasks = JoinSet::new();
    for n in 0..200 {
        let sessions = Arc::clone(&stores.sessions);
        tasks.spawn(async move {
            sessions.open("a", &token(n), session(&n.to_string(), 60)).await.unwrap();
            // An acknowledged session is found.
            assert_eq!(sessions.find("a", &token(n)).await.unwrap().unwrap().openid, n.to_string());
        });
    }
    while let Some(joined) = tasks.join_next().await {
        joined.unwrap();
    }
}

pub async fn read_concurrent_with_an_end_caches_nothing(stores: &TestStores) {
    for n in 0..100 {
        stores.sessions.open("a", &token(n), session("person", 60)).await.unwrap();
        let mut readers = JoinSet::new();
        for _ in 0..4 {
            let sessions = Arc::clone(&stores.sessions);
            readers.spawn(async move { sessions.find("a", &token(n)).await.unwrap().is_some() });
        }
        assert!(stores.sessions.end("a", &token(n)).await.unwrap());
        assert_eq!(openid_of(stores, "a", &token(n)).await, None);
        readers.join_all().await;
        assert_eq!(openid_of(stores, "a", &token(n)).await, None);
    }
}

pub async fn cancelled_operations_leave_the_store_usable(stores: &TestStores) {
    for n in 0..100 {
        let token = token(n);
        let opening = stores.sessions.open("a", &token, session("person", 60));
        let _ = timeout(Duration::from_micros(u64::from(n) * 20), opening).await;
        let _ = timeout(Duration::from_micros(u64::from(n) * 10), stores.sessions.find("a", &token)).await;
        let _ = timeout(Duration::from_micros(u64::from(n) * 10), stores.sessions.end("a", &token)).await;
    }
    stores.sessions.open("a", &token(200), session("person", 60)).await.unwrap();
    assert_eq!(openid_of(stores, "a", &token(200)).await.as_deref(), Some("person"));
}

fn numbered(n: u16) -> TokenHash {
    let mut token = TokenHash([9; 32]);
    token.0[..2].copy_from_slice(&n.to_be_bytes());
    token
}

pub async fn sessions_are_counted_until_they_expire(stores: &TestStores) {
    let total = async |tenant| stores.sessions.count(tenant).await.unwrap();
    assert_eq!(total("a").await, 0);
    for n in 0..3 {
        stores.sessions.open("a", &numbered(n), session("person", 60)).await.unwrap();
    }
    stores.sessions.open("a", &numbered(0), session("person", 60)).await.unwrap();
    stores.sessions.open("a", &numbered(3), session("expires soon", 5)).await.unwrap();
    stores.sessions.open("b", &numbered(0), session("person", 60)).await.unwrap();
    assert_eq!((total("a").await, total("b").await), (4, 1));
    assert!(stores.sessions.end("a", &numbered(1)).await.unwrap());
    assert_eq!(total("a").await, 3);
    // The time to live has to pass.
    sleep(Duration::from_secs(5)).await;
    assert_eq!(total("a").await, 2);
    assert!(stores.sessions.list("a", "wechat", "expires soon").await.unwrap().is_empty());
}

pub async fn sessions_of_an_identity_are_listed_newest_first(stores: &TestStores) {
    for (n, openid) in [(1, "person"), (2, "another"), (3, "person"), (4, "person")] {
        let opened = Session { created_at: now() - 100 + u64::from(n), ..session(openid, 60) };
        stores.sessions.open("a", &numbered(n), opened).await.unwrap();
    }
    let tokens = async |tenant, platform, openid| -> Vec<TokenHash> {
        let listed = stores.sessions.list(tenant, platform, openid).await.unwrap();
        assert!(listed.iter().all(|(_, session)| session.openid == openid));
        listed.into_iter().map(|(token, _)| token).collect()
    };
    assert!(tokens("a", "wechat", "person").await == [4, 3, 1].map(numbered));
    assert!(stores.sessions.end("a", &numbered(3)).await.unwrap());
    // Listed twice: the first call removes stale entries, which must not affect the second.
    for _ in 0..2 {
        assert!(tokens("a", "wechat", "person").await == [4, 1].map(numbered));
    }
    assert!(tokens("a", "wechat", "another").await == [numbered(2)]);
    for (tenant, platform, openid) in [("b", "wechat", "person"), ("a", "other", "person"), ("a", "wechat", "nobody")] {
        assert!(tokens(tenant, platform, openid).await.is_empty());
    }
}

pub async fn all_sessions_of_one_tenant_end_and_no_others(stores: &TestStores) {
    for n in 0..1100 {
        stores.sessions.open("a", &numbered(n), session("person", 60)).await.unwrap();
    }
    stores.sessions.open("b", &numbered(0), session("person", 60)).await.unwrap();
    assert!(stores.sessions.find("a", &numbered(5)).await.unwrap().is_some(), "cached");
    assert_eq!(stores.sessions.end_all("a").await.unwrap(), 1100);
    assert!(stores.sessions.find("a", &numbered(5)).await.unwrap().is_none());
    assert_eq!(stores.sessions.count("a").await.unwrap(), 0);
    assert!(stores.sessions.list("a", "wechat", "person").await.unwrap().is_empty());
    assert_eq!(stores.sessions.end_all("a").await.unwrap(), 0);
    assert!(stores.sessions.find("b", &numbered(0)).await.unwrap().is_some());
    assert_eq!(stores.sessions.count("b").await.unwrap(), 1);
}
