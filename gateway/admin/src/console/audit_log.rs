//! The log of what admins did: of one tenant, and of all.

use super::{console_request::ConsoleRequest, layout::Layout, response::ConsoleResponse};
use crate::audit::{self, AuditEntry};
use askama::Template;
use menlou_error::Result;

/// How many entries a page shows.
const MOST: u32 = 50;
/// How many lines around a change are shown.
const AROUND: usize = 2;

#[derive(Template)]
#[template(path = "records.html")]
struct Page {
    layout: Layout,
    entries: Vec<AuditEntry>,
    /// The id before which the next page begins.
    more: Option<i64>,
}

/// A line of a change.
struct Line<'a> {
    /// The name of a style: gone, come or stays.
    kind: &'static str,
    sign: &'static str,
    text: &'a str,
}

/// `GET /console/audit`
pub async fn audit(request: ConsoleRequest) -> Result<ConsoleResponse> {
    let entries = audit::list_all(request.state(), request.caller()?, before(&request), MOST).await?;
    page(request.layout, entries)
}

/// `GET /console/tenants/{tenant}/history`
pub async fn history(mut request: ConsoleRequest) -> Result<ConsoleResponse> {
    let name = request.tenant("history")?;
    let entries = audit::list_for_tenant(request.state(), request.caller()?, &name, before(&request), MOST).await?;
    page(request.layout, entries)
}

fn before(request: &ConsoleRequest) -> Option<i64> {
    request.query.get("before").parse().ok()
}

fn page(layout: Layout, entries: Vec<AuditEntry>) -> Result<ConsoleResponse> {
    let more = entries.last().filter(|last| entries.len() as u32 >= MOST && last.id > 1).map(|last| last.id);
    ConsoleResponse::page(&Page { layout, entries, more })
}

impl Page {
    /// What a deed is called.
    fn what<'a>(&self, word: &'a str) -> &'a str {
        let (zh, en) = match word {
            "tenant.create" => ("创建租户", "made the tenant"),
            "tenant.replace" => ("修改设置", "changed the settings"),
            "tenant.remove" => ("删除租户", "removed the tenant"),
            "session.end" => ("结束一个会话", "ended a session"),
            "session.end_of" => ("结束某人的会话", "ended a person's sessions"),
            "session.end_all" => ("结束全部会话", "ended all sessions"),
            "user.update" => ("修改用户", "changed a user"),
            "user.unbind" => ("解除绑定", "took a binding away"),
            "user.forget" => ("遗忘用户", "forgot a person"),
            "token.new" => ("生成令牌", "made a token"),
            "token.revoke" => ("吊销令牌", "revoked a token"),
            other => (other, other),
        };
        self.layout.t(zh, en)
    }
}

/// What is different between two texts: the lines between what they begin and end with alike, and a few around.
fn changed<'a>(before: &'a Option<String>, after: &'a Option<String>) -> Vec<Line<'a>> {
    let lines = |text: &'a Option<String>| text.as_deref().unwrap_or_default().lines().collect::<Vec<_>>();
    let (old, new) = (lines(before), lines(after));
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
    let line = |kind, sign| move |text: &&'a str| Line { kind, sign, text };
    let mut shown: Vec<_> = old[head.saturating_sub(AROUND)..head].iter().map(line("stays", " ")).collect();
    shown.extend(old[head..old.len() - tail].iter().map(line("gone", "-")));
    shown.extend(new[head..new.len() - tail].iter().map(line("come", "+")));
    shown.extend(old[old.len() - tail..].iter().take(AROUND).map(line("stays", " ")));
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_with_what_is_around_it() {
        let told = |before: &str, after: &str| {
            let (before, after) = (Some(before.to_owned()), Some(after.to_owned()));
            changed(&before, &after).iter().map(|line| format!("{}{}", line.sign, line.text)).collect::<Vec<_>>()
        };
        assert_eq!(told("a\nb\nc\nd\ne\nf", "a\nb\nc\nX\ne\nf"), [" b", " c", "-d", "+X", " e", " f"]);
        assert_eq!(told("", "a"), ["+a"]);
        assert_eq!(told("a\na", "a"), [" a", "-a"]);
        assert!(told("", "").is_empty());
    }
}
