//! The contract of admin stores.

use crate::test_stores::TestStores;
use menlou_store::{AdminToken, NewAuditEntry};

fn token(id: &str, created_at: i64) -> AdminToken {
    AdminToken {
        id: id.into(),
        hash: [7; 32],
        role: "tenant:acme".into(),
        label: "门楼 \"quoted\"".into(),
        created_at,
        expires_at: Some(created_at + 1),
        used_at: None,
    }
}

pub fn entry(what: &str, tenant: Option<&str>) -> NewAuditEntry {
    NewAuditEntry {
        who: "abc Ann".into(),
        role: "operator".into(),
        what: what.into(),
        tenant: tenant.map(Into::into),
        target: Some("7".into()),
        before: None,
        after: Some("name = \"门楼\"\n".into()),
        diff: Some("@@ -1 +1 @@\n-a\n+b\n".into()),
        failed: None,
    }
}

pub async fn token_is_found_as_it_was_created_until_it_is_revoked(stores: &TestStores) {
    let admins = &stores.admins;
    assert!(admins.token("one").await.unwrap().is_none() && admins.tokens().await.unwrap().is_empty());
    let (one, two) = (token("one", 2), AdminToken { expires_at: None, ..token("two", 1) });
    admins.add_token(&one).await.unwrap();
    admins.add_token(&two).await.unwrap();
    assert!(admins.add_token(&one).await.is_err(), "token ids are unique");
    assert_eq!(admins.token("one").await.unwrap(), Some(one.clone()));
    admins.record_token_use("two", 77).await.unwrap();
    assert_eq!(admins.tokens().await.unwrap(), [AdminToken { used_at: Some(77), ..two }, one]);
    assert!(admins.revoke("one").await.unwrap());
    assert!(!admins.revoke("one").await.unwrap());
    assert!(admins.token("one").await.unwrap().is_none());
    assert!(!format!("{:?}", token("x", 1)).contains('7'), "the hash is not printed");
}

pub async fn old_audit_entries_are_read_and_recent_ones_cannot_be_deleted(stores: &TestStores) {
    let admins = &stores.admins;
    for n in 0..3 {
        admins.append_audit_entry(&entry(&format!("a{n}"), Some("acme"))).await.unwrap();
    }
    let end = i64::MAX;
    let all = admins.audit_entries_until(end, 0, 100).await.unwrap();
    let names = all.iter().map(|entry| entry.entry.what.as_str()).collect::<Vec<_>>();
    assert_eq!(names, ["a0", "a1", "a2"], "oldest first");
    assert_eq!(admins.audit_entries_until(end, all[0].id, 1).await.unwrap(), all[1..2]);
    assert!(admins.audit_entries_until(all[0].at, 0, 100).await.unwrap().is_empty(), "the end is exclusive");
    assert_eq!(admins.delete_audit_entries(0, i64::MAX, 100).await.unwrap(), 0);
    assert!(admins.delete_audit_entries(end, i64::MAX, 100).await.is_err(), "recent entries cannot be deleted");
    assert_eq!(admins.audit_entries(None, None, 100).await.unwrap().len(), 3);
}

pub async fn audit_entries_are_read_newest_first_page_by_page(stores: &TestStores) {
    let admins = &stores.admins;
    for n in 0..5 {
        admins.append_audit_entry(&entry(&format!("a{n}"), Some("acme"))).await.unwrap();
        admins.append_audit_entry(&entry(&format!("b{n}"), None)).await.unwrap();
    }
    let names = |entries: &[menlou_store::AuditEntry]| {
        entries.iter().map(|d| d.entry.what.clone()).collect::<Vec<_>>().join(" ")
    };
    let all = admins.audit_entries(None, None, 100).await.unwrap();
    assert_eq!(names(&all), "b4 a4 b3 a3 b2 a2 b1 a1 b0 a0");
    assert_eq!(all[1].entry, entry("a4", Some("acme")));
    assert!(all[0].at > 1_600_000_000_000);
    let first = admins.audit_entries(Some("acme"), None, 2).await.unwrap();
    let second = admins.audit_entries(Some("acme"), Some(first[1].id), 2).await.unwrap();
    assert_eq!((names(&first), names(&second)), ("a4 a3".into(), "a2 a1".into()));
    assert!(admins.audit_entries(Some("nobody"), None, 2).await.unwrap().is_empty());
}
