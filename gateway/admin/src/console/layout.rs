//! What is around every page: language, who is signed in, the way around.

use super::{assets, console_request};
use crate::Caller;
use crate::Role;
use crate::plugins::BilingualText;
use crate::timestamp::Timestamp;
use crate::validation::ConfigErrorBody;
use axum::http::{Method, request::Parts};
use menlou_error::text::{Language, Text};

/// What is around a page.
#[derive(Clone, Default)]
pub struct Layout {
    pub language: Language,
    /// Whether only a part of a page is wanted.
    pub part: bool,
    /// The address of the page, for coming back to it.
    pub here: String,
    /// The caller's role and label; empty where nobody is signed in.
    pub role: String,
    pub who: String,
    /// Whether all tenants are theirs to see, and to make.
    pub all: bool,
    pub operator: bool,
    /// Which hosts a tenant's own admin may name, for people.
    pub hosts: String,
    /// What forms hold.
    pub csrf: String,
    /// The tenant that the page is about, and which page of its it is.
    pub tenant: String,
    /// Its name for people; empty where it does not serve.
    pub title: String,
    pub tab: &'static str,
    /// Whether the caller may change it, and meet its people.
    pub changes: bool,
    /// What was just done.
    pub done: String,
}

impl Layout {
    /// What a request's head says.
    pub fn of(head: &Parts) -> Self {
        let here = match head.method {
            Method::GET => head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            _ => super::BASE.to_owned(),
        };
        let done = head.uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("done=")));
        Self {
            language: console_request::language(&head.headers),
            part: head.headers.contains_key("hx-request"),
            here,
            done: done.unwrap_or_default().to_owned(),
            ..Self::default()
        }
    }

    /// Who sees the page.
    pub fn seen_by(&mut self, caller: Option<&Caller>, csrf: Option<String>) {
        if let Some(caller) = caller {
            self.role = caller.role.to_string();
            self.who = if caller.label.is_empty() { caller.id.clone() } else { caller.label.clone() };
            self.operator = caller.role == Role::Operator;
            self.all = self.operator || caller.role == Role::Viewer;
        }
        self.csrf = csrf.unwrap_or_default();
    }

    /// The tenant that the page is about.
    pub fn about(&mut self, tenant: &str, title: Option<String>, tab: &'static str, changes: bool) {
        (self.tenant, self.tab, self.changes) = (tenant.to_owned(), tab, changes);
        self.title = title.unwrap_or_default();
    }

    /// One of two sentences.
    pub fn t<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        if self.chinese() { zh } else { en }
    }

    /// A sentence that is told in both languages.
    pub fn b<'a>(&self, both: &'a BilingualText) -> &'a str {
        self.t(&both.zh, &both.en)
    }

    /// A text as part of an address.
    pub fn url(&self, text: &str) -> String {
        console_request::escaped(text)
    }

    /// What is wrong.
    pub fn flaw<'a>(&self, flaw: &'a ConfigErrorBody) -> &'a str {
        flaw.text(self.language)
    }

    /// The same of our own tables.
    pub fn s<'a>(&self, text: &'a Text) -> &'a str {
        text.get(self.language)
    }

    pub fn chinese(&self) -> bool {
        self.language == Language::Zh
    }

    /// The page's language, as HTML names it.
    pub fn lang(&self) -> &'static str {
        self.t("zh-CN", "en")
    }

    /// The version of style and scripts.
    pub fn version(&self) -> &'static str {
        &assets::VERSION
    }

    /// A time for people; a script makes it that of their own clock.
    pub fn time(&self, time: &Timestamp) -> String {
        let told = time.to_string();
        format!("{} {} UTC", &told[..10], &told[11..16])
    }

    /// What was just done, where it is one of these.
    pub fn notice(&self) -> Option<&'static str> {
        let (zh, en) = match self.done.as_str() {
            "saved" => ("已保存，几秒内生效。", "Saved. It is taken up within seconds."),
            "made" => (
                "租户已创建，几秒内生效。接下来请验证凭据。",
                "The tenant is made, and serves within seconds. Next, verify its credentials.",
            ),
            "removed" => ("租户已删除。", "The tenant is removed."),
            "secret" => ("AppSecret 已更换，几秒内生效。", "The AppSecret is changed; it is taken up within seconds."),
            "on" => ("动作已开启，几秒内生效。", "The action is on; it serves within seconds."),
            "off" => ("动作已关闭，几秒内生效。", "The action is off within seconds."),
            "ended" => ("会话已结束。", "The sessions have ended."),
            "forgotten" => {
                ("已遗忘此人：账号、绑定与会话都已删除。", "The person is forgotten: account, bindings and sessions.")
            }
            "unbound" => ("绑定已解除。", "The binding is gone."),
            "out" => ("已退出登录。", "You are signed out."),
            _ => return None,
        };
        Some(if self.chinese() { zh } else { en })
    }
}
