//! What every store promises of sessions.

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

/// A session with all its parts, which ends in so many seconds.
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

pub async fn a_session_is_found_as_it_was_opened(stores: &TestStores) {
    let opened = session("person", 60);
    stores.sessions.open("a", &token(1), session("person", 60)).await.unwrap();
    // The first reading asks the store, the second may come from a cache.
    for _ in 0..2 {
        let found = stores.sessions.find("a", &token(1)).await.unwrap().unwrap();
        assert_eq!((&*found.platform, &*found.openid, found.test), ("wechat", "person", true));
        assert_eq!(found.unionid, opened.unionid);
        assert_eq!(found.session_key.as_ref().unwrap().expose_secret(), "tiihtNczf5v6AKRyjwEUhQ==");
        assert!(found.created_at >= opened.created_at && found.created_at <= opened.created_at + 2);
        assert!(found.expires_at >= opened.expires_at && found.expires_at <= opened.expires_at + 2);
    }
}

pub async fn a_session_without_optional_parts_is_found_as_it_was_opened(stores: &TestStores) {
    let plain = Session { unionid: None, session_key: None, test: false, ..session("person", 60) };
    stores.sessions.open("a", &token(1), plain).await.unwrap();
    let found = stores.sessions.find("a", &token(1)).await.unwrap().unwrap();
    assert!(found.unionid.is_none() && found.session_key.is_none() && !found.test);
}

pub async fn a_session_is_replaced_only_while_there_is_one(stores: &TestStores) {
    let renewed = || Session { session_key: Some(SecretString::from("renewed")), ..session("person", 60) };
    assert!(!stores.sessions.replace("a", &token(1), renewed()).await.unwrap());
    assert_eq!(openid_of(stores, "a", &token(1)).await, None);

    stores.sessions.open("a", &token(1), session("person", 60)).await.unwrap();
    assert_eq!(openid_of(stores, "a", &token(1)).await.as_deref(), Some("person"));
    assert!(stores.sessions.replace("a", &token(1), renewed()).await.unwrap());
    let found = stores.sessions.find("a", &token(1)).await.unwrap().unwrap();
    assert_eq!(found.session_key.as_ref().unwrap().expose_secret(), "renewed");

    assert!(!stores.sessions.replace("b", &token(1), renewed()).await.unwrap(), "another tenant's");
    stores.sessions.end("a", &token(1)).await.unwrap();
    assert!(!stores.sessions.replace("a", &token(1), renewed()).await.unwrap());
    assert_eq!(openid_of(stores, "a", &token(1)).await, None, "who logged out stays so");
}

pub async fn an_unknown_token_finds_nothing(stores: &TestStores) {
    assert!(stores.sessions.find("a", &token(1)).await.unwrap().is_none());
    assert!(!stores.sessions.end("a", &token(1)).await.unwrap());
}

pub async fn a_session_is_not_found_past_its_end(stores: &TestStores) {
    let brief = session("person", 2);
    let end = Duration::from_secs(brief.expires_at);
    stores.sessions.open("a", &token(1), brief).await.unwrap();
    assert_eq!(openid_of(stores, "a", &token(1)).await.as_deref(), Some("person"));
    sleep(end.saturating_sub(SystemTime::now().duration_since(UNIX_EPOCH).unwrap()) + Duration::from_millis(5)).await;
    assert_eq!(openid_of(stores, "a", &token(1)).await, None);
}

pub async fn a_session_opened_in_the_past_is_never_found(stores: &TestStores) {
    stores.sessions.open("a", &token(1), session("first", 60)).await.unwrap();
    stores.sessions.open("a", &token(1), Session { expires_at: now() - 1, ..session("person", 0) }).await.unwrap();
    assert_eq!(openid_of(stores, "a", &token(1)).await, None);
}

pub async fn an_ended_session_is_gone_at_once_and_ends_only_once(stores: &TestStores) {
    stores.sessions.open("a", &token(1), session("person", 60)).await.unwrap();
    assert!(stores.sessions.find("a", &token(1)).await.unwrap().is_some());
    assert!(stores.sessions.end("a", &token(1)).await.unwrap());
    assert_eq!(openid_of(stores, "a", &token(1)).await, None);
    assert!(!stores.sessions.end("a", &token(1)).await.unwrap());
}

pub async fn an_expired_session_ends_as_if_there_were_none(stores: &TestStores) {
    stores.sessions.open("a", &token(1), Session { expires_at: now(), ..session("person", 0) }).await.unwrap();
    assert!(!stores.sessions.end("a", &token(1)).await.unwrap());
}

