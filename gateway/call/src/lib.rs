//! What travels: a call as it was decoded, and the reply that an action gave.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method};
use http_body_util::combinators::UnsyncBoxBody;
use menlou_error::Error;
use menlou_error::text::Language;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use std::{
    fmt,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// The longest name of a parameter, in characters: those of actions are bounded alike, and none has more than 256 bytes.
pub const MAX_NAME: usize = 64;
/// No query or form has more parameters.
pub const MAX_FORM: usize = 64;

/// A body on its way, in either direction: pieces as they come, never kept.
pub type Pieces = UnsyncBoxBody<Bytes, Error>;

/// One request, decoded. Its parameters are unique, none is empty.
#[derive(Debug)]
pub struct Call {
    /// What the answer's `X-Request-Id` and the log carry: `[A-Za-z0-9._-]{1,64}`.
    pub id: String,
    /// The HTTP method.
    pub method: Method,
    /// The path of the URL.
    pub path: String,
    /// What the path has after the action, from its `/` on, as it came; without `.` and `..` segments. Empty for most.
    pub subpath: String,
    /// The query of the URL as it came, without `f` and `a`, where the action takes it unread.
    pub query: String,
    /// The `a` of the URL.
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
    /// The body where the action takes it unread; [`Call::body`] is empty then.
    pub unread: Option<Arc<Unread>>,
    /// How long an answer that the plugin writes may pause between two pieces.
    pub pause: Duration,
}

/// A body that nobody has read. Who takes it has it.
pub struct Unread(Mutex<Option<Pieces>>);

impl Unread {
    /// Keeps a body until it is taken.
    pub fn new(body: Pieces) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(body))))
    }

    /// Takes the body away, or what is left of it.
    pub fn take(&self) -> Option<Pieces> {
        self.lock().take()
    }

    /// The body in its place; `None` where it was taken.
    pub fn lock(&self) -> MutexGuard<'_, Option<Pieces>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Unread(…)")
    }
}

/// What an action gave.
#[derive(Debug)]
pub enum Reply {
    /// The `data` of the envelope: a JSON object in UTF-8.
    Data(Bytes),
    /// The same, which may hold a session's token: the plugin was told one.
    Secret(Bytes),
    /// A file, which is answered as it is, without an envelope.
    File {
        /// Its media type.
        content_type: HeaderValue,
        /// Its bytes.
        body: Bytes,
    },
    /// What the plugin writes piece by piece, without an envelope.
    Written {
        /// Its media type.
        content_type: HeaderValue,
        /// Its bytes, as they are written.
        pieces: Pieces,
    },
    /// An upstream's answer, which is passed on.
    Forwarded(http::Response<Pieces>),
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

/// Parameters by name: texts, or what stood in a JSON body. Kept as one JSON object, as schemas want it.
pub struct Params(Value);

impl Params {
    /// None, yet.
    pub fn new() -> Self {
        Self(Value::Object(Map::new()))
    }

    /// All of them as one JSON object.
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// All of them by name.
    pub fn as_map(&self) -> &Map<String, Value> {
        match &self.0 {
            Value::Object(map) => map,
            _ => unreachable!("made as an object"),
        }
    }

    /// All of them by name, to be changed.
    pub fn as_map_mut(&mut self) -> &mut Map<String, Value> {
        match &mut self.0 {
            Value::Object(map) => map,
            _ => unreachable!("made as an object"),
        }
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Params {
    /// Names only: a value may be a code or a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_map().keys()).finish()
    }
}
