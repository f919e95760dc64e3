//! What every store promises of accounts to those who look after them.

use crate::home::Home;
use menlou_store::{Account, Amended, Identity, Profile, Seek};
use secrecy::SecretString;

const MOST: u32 = 100;

fn person(openid: &str) -> Identity {
    Identity { platform: "wechat".into(), openid: openid.into(), unionid: Some(format!("union of {openid}")) }
}

async fn bound(home: &Home, tenant: &str, openid: &str, account: Account<'_>) -> i64 {
    home.users.bind(tenant, &person(openid), account).await.unwrap().unwrap().id
}

async fn found(home: &Home, tenant: &str, seek: Seek<'_>) -> Vec<Profile> {
    home.accounts.profiles(tenant, seek, MOST).await.unwrap()
}

pub async fn an_account_is_found_by_whatever_is_known_of_it(home: &Home) {
    let phone = bound(home, "a", "of-phone", Account::Phone("+8613800138000")).await;
    let external = Account::External { id: "x-1", name: "Eve", avatar_url: "https://x/e.png" };
    let external = bound(home, "a", "of-external", external).await;
    let hash = SecretString::from("$argon2id$");
    let named = home.users.add("a", "ann", &hash, "Ann", "").await.unwrap().unwrap().id;
    bound(home, "a", "of-ann", Account::Existing(named)).await;
    bound(home, "a", "of-ann-too", Account::Existing(named)).await;
    let openid = |openid| Seek::Openid { platform: "wechat", openid };
    for (seek, id) in [
        (Seek::Id(phone), phone),
        (Seek::Phone("+8613800138000"), phone),
        (openid("of-phone"), phone),
        (Seek::External("x-1"), external),
        (Seek::Account("ann"), named),
        (openid("of-ann-too"), named),
    ] {
        let profiles = found(home, "a", seek).await;
        assert_eq!(profiles.iter().map(|p| p.id).collect::<Vec<_>>(), [id], "{seek:?}");
        assert!(found(home, "b", seek).await.is_empty(), "{seek:?} in another tenant");
    }
    let ann = found(home, "a", Seek::Id(named)).await.remove(0);
    assert_eq!((ann.name.as_str(), ann.account.as_deref()), ("Ann", Some("ann")));
    assert!(ann.phone.is_none() && ann.external_id.is_none());
    let mut openids: Vec<_> = ann.bindings.iter().map(|b| (b.openid.as_str(), b.unionid.as_deref().unwrap())).collect();
    openids.sort_unstable();
    assert_eq!(openids, [("of-ann", "union of of-ann"), ("of-ann-too", "union of of-ann-too")]);
    assert!(ann.created_at > 1_600_000_000_000 && ann.updated_at >= ann.created_at, "milliseconds: {ann:?}");
    for seek in [Seek::Id(9999), Seek::Phone("+1"), Seek::Account("nobody"), Seek::External("none"), openid("o\0")] {
        assert!(found(home, "a", seek).await.is_empty(), "{seek:?}");
    }
}

pub async fn accounts_are_listed_page_by_page(home: &Home) {
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(bound(home, "a", &format!("p{n}"), Account::New { name: "P", avatar_url: "" }).await);
        bound(home, "b", &format!("p{n}"), Account::New { name: "Q", avatar_url: "" }).await;
    }
    let (mut listed, mut after) = (Vec::new(), 0);
    loop {
        let page = home.accounts.profiles("a", Seek::After(after), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = last.id;
        assert!(page.iter().all(|p| p.name == "P" && p.bindings.len() == 1), "each with its own binding");
        listed.extend(page.iter().map(|p| p.id));
    }
    assert_eq!(listed, ids);
}

pub async fn a_change_of_what_was_not_seen_is_refused(home: &Home) {
    let id = bound(home, "a", "p", Account::New { name: "One", avatar_url: "pic" }).await;
    let seen = found(home, "a", Seek::Id(id)).await.remove(0).version;
    let amend = async |version, name| home.accounts.amend("a", id, version, Some(name), None).await.unwrap();
    assert_eq!(amend(Some(seen), "Two").await, Amended::Done);
    assert_eq!(amend(Some(seen), "Three").await, Amended::Stale);
    let now = found(home, "a", Seek::Id(id)).await.remove(0);
    assert_eq!((now.name.as_str(), now.avatar_url.as_str()), ("Two", "pic"));
    // A change that the person makes counts too.
    home.users.update("a", id, Some("Own"), None).await.unwrap().unwrap();
    assert_eq!(amend(Some(now.version), "Four").await, Amended::Stale);
    assert_eq!(amend(None, "Five").await, Amended::Done);
    assert_eq!(home.users.find("a", "wechat", "p").await.unwrap().unwrap().name, "Five", "past no stale cache");
    assert_eq!(home.accounts.amend("b", id, None, Some("x"), None).await.unwrap(), Amended::Missing);
    assert_eq!(home.accounts.erase("a", id, Some(seen)).await.unwrap(), Amended::Stale);
}

pub async fn an_erased_account_is_gone_with_its_bindings(home: &Home) {
    let id = bound(home, "a", "one", Account::Phone("+8613800138000")).await;
    bound(home, "a", "two", Account::Existing(id)).await;
    let other = bound(home, "a", "other", Account::New { name: "Other", avatar_url: "" }).await;
    for openid in ["one", "two"] {
        assert!(home.users.find("a", "wechat", openid).await.unwrap().is_some(), "in the cache");
    }
    assert_eq!(home.accounts.erase("b", id, None).await.unwrap(), Amended::Missing);
    assert_eq!(home.accounts.erase("a", id, None).await.unwrap(), Amended::Done);
    assert_eq!(home.accounts.erase("a", id, None).await.unwrap(), Amended::Missing);
    for openid in ["one", "two"] {
        assert!(home.users.find("a", "wechat", openid).await.unwrap().is_none());
    }
    assert!(found(home, "a", Seek::Id(id)).await.is_empty());
    assert_eq!(found(home, "a", Seek::After(0)).await.iter().map(|p| p.id).collect::<Vec<_>>(), [other]);
    let anew = bound(home, "a", "one", Account::Phone("+8613800138000")).await;
    assert!(anew != id, "an id is never given to another person");
}
