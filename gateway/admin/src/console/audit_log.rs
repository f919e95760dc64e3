//! The pages of the audit log: of one tenant, and of the gateway.

use super::{console_request::ConsoleRequest, layout::Layout, response::ConsoleResponse};
use crate::audit::{self, AuditEntry};
use askama::Template;
use menlou_error::Result;

/// Number of entries on a page.
const PAGE_SIZE: u32 = 50;
/// Number of unchanged lines that are shown before and after a change.
const CONTEXT_LINES: usize = 2;

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

/// The difference between two texts: everything between their common start and their common end, with a few lines of
/// context.
fn diff<'a>(before: &'a Option<String>, after: &'a Option<String>) -> Vec<DiffLine<'a>> {
    let lines = |text: &'a Option<String>| text.as_deref().unwrap_or_default().lines().collect::<Vec<_>>();
    let (old, new) = (lines(before), lines(after));
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let line = |class, sign| move |text: &&'a str| DiffLine { class, sign, text };
    let mut diff: Vec<_> = old[head.saturating_sub(CONTEXT_LINES)..head].iter().map(line("unchanged", " ")).collect();
    diff.extend(old[head..old.len() - tail].iter().map(line("removed", "-")));
    diff.extend(new[head..new.len() - tail].iter().map(line("added", "+")));
    diff.extend(old[old.len() - tail..].iter().take(CONTEXT_LINES).map(line("unchanged", " ")));
    diff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diff_shows_changed_lines_with_context() {
        let shown = |before: &str, after: &str| {
            let (before, after) = (Some(before.to_owned()), Some(after.to_owned()));
            diff(&before, &after).iter().map(|line| format!("{}{}", line.sign, line.text)).collect::<Vec<_>>()
        };
        assert_eq!(shown("a\nb\nc\nd\ne\nf", "a\nb\nc\nX\ne\nf"), [" b", " c", "-d", "+X", " e", " f"]);
        assert_eq!(shown("", "a"), ["+a"]);
        assert_eq!(shown("a\na", "a"), [" a", "-a"]);
        assert!(shown("", "").is_empty());
    }
}
