//! What travels: a call as it was decoded, and the reply that an action gave.

use crate::text::Language;
use bytes::Bytes;
use http::{HeaderMap, Method};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::{fmt, net::IpAddr};

/// The longest name of a tenant, an action or a parameter, in bytes.
pub const MAX_NAME: usize = 256;

/// One request, decoded. Its parameters are unique, none is empty.
#[derive(Debug)]
pub struct Call {
    /// What the answer's `X-Request-Id` and the log carry: `[A-Za-z0-9._-]{1,64}`.
    pub id: String,
    /// The HTTP method.
    pub method: Method,
    /// The path of the URL.
    pub path: String,
    /// The `f` of the URL, not yet known to be a tenant.
    pub tenant: String,
    /// The `a` of the URL, not yet known to be an action.
    pub action: String,
    /// The caller's language.
    pub language: Language,
    /// The client's address.
    pub remote: IpAddr,
    /// When the gateway gives up on the call, Unix milliseconds.
    pub deadline_unix_ms: u64,
    /// The session token that the client sent.
    pub token: Option<Token>,
    /// The parameters of query and body.
    pub params: Params,
    /// The headers, without `authorization`.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

/// What an action gave: its `data`, a JSON object.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    /// JSON text in UTF-8.
    pub data: Bytes,
}

/// A session token as the client sent it. Never printed.
pub struct Token(SecretString);

impl Token {
    /// Takes a token from a header.
    pub fn new(token: &str) -> Self {
        Self(SecretString::from(token))
    }

    /// The token itself. Never log it.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

/// Parameters by name, in the order in which they came. Few enough that looking through them beats hashing.
#[derive(Default)]
pub struct Params(Vec<(String, Value)>);

impl Params {
    /// The value of this name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The value of this name, to be replaced by one of a better type.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.0.iter_mut().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// Sets a value, whatever was there.
    pub fn set(&mut self, name: String, value: Value) {
        match self.get_mut(&name) {
            Some(old) => *old = value,
            None => self.0.push((name, value)),
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> {
        self.0.iter().map(|(n, v)| (n.as_str(), v))
    }

    /// Keeps those that `keep` says.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &Value) -> bool) {
        self.0.retain(|(n, v)| keep(n, v));
    }
}

impl fmt::Debug for Params {
    /// Names only: a value may be a code or a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(n, _)| n)).finish()
    }
}
