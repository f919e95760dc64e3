//! The contract of user stores.

use crate::test_stores::TestStores;
use menlou_store::{AccountSelector, Identity, User};
use secrecy::{ExposeSecret, SecretString};
use std::{collections::HashSet, sync::Arc};
use tokio::task::JoinSet;

pub fn identity(openid: &str) -> Identity {
    Identity { platform: "wechat".into(), openid: openid.into(), unionid: Some("union".into()) }
}

pub async fn found(stores: &TestStores, tenant: &str, openid: &str) -> Option<User> {
    stores.users.find(tenant, "wechat", openid).await.unwrap().map(|user| (*user).clone())
}

pub async fn bound(stores: &TestStores, tenant: &str, openid: &str, account: AccountSelector<'_>) -> User {
    (*stores.users.bind(tenant, &identity(openid), account).await.unwrap().unwrap()).clone()
}

pub fn new(name: &str) -> AccountSelector<'_> {
    AccountSelector::New { name, avatar_url: "https://example.com/a.png" }
}

fn external<'a>(id: &'a str, name: &'a str) -> AccountSelector<'a> {
    AccountSelector::External { id, name, avatar_url: "" }
}

/// Makes many bindings concurrently, and returns the ids of their accounts.
async fn bind_concurrently(
    stores: &TestStores,
    account: fn(usize) -> (String, AccountSelector<'static>),
) -> HashSet<i64> {
    let mut tasks = JoinSet::new();
    for n in 0..24 {
        let users = Arc::clone(&stores.users);
        tasks.spawn(async move {
            let (openid, account) = account(n);
            users.bind("a", &identity(&openid), account).await.unwrap().unwrap().id
        });
    }
    tasks.join_all().await.into_iter().collect()
}

pub async fn empty_store_has_no_binding(stores: &TestStores) {
    assert_eq!(found(stores, "a", "o1").await, None);
    assert!(!stores.users.unbind("a", "wechat", "o1").await.unwrap());
}

pub async fn new_account_is_bound_and_found(stores: &TestStores) {
    let user = bound(stores, "a", "o1", new("门卫")).await;
    assert_eq!((&*user.name, &*user.avatar_url), ("门卫", "https://example.com/a.png"));
    for _ in 0..2 {
        assert_eq!(found(stores, "a", "o1").await.as_ref(), Some(&user));
    }
    assert_eq!(stores.users.find("a", "alipay", "o1").await.unwrap(), None);
    assert_eq!(found(stores, "b", "o1").await, None);
}

pub async fn ids_are_unique_across_tenants_and_start_at_one(stores: &TestStores) {
    let ids = [
        bound(stores, "a", "o1", new("1")).await.id,
        bound(stores, "b", "o1", new("2")).await.id,
        bound(stores, "b", "o2", AccountSelector::Phone("+8613800138000")).await.id,
        bound(stores, "b", "o3", external("x", "")).await.id,
    ];
    assert_eq!(ids[0], 1);
    assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
}

pub async fn new_account_for_a_bound_openid_returns_the_existing_one(stores: &TestStores) {
    let first = bound(stores, "a", "o1", new("first")).await;
    assert_eq!(bound(stores, "a", "o1", new("second")).await, first);
    assert_eq!(found(stores, "a", "o1").await, Some(first));
}

pub async fn concurrent_new_accounts_for_one_openid_create_one(stores: &TestStores) {
    let ids = bind_concurrently(stores, |_| ("o1".into(), new("one"))).await;
    assert_eq!(ids.len(), 1);
    assert_eq!(found(stores, "a", "o1").await.map(|user| user.id), ids.into_iter().next());
}

pub async fn phone_number_has_one_account_per_tenant(stores: &TestStores) {
    let first = bound(stores, "a", "o1", AccountSelector::Phone("+8613800138000")).await;
    assert_eq!((&*first.name, &*first.avatar_url), ("", ""));
    assert_eq!(bound(stores, "a", "o2", AccountSelector::Phone("+8613800138000")).await, first);
    assert_ne!(bound(stores, "a", "o3", AccountSelector::Phone("+8613800138001")).await.id, first.id);
    assert_ne!(bound(stores, "b", "o1", AccountSelector::Phone("+8613800138000")).await.id, first.id);
    assert_eq!(found(stores, "a", "o1").await, Some(first));
}

pub async fn concurrent_bindings_of_one_phone_number_create_one_account(stores: &TestStores) {
    assert_eq!(
        bind_concurrently(stores, |n| (format!("o{}", n / 2), AccountSelector::Phone("+8613800138000"))).await.len(),
        1
    );
}

pub async fn external_id_has_one_account_and_updates_it(stores: &TestStores) {
    let first = bound(stores, "a", "o1", external("7", "old")).await;
    assert_eq!(found(stores, "a", "o1").await.unwrap().name, "old");
    let second = bound(stores, "a", "o2", external("7", "new")).await;
    assert_eq!((second.id, &*second.name), (first.id, "new"));
    assert_eq!(found(stores, "a", "o1").await.unwrap().name, "new");
    assert_ne!(bound(stores, "b", "o1", external("7", "")).await.id, first.id);
}

pub async fn concurrent_bindings_of_one_external_id_create_one_account(stores: &TestStores) {
    assert_eq!(bind_concurrently(stores, |n| (format!("o{}", n / 2), external("7", "x"))).await.len(), 1);
}

pub async fn existing_account_can_have_several_openids(stores: &TestStores) {
    let hash = SecretString::from("$argon2id$x");
    let user = stores.users.add("a", "alice", &hash, "Alice", "").await.unwrap().unwrap();
    for openid in ["o1", "o2"] {
        assert_eq!(bound(stores, "a", openid, AccountSelector::Existing(user.id)).await, *user);
        assert_eq!(found(stores, "a", openid).await.as_ref(), Some(&*user));
    }
}

pub async fn account_of_another_tenant_is_not_bound(stores: &TestStores) {
    let user = bound(stores, "a", "o1", new("one")).await;
    let other = stores.users.bind("b", &identity("o1"), AccountSelector::Existing(user.id)).await.unwrap();
    assert_eq!(other, None);
    assert_eq!(stores.users.bind("a", &identity("o2"), AccountSelector::Existing(i64::MAX)).await.unwrap(), None);
    assert_eq!(found(stores, "b", "o1").await, None);
    assert_eq!(found(stores, "a", "o2").await, None);
}

pub async fn binding_is_replaced_by_another_account(stores: &TestStores) {
    let first = bound(stores, "a", "o1", new("one")).await;
    assert_eq!(found(stores, "a", "o1").await.as_ref(), Some(&first));
    let second = bound(stores, "a", "o1", AccountSelector::Phone("+8613800138000")).await;
    assert_ne!(second.id, first.id);
    assert_eq!(found(stores, "a", "o1").await, Some(second));
    assert_eq!(bound(stores, "a", "o1", AccountSelector::Existing(first.id)).await, first);
    assert_eq!(found(stores, "a", "o1").await, Some(first));
}

pub async fn concurrent_bindings_of_one_openid_end_with_one(stores: &TestStores) {
    let ids = bind_concurrently(stores, |n| {
        (
            "o1".into(),
            [new("n"), AccountSelector::Phone("+8613800138000"), external("7", "x"), external("8", "y")][n % 4],
        )
    });
    let ids = ids.await;
    assert!(ids.contains(&found(stores, "a", "o1").await.unwrap().id));
}

pub async fn unbound_openid_is_gone_immediately_and_its_account_stays(stores: &TestStores) {
    let user = bound(stores, "a", "o1", new("one")).await;
    assert!(found(stores, "a", "o1").await.is_some());
    assert!(!stores.users.unbind("b", "wechat", "o1").await.unwrap());
    assert!(stores.users.unbind("a", "wechat", "o1").await.unwrap());
    assert_eq!(found(stores, "a", "o1").await, None);
    assert!(!stores.users.unbind("a", "wechat", "o1").await.unwrap());
    assert_eq!(bound(stores, "a", "o1", AccountSelector::Existing(user.id)).await, user);
}

pub async fn update_changes_the_given_fields_for_all_openids(stores: &TestStores) {
    let user = bound(stores, "a", "o1", new("one")).await;
    bound(stores, "a", "o2", AccountSelector::Existing(user.id)).await;
    assert!(found(stores, "a", "o1").await == found(stores, "a", "o2").await);
    let named = stores.users.update("a", user.id, Some("two"), None).await.unwrap().unwrap();
    assert_eq!((&*named.name, &named.avatar_url), ("two", &user.avatar_url));
    assert_eq!(found(stores, "a", "o1").await.as_ref(), Some(&*named));
    assert_eq!(found(stores, "a", "o2").await.as_ref(), Some(&*named));
    let pictured = stores.users.update("a", user.id, None, Some("")).await.unwrap().unwrap();
    assert_eq!((&*pictured.name, &*pictured.avatar_url), ("two", ""));
    assert_eq!(stores.users.update("a", user.id, None, None).await.unwrap().unwrap(), pictured);
    assert_eq!(found(stores, "a", "o2").await.as_ref(), Some(&*pictured));
}

pub async fn user_of_another_tenant_is_not_updated(stores: &TestStores) {
    let user = bound(stores, "a", "o1", new("one")).await;
    assert_eq!(stores.users.update("b", user.id, Some("x"), None).await.unwrap(), None);
    assert_eq!(stores.users.update("a", 4711, Some("x"), None).await.unwrap(), None);
    assert_eq!(found(stores, "a", "o1").await, Some(user));
}

pub async fn account_name_is_unique_per_tenant(stores: &TestStores) {
    let hash = SecretString::from("$argon2id$x");
    let first = stores.users.add("a", "alice", &hash, "Alice", "pic").await.unwrap().unwrap();
    assert_eq!((&*first.name, &*first.avatar_url), ("Alice", "pic"));
    assert_eq!(stores.users.add("a", "alice", &SecretString::from("other"), "", "").await.unwrap(), None);
    let other = stores.users.add("b", "alice", &hash, "", "").await.unwrap().unwrap();
    assert_ne!(other.id, first.id);
}

pub async fn account_name_is_unique_under_concurrent_calls(stores: &TestStores) {
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let users = Arc::clone(&stores.users);
        tasks.spawn(async move { users.add("a", "alice", &SecretString::from("x"), "", "").await.unwrap() });
    }
    assert_eq!(tasks.join_all().await.into_iter().flatten().count(), 1);
}

