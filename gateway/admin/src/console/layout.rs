//! The frame of every page: language, signed-in admin, navigation and notice. Templates use it to select texts.

use super::{
    assets, cookies,
    paths::{BASE, escape},
};
use crate::{
    bilingual::BilingualText,
    caller::{Caller, Role},
    config_errors::ConfigErrorBody,
    timestamp::Timestamp,
};
use axum::http::{Method, request::Parts};
use menlou_error::text::{Language, Text};

/// The frame of a page.
#[derive(Clone, Default)]
pub struct Layout {
    pub language: Language,
    /// Whether htmx requested a fragment instead of a complete page.
    pub is_fragment: bool,
    /// The address of the page, for returning to it.
    pub address: String,
    /// The role of the signed-in admin; empty without a session.
    pub role: String,
    /// The label of the admin's token, or its id.
    pub admin: String,
    /// Whether the admin sees all tenants.
    pub sees_all_tenants: bool,
    pub is_operator: bool,
    /// The hosts that tenant admins may set as upstream addresses, as text.
    pub allowed_hosts: String,
    /// The CSRF token of the session.
    pub csrf: String,
    /// The tenant of the page.
    pub tenant: String,
    /// The tenant's display name; empty if it is not serving.
    pub title: String,
    /// The selected tab of the tenant's pages.
    pub tab: &'static str,
    /// Whether the admin may change the tenant and see personal data.
    pub can_write: bool,
    /// A key of [`Layout::notice`].
    pub done: String,
}

impl Layout {
    /// The layout for a request, without an admin and a tenant.
    pub fn for_request(head: &Parts) -> Self {
        let address = match head.method {
            Method::GET => head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            _ => BASE.to_owned(),
        };
        let done = head.uri.query().and_then(|query| query.split('&').find_map(|pair| pair.strip_prefix("done=")));
        Self {
            language: cookies::language(&head.headers),
            is_fragment: head.headers.contains_key("hx-request"),
            address,
            done: done.unwrap_or_default().to_owned(),
            ..Self::default()
        }
    }

    /// Sets the signed-in admin.
    pub fn set_caller(&mut self, caller: Option<&Caller>, csrf: Option<String>) {
        if let Some(caller) = caller {
            self.role = caller.role.to_string();
            self.admin = if caller.label.is_empty() { caller.id.clone() } else { caller.label.clone() };
            self.is_operator = caller.role == Role::Operator;
            self.sees_all_tenants = self.is_operator || caller.role == Role::Viewer;
        }
        self.csrf = csrf.unwrap_or_default();
    }

    /// Sets the tenant of the page.
    pub fn set_tenant(&mut self, tenant: &str, title: Option<String>, tab: &'static str, can_write: bool) {
        (self.tenant, self.tab, self.can_write) = (tenant.to_owned(), tab, can_write);
        self.title = title.unwrap_or_default();
    }

    /// Selects the text in the page's language.
    pub fn t<'a>(&self, zh: &'a str, en: &'a str) -> &'a str {
        if self.is_chinese() { zh } else { en }
    }

    /// Selects the language of a text of the API.
    pub fn b<'a>(&self, text: &'a BilingualText) -> &'a str {
        self.t(&text.zh, &text.en)
    }

    /// Selects the language of a text of the gateway.
    pub fn s<'a>(&self, text: &'a Text) -> &'a str {
        text.get(self.language)
    }

    /// The message of an error in a tenant file.
    pub fn config_error<'a>(&self, error: &'a ConfigErrorBody) -> &'a str {
        error.text(self.language)
    }

    /// Percent-encodes a text for use in an address.
    pub fn url(&self, text: &str) -> String {
        escape(text)
    }

    /// Whether the page is in Chinese; otherwise it is in English.
    pub fn is_chinese(&self) -> bool {
        self.language == Language::Zh
    }

    /// The HTML `lang` attribute.
    pub fn lang(&self) -> &'static str {
        self.t("zh-CN", "en")
    }

    /// The version of the style sheet and the scripts.
    pub fn version(&self) -> &'static str {
        &assets::VERSION
    }

    /// A timestamp in UTC. A script converts it to the browser's time zone.
    pub fn time(&self, time: &Timestamp) -> String {
        let text = time.to_string();
        format!("{} {} UTC", &text[..10], &text[11..16])
    }

    /// The notice about the operation that was just completed.
    pub fn notice(&self) -> Option<&'static str> {
        let (zh, en) = match self.done.as_str() {
            "saved" => ("已保存，数秒内生效。", "Saved. The change takes effect within seconds."),
            "made" => (
                "租户已创建，数秒内生效。接下来请验证凭据。",
                "The tenant was created and starts serving within seconds. Verify its credentials next.",
            ),
            "removed" => ("租户已删除。", "The tenant was removed."),
            "secret" => {
                ("AppSecret 已更换，数秒内生效。", "The AppSecret was changed. The change takes effect within seconds.")
            }
            "on" => ("动作已启用，数秒内生效。", "The action was enabled and starts serving within seconds."),
            "off" => (
                "动作已停用，数秒内生效；设置已保留。",
                "The action was disabled and stops serving within seconds. Its settings are kept.",
            ),
            "ended" => ("会话已结束。", "The sessions were ended."),
            "forgotten" => (
                "用户数据已删除，包括账号、绑定与会话。",
                "The user's data was deleted: account, bindings and sessions.",
            ),
            "unbound" => ("绑定已解除。", "The openid was unbound."),
            "out" => ("已退出登录。", "You have signed out."),
            _ => return None,
        };
        Some(if self.is_chinese() { zh } else { en })
    }
}