pub async fn a_token_is_worth_nothing_in_another_tenant(stores: &TestStores) {
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

pub async fn a_session_opened_again_under_its_token_replaces_the_first(stores: &TestStores) {
    stores.sessions.open("a", &token(1), session("first", 60)).await.unwrap();
    assert_eq!(openid_of(stores, "a", &token(1)).await.as_deref(), Some("first"));
    stores.sessions.open("a", &token(1), session("second", 60)).await.unwrap();
    assert_eq!(openid_of(stores, "a", &token(1)).await.as_deref(), Some("second"));
}

pub async fn nothing_printed_holds_the_session_key_or_the_token(stores: &TestStores) {
    stores.sessions.open("a", &token(0xab), session("person", 60)).await.unwrap();
    let found = stores.sessions.find("a", &token(0xab)).await.unwrap();
    let printed = format!("{found:?} {:?}", token(0xab));
    assert!(!printed.contains("tiihtNczf5v6AKRyjwEUhQ") && !printed.contains("171") && !printed.contains("abab"));
}

pub async fn many_sessions_opened_at_once_are_all_found(stores: &TestStores) {
    let mut tasks = JoinSet::new();
    for n in 0..200 {
        let sessions = Arc::clone(&stores.sessions);
        tasks.spawn(async move {
            sessions.open("a", &token(n), session(&n.to_string(), 60)).await.unwrap();
            // What is acknowledged is there.
            assert_eq!(sessions.find("a", &token(n)).await.unwrap().unwrap().openid, n.to_string());
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

pub async fn a_read_that_races_an_end_leaves_nothing_behind(stores: &TestStores) {
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

pub async fn a_caller_that_goes_away_harms_nobody(stores: &TestStores) {
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

pub async fn sessions_are_counted_while_they_last(stores: &TestStores) {
    let total = async |tenant| stores.sessions.count(tenant).await.unwrap();
    assert_eq!(total("a").await, 0);
    for n in 0..3 {
        stores.sessions.open("a", &numbered(n), session("person", 60)).await.unwrap();
    }
    stores.sessions.open("a", &numbered(0), session("person", 60)).await.unwrap();
    stores.sessions.open("a", &numbered(3), session("soon over", 2)).await.unwrap();
    stores.sessions.open("b", &numbered(0), session("person", 60)).await.unwrap();
    assert_eq!((total("a").await, total("b").await), (4, 1));
    assert!(stores.sessions.end("a", &numbered(1)).await.unwrap());
    assert_eq!(total("a").await, 3);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(total("a").await, 2);
    assert!(stores.sessions.list("a", "wechat", "soon over").await.unwrap().is_empty());
}

pub async fn the_sessions_of_a_person_are_listed_newest_first(stores: &TestStores) {
    for (n, openid) in [(1, "person"), (2, "another"), (3, "person"), (4, "person")] {
        let opened = Session { created_at: now() - 100 + u64::from(n), ..session(openid, 60) };
        stores.sessions.open("a", &numbered(n), opened).await.unwrap();
    }
    let of = async |tenant, platform, openid| -> Vec<TokenHash> {
        let listed = stores.sessions.list(tenant, platform, openid).await.unwrap();
        assert!(listed.iter().all(|(_, session)| session.openid == openid));
        listed.into_iter().map(|(token, _)| token).collect()
    };
    assert!(of("a", "wechat", "person").await == [4, 3, 1].map(numbered));
    assert!(stores.sessions.end("a", &numbered(3)).await.unwrap());
    // Listed twice: what was tidied up by the first must not be missed by the second.
    for _ in 0..2 {
        assert!(of("a", "wechat", "person").await == [4, 1].map(numbered));
    }
    assert!(of("a", "wechat", "another").await == [numbered(2)]);
    for (tenant, platform, openid) in [("b", "wechat", "person"), ("a", "other", "person"), ("a", "wechat", "nobody")] {
        assert!(of(tenant, platform, openid).await.is_empty());
    }
}

pub async fn a_tenant_s_sessions_end_together_however_many_and_no_other_s(stores: &TestStores) {
    for n in 0..1100 {
        stores.sessions.open("a", &numbered(n), session("person", 60)).await.unwrap();
    }
    stores.sessions.open("b", &numbered(0), session("person", 60)).await.unwrap();
    assert!(stores.sessions.find("a", &numbered(5)).await.unwrap().is_some(), "in the cache");
    assert_eq!(stores.sessions.end_all("a").await.unwrap(), 1100);
    assert!(stores.sessions.find("a", &numbered(5)).await.unwrap().is_none());
    assert_eq!(stores.sessions.count("a").await.unwrap(), 0);
    assert!(stores.sessions.list("a", "wechat", "person").await.unwrap().is_empty());
    assert_eq!(stores.sessions.end_all("a").await.unwrap(), 0);
    assert!(stores.sessions.find("b", &numbered(0)).await.unwrap().is_some());
    assert_eq!(stores.sessions.count("b").await.unwrap(), 1);
}
