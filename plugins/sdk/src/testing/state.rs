//! What a test defines: users, login codes, sessions, and the responses of other servers.

use crate::User;
use serde_json::Value;
use std::{collections::HashMap, time::Duration};

/// What an action responded.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The error code; `None` on success.
    pub error: Option<String>,
    /// The message of the action, if any, in Chinese and in English.
    pub msg: Option<(String, String)>,
    /// The `data` of the response; an empty object if there is none.
    pub data: Value,
    /// Media type and bytes of a file sent instead of data.
    pub file: Option<(String, Vec<u8>)>,
}

impl Reply {
    /// What the gateway responds if the action panicked or did not reply.
    pub(super) fn plugin_failed() -> Self {
        Self::error("plugin_failed")
    }

    pub(super) fn error(code: &str) -> Self {
        Self { error: Some(code.into()), msg: None, data: Value::Object(Default::default()), file: None }
    }
}

/// JSON pointer, Chinese text, English text.
pub(super) type ConfigErrorList = Vec<(String, String, String)>;

#[derive(Default)]
pub(super) struct State {
    pub test_openids: bool,
    /// By login code: the openid, or the error code of the exchange.
    pub codes: HashMap<String, Result<String, String>>,
    pub phone_codes: HashMap<String, String>,
    pub accounts: Vec<Account>,
    /// By openid: the account's id.
    pub bindings: HashMap<String, i64>,
    /// The openid of each open session.
    pub sessions: Vec<String>,
    pub http_stubs: Vec<HttpStub>,
    pub http_requests: Vec<SentRequest>,
    pub logs: Vec<String>,
    /// The last byte that `random` returned.
    pub random: u8,
    /// By path.
    pub platform_stubs: HashMap<String, PlatformStub>,
    pub platform_requests: Vec<PlatformRequest>,
    pub encrypted: Vec<EncryptedPayload>,
    pub session_key_expired: bool,
    pub session_key_resets: usize,
    /// The accounts of the attempts that have not succeeded.
    pub attempts: Vec<String>,
    pub attempts_exhausted: bool,
}

/// The client's request, except for its parameters.
#[derive(Clone)]
pub(super) struct ClientRequest {
    pub method: String,
    pub subpath: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Default for ClientRequest {
    fn default() -> Self {
        let (subpath, query) = (String::new(), String::new());
        Self { method: "POST".into(), subpath, query, headers: Vec::new(), body: Vec::new() }
    }
}

pub(super) enum PlatformStub {
    Response { content_type: String, body: Vec<u8> },
    Error { code: String, data: Value },
}

pub(super) struct EncryptedPayload {
    pub data: String,
    pub iv: String,
    pub plain: Value,
    pub age: Duration,
}

/// A request that an action sent to the platform.
#[derive(Clone, Debug, PartialEq)]
pub struct PlatformRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// The path.
    pub path: String,
    /// The fields: the query of a GET, the JSON body of a POST.
    pub fields: Value,
}

pub(super) struct Account {
    pub user: User,
    pub phone: Option<String>,
    /// The id in the tenant's own login service.
    pub external: Option<String>,
    /// Account name and password.
    pub password: Option<(String, String)>,
}

pub(super) struct HttpStub {
    pub method: String,
    pub url: String,
    pub status: u16,
    pub body: Vec<u8>,
}

/// A request that an action sent to another server.
#[derive(Clone, Debug, PartialEq)]
pub struct SentRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The complete URL.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Account {
    pub fn new(user: User) -> Self {
        Self { user, phone: None, external: None, password: None }
    }
}

impl State {
    /// The stub for a request of this method and URL.
    pub fn http_stub(&self, request: &SentRequest) -> Option<&HttpStub> {
        self.http_stubs.iter().find(|s| s.method == request.method && request.url.starts_with(&s.url))
    }

    pub fn user_for(&self, openid: &str) -> Option<User> {
        let id = self.bindings.get(openid)?;
        self.accounts.iter().find(|p| p.user.id == *id).map(|p| p.user.clone())
    }

    /// Binds the openid to the account that matches, or to a new one.
    pub fn bind(
        &mut self,
        openid: &str,
        matches: impl Fn(&Account) -> bool,
        create: impl FnOnce(User) -> Account,
        name: &str,
        avatar_url: &str,
    ) -> User {
        let user = match self.accounts.iter().find(|p| matches(p)) {
            Some(account) => account.user.clone(),
            None => {
                let id = self.accounts.iter().map(|p| p.user.id).max().unwrap_or(0) + 1;
                let user = User { id, name: name.into(), avatar_url: avatar_url.into() };
                self.accounts.push(create(user.clone()));
                user
            }
        };
        self.bindings.insert(openid.into(), user.id);
        user
    }
}
