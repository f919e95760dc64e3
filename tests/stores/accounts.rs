//! The contract of account stores.

use crate::test_stores::TestStores;
use menlou_store::{AccountSelector, Identity, Profile, ProfileQuery, UpdateOutcome};
use secrecy::SecretString;

const LIMIT: u32 = 100;

fn identity(openid: &str) -> Identity {
    Identity { platform: "wechat".into(), openid: openid.into(), unionid: Some(format!("unionid of {openid}")) }
}

async fn bound(stores: &TestStores, tenant: &str, openid: &str, account: AccountSelector<'_>) -> i64 {
    stores.users.bind(tenant, &identity(openid), account).await.unwrap().unwrap().id
}

async fn found(stores: &TestStores, tenant: &str, query: ProfileQuery<'_>) -> Vec<Profile> {
    stores.accounts.profiles(tenant, query, LIMIT).await.unwrap()
}

pub async fn account_is_found_by_each_of_its_identifiers(stores: &TestStores) {
    let phone = bound(stores, "a", "of-phone", AccountSelector::Phone("+8613800138000")).await;
    let external = AccountSelector::External { id: "x-1", name: "Eve", avatar_url: "https://x/e.png" };
    let external = bound(stores, "a", "of-external", external).await;
    let hash = SecretString::from("$argon2id$");
    let named = stores.users.add("a", "ann", &hash, "Ann", "").await.unwrap().unwrap().id;
    bound(stores, "a", "of-ann", AccountSelector::Existing(named)).await;
    bound(stores, "a", "of-ann-too", AccountSelector::Existing(named)).await;
    let openid = |openid| ProfileQuery::Openid { platform: "wechat", openid };
    for (query, id) in [
        (ProfileQuery::Id(phone), phone),
        (ProfileQuery::Phone("+8613800138000"), phone),
        (openid("of-phone"), phone),
        (ProfileQuery::External("x-1"), external),
        (ProfileQuery::Account("ann"), named),
        (openid("of-ann-too"), named),
    ] {
        let profiles = found(stores, "a", query).await;
        assert_eq!(profiles.iter().map(|p| p.id).collect::<Vec<_>>(), [id], "{query:?}");
        assert!(found(stores, "b", query).await.is_empty(), "{query:?} in another tenant");
    }
    let ann = found(stores, "a", ProfileQuery::Id(named)).await.remove(0);
    assert_eq!((ann.name.as_str(), ann.account.as_deref()), ("Ann", Some("ann")));
    assert!(ann.phone.is_none() && ann.external_id.is_none());
    let mut openids: Vec<_> = ann.bindings.iter().map(|b| (b.openid.as_str(), b.unionid.as_deref().unwrap())).collect();
    openids.sort_unstable();
    assert_eq!(openids, [("of-ann", "unionid of of-ann"), ("of-ann-too", "unionid of of-ann-too")]);
    assert!(ann.created_at > 1_600_000_000_000 && ann.updated_at >= ann.created_at, "milliseconds: {ann:?}");
    for query in [
        ProfileQuery::Id(9999),
        ProfileQuery::Phone("+1"),
        ProfileQuery::Account("nobody"),
        ProfileQuery::External("none"),
        openid("o\0"),
    ] {
        assert!(found(stores, "a", query).await.is_empty(), "{query:?}");
    }
}

pub async fn accounts_are_listed_page_by_page(stores: &TestStores) {
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(bound(stores, "a", &format!("p{n}"), AccountSelector::New { name: "P", avatar_url: "" }).await);
        bound(stores, "b", &format!("p{n}"), AccountSelector::New { name: "Q", avatar_url: "" }).await;
    }
    let (mut listed, mut after) = (Vec::new(), 0);
    loop {
        let page = stores.accounts.profiles("a", ProfileQuery::After(after), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.id;
        assert!(page.iter().all(|p| p.name == "P" && p.bindings.len() == 1), "each account has its own binding");
        listed.extend(page.iter().map(|p| p.id));
    }
    assert_eq!(listed, ids);
}

pub async fn change_of_another_version_is_refused(stores: &TestStores) {
    let id = bound(stores, "a", "p", AccountSelector::New { name: "One", avatar_url: "pic" }).await;
    let seen = found(stores, "a", ProfileQuery::Id(id)).await.remove(0).version;
    let amend = async |version, name| stores.accounts.update_profile("a", id, version, Some(name), None).await.unwrap();
    assert_eq!(amend(Some(seen), "Two").await, UpdateOutcome::Done);
    assert_eq!(amend(Some(seen), "Three").await, UpdateOutcome::VersionMismatch);
    let now = found(stores, "a", ProfileQuery::Id(id)).await.remove(0);
    assert_eq!((now.name.as_str(), now.avatar_url.as_str()), ("Two", "pic"));
    // A change by the user increments the version too.
    stores.users.update("a", id, Some("Own"), None).await.unwrap().unwrap();
    assert_eq!(amend(Some(now.version), "Four").await, UpdateOutcome::VersionMismatch);
    assert_eq!(amend(None, "Five").await, UpdateOutcome::Done);
    assert_eq!(stores.users.find("a", "wechat", "p").await.unwrap().unwrap().name, "Five", "the cache is not stale");
    assert_eq!(stores.accounts.update_profile("b", id, None, Some("x"), None).await.unwrap(), UpdateOutcome::NotFound);
    assert_eq!(stores.accounts.delete_account("a", id, Some(seen)).await.unwrap(), UpdateOutcome::VersionMismatch);
}

pub async fn deleted_account_is_gone_with_its_bindings(stores: &TestStores) {
    let id = bound(stores, "a", "one", AccountSelector::Phone("+8613800138000")).await;
    bound(stores, "a", "two", AccountSelector::Existing(id)).await;
    let other = bound(stores, "a", "other", AccountSelector::New { name: "Other", avatar_url: "" }).await;
    for openid in ["one", "two"] {
        assert!(stores.users.find("a", "wechat", openid).await.unwrap().is_some(), "cached");
    }
    assert_eq!(stores.accounts.delete_account("b", id, None).await.unwrap(), UpdateOutcome::NotFound);
    assert_eq!(stores.accounts.delete_account("a", id, None).await.unwrap(), UpdateOutcome::Done);
    assert_eq!(stores.accounts.delete_account("a", id, None).await.unwrap(), UpdateOutcome::NotFound);
    for openid in ["one", "two"] {
        assert!(stores.users.find("a", "wechat", openid).await.unwrap().is_none());
    }
    assert!(found(stores, "a", ProfileQuery::Id(id)).await.is_empty());
    assert_eq!(found(stores, "a", ProfileQuery::After(0)).await.iter().map(|p| p.id).collect::<Vec<_>>(), [other]);
    let next = bound(stores, "a", "one", AccountSelector::Phone("+8613800138000")).await;
    assert!(next != id, "ids are not reused");
}
