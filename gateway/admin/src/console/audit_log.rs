//! The pages of the audit log: of one tenant, and of the gateway.

use super::{console_request::ConsoleRequest, layout::Layout, response::ConsoleResponse};
use crate::audit::{self, AuditEntry};
use askama::Template;
use menlou_error::Result;

/// Number of entries on a page.
const PAGE_SIZE: u32 = 50;

#[derive(Template)]
#[template(path = "audit_log.html")]
struct AuditLogPage {
    layout: Layout,
    entries: Vec<AuditEntry>,
    /// The next page shows the entries before this id.
    next_before: Option<i64>,
}

/// A line of a diff.
struct DiffLine<'a> {
    /// The CSS class: `removed`, `added` or `unchanged`.
    class: &'static str,
    sign: &'static str,
    text: &'a str,
}

/// `GET /console/audit`
pub async fn show_all(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let entries = audit::list_all(request.state(), request.caller()?, before(&request), PAGE_SIZE).await?;
    page(request.layout, entries)
}

/// `GET /console/tenants/{tenant}/history`
pub async fn show_tenant(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("history")?;
    let before = before(&request);
    let entries = audit::list_for_tenant(request.state(), request.caller()?, &name, before, PAGE_SIZE).await?;
    page(request.layout, entries)
}

fn before(request: &ConsoleRequest) -> Option<i64> {
    request.query.get("before").parse().ok()
}

fn page(layout: Layout, entries: Vec<AuditEntry>) -> Result<ConsoleResponse> {
    let is_full = entries.len() as u32 >= PAGE_SIZE;
    let next_before = entries.last().filter(|last| is_full && last.id > 1).map(|last| last.id);
    ConsoleResponse::page(&AuditLogPage { layout, entries, next_before })
}

impl AuditLogPage {
    /// The operation in words.
    fn operation<'a>(&self, what: &'a str) -> &'a str {
        let (zh, en) = match what {
            "tenant.create" => ("创建租户", "created the tenant"),
            "tenant.replace" => ("修改设置", "changed the settings"),
            "tenant.remove" => ("删除租户", "removed the tenant"),
            "session.end" => ("结束一个会话", "ended a session"),
            "session.end_of" => ("结束某用户的会话", "ended the sessions of a user"),
            "session.end_all" => ("结束全部会话", "ended all sessions"),
            "user.update" => ("修改用户", "changed a user"),
            "user.unbind" => ("解除绑定", "unbound an openid"),
            "user.forget" => ("删除用户数据", "deleted a user's data"),
            "token.new" => ("创建令牌", "created a token"),
            "token.revoke" => ("吊销令牌", "revoked a token"),
            other => (other, other),
        };
        self.layout.t(zh, en)
    }
}

/// The lines of an entry's change: its diff, or the complete text that was created or removed.
fn lines(entry: &AuditEntry) -> Vec<DiffLine<'_>> {
    let line = |class, sign| move |text| DiffLine { class, sign, text };
    let removed = entry.before.iter().flat_map(|text| text.lines()).map(line("removed", "-"));
    let added = entry.after.iter().flat_map(|text| text.lines()).map(line("added", "+"));
    let changed = entry.diff.iter().flat_map(|text| text.lines()).map(|text| match text.split_at_checked(1) {
        Some(("-", text)) => DiffLine { class: "removed", sign: "-", text },
        Some(("+", text)) => DiffLine { class: "added", sign: "+", text },
        Some((" ", text)) => DiffLine { class: "unchanged", sign: " ", text },
        _ => DiffLine { class: "unchanged", sign: " ", text },
    });
    removed.chain(added).chain(changed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timestamp::Timestamp;

    fn shown(before: Option<&str>, after: Option<&str>, diff: Option<&str>) -> Vec<String> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let entry = AuditEntry {
            id: 1,
            at: Timestamp(0),
            who: String::new(),
            role: String::new(),
            what: String::new(),
            tenant: None,
            target: None,
            before: text(before),
            after: text(after),
            diff: text(diff),
            failed: None,
        };
        lines(&entry).iter().map(|line| format!("{}{}", line.sign, line.text)).collect()
    }

    #[test]
    fn changed_created_and_removed_texts_are_shown_as_a_diff() {
        let diff = "@@ -1,2 +1,2 @@\n a\n-b\n+c\n";
        assert_eq!(shown(None, None, Some(diff)), [" @@ -1,2 +1,2 @@", " a", "-b", "+c"]);
        assert_eq!(shown(None, Some("a\nb"), None), ["+a", "+b"]);
        assert_eq!(shown(Some("a"), None, None), ["-a"]);
        assert!(shown(None, None, None).is_empty());
    }
}