pub async fn credentials_are_those_of_the_account(stores: &TestStores) {
    let user = stores.users.add("a", "alice", &SecretString::from("$argon2id$secret"), "", "").await.unwrap().unwrap();
    let credentials = stores.users.credentials("a", "alice").await.unwrap().unwrap();
    assert_eq!(credentials.user, user.id);
    assert_eq!(credentials.password_hash.expose_secret(), "$argon2id$secret");
    assert!(!format!("{credentials:?}").contains("secret\""));
    assert!(!format!("{credentials:?}").contains("argon2id"));
    assert!(stores.users.credentials("b", "alice").await.unwrap().is_none());
    assert!(stores.users.credentials("a", "bob").await.unwrap().is_none());
}

pub async fn accounts_without_password_have_no_credentials(stores: &TestStores) {
    bound(stores, "a", "o1", AccountSelector::Phone("+8613800138000")).await;
    bound(stores, "a", "o2", external("alice", "")).await;
    for account in ["", "alice", "+8613800138000"] {
        assert!(stores.users.credentials("a", account).await.unwrap().is_none());
    }
}

pub async fn names_of_any_language_and_length_are_stored(stores: &TestStores) {
    let long = "名".repeat(4096);
    for (openid, name) in [("o1", "'; DROP TABLE users; --"), ("o2", "👩‍👩‍👧 \" \\ \n"), ("o3", &long), ("o4", "")]
    {
        assert_eq!(bound(stores, "a", openid, new(name)).await.name, name);
        assert_eq!(found(stores, "a", openid).await.unwrap().name, name);
    }
}

pub async fn read_concurrent_with_an_update_caches_nothing_stale(stores: &TestStores) {
    let user = bound(stores, "a", "o1", new("0")).await;
    for n in 1..50 {
        let mut readers = JoinSet::new();
        for _ in 0..4 {
            let users = Arc::clone(&stores.users);
            readers.spawn(async move { users.find("a", "wechat", "o1").await.unwrap().unwrap().id });
        }
        stores.users.update("a", user.id, Some(&n.to_string()), None).await.unwrap();
        readers.join_all().await;
        assert_eq!(found(stores, "a", "o1").await.unwrap().name, n.to_string());
    }
}

pub async fn ping_succeeds(stores: &TestStores) {
    stores.users.ping().await.unwrap();
}
