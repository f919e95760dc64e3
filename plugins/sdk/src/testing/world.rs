//! What exists in a test: people, codes, bindings, sessions, and the answers of other servers.

use crate::User;
use serde_json::Value;
use std::{collections::HashMap, time::Duration};

#[derive(Default)]
pub(super) struct World {
    pub test_openids: bool,
    /// By code: the openid, or the word of the refusal.
    pub codes: HashMap<String, Result<String, String>>,
    pub phone_codes: HashMap<String, String>,
    pub people: Vec<Person>,
    /// By openid: the account's id.
    pub bindings: HashMap<String, i64>,
    /// The openid of each open session.
    pub sessions: Vec<String>,
    pub answers: Vec<Answer>,
    pub sent: Vec<SentRequest>,
    pub logs: Vec<String>,
    pub random: u8,
    /// By path.
    pub platform: HashMap<String, PlatformAnswer>,
    pub asked: Vec<PlatformRequest>,
    pub encrypted: Vec<Encrypted>,
    pub stale_session_key: bool,
    pub resets: usize,
}

/// The client's request, as far as it is not parameters.
#[derive(Clone)]
pub(super) struct Sent {
    pub method: String,
    pub subpath: String,
    pub query: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Default for Sent {
    fn default() -> Self {
        let (subpath, query) = (String::new(), String::new());
        Self { method: "POST".into(), subpath, query, headers: Vec::new(), body: Vec::new() }
    }
}

pub(super) enum PlatformAnswer {
    Given { content_type: String, body: Vec<u8> },
    Refused { word: String, data: Value },
}

pub(super) struct Encrypted {
    pub data: String,
    pub iv: String,
    pub plain: Value,
    pub age: Duration,
}

/// A call that an action had made to the platform.
#[derive(Clone, Debug, PartialEq)]
pub struct PlatformRequest {
    /// `GET` or `POST`.
    pub method: String,
    /// The path.
    pub path: String,
    /// The fields.
    pub fields: Value,
}

pub(super) struct Person {
    pub user: User,
    pub phone: Option<String>,
    pub external: Option<String>,
    pub account: Option<(String, String)>,
}

pub(super) struct Answer {
    pub method: String,
    pub url: String,
    pub status: u16,
    pub body: Vec<u8>,
}

/// A request that an action had sent.
#[derive(Clone, Debug, PartialEq)]
pub struct SentRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The whole URL.
    pub url: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Person {
    pub fn of(user: User) -> Self {
        Self { user, phone: None, external: None, account: None }
    }
}

impl World {
    pub fn user_of(&self, openid: &str) -> Option<User> {
        let id = self.bindings.get(openid)?;
        self.people.iter().find(|p| p.user.id == *id).map(|p| p.user.clone())
    }

    /// Binds the openid to the person found, or to the one made.
    pub fn bind(
        &mut self,
        openid: &str,
        found: impl Fn(&Person) -> bool,
        make: impl FnOnce(User) -> Person,
        name: &str,
        avatar_url: &str,
    ) -> User {
        let user = match self.people.iter().find(|p| found(p)) {
            Some(person) => person.user.clone(),
            None => {
                let id = self.people.iter().map(|p| p.user.id).max().unwrap_or(0) + 1;
                let user = User { id, name: name.into(), avatar_url: avatar_url.into() };
                self.people.push(make(user.clone()));
                user
            }
        };
        self.bindings.insert(openid.into(), user.id);
        user
    }
}
