//! The types that cross layers: a decoded request to an action ([`Call`]) and the action's reply ([`Reply`]).

mod cookies;
mod dot_segments;

use bytes::Bytes;
pub use cookies::{GATEWAY_COOKIE, edit_cookies, is_gateway_cookie, normalize_cookies};
pub use dot_segments::has_dot_segment;
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

/// Maximum length of a parameter's name, in characters. Names in an action's schema have the same bound.
pub const MAX_PARAM_NAME: usize = 64;
/// Maximum number of parameters of a query or form.
pub const MAX_PARAMS: usize = 64;

/// A body that is passed on in pieces, in either direction, and never held in memory completely.
pub type BodyStream = UnsyncBoxBody<Bytes, Error>;

/// A decoded request to an action. Names of parameters are unique, and no value is empty.
#[derive(Debug)]
pub struct Call {
    /// Id of the request, in the log and in the response's `X-Request-Id`: `[A-Za-z0-9._-]{1,64}`.
    pub id: Arc<str>,
    /// HTTP method.
    pub method: Method,
    /// Path of the URL.
    pub path: String,
    /// Raw rest of the path after the action, from its `/` on; without `.` and `..` segments. Usually empty.
    pub subpath: String,
    /// Raw query without `f` and `a`, if the action takes it raw; otherwise empty.
    pub query: String,
    /// Name of the action (`a`).
    pub action: String,
    /// Language of texts for the client's user.
    pub language: Language,
    /// The client's address.
    pub remote: IpAddr,
    /// When the gateway ends the call, in milliseconds since the Unix epoch.
    pub deadline_unix_ms: u64,
    /// Session token that the client sent.
    pub token: Option<Token>,
    /// Parameters of query and body.
    pub params: Params,
    /// Headers, without `authorization` and the gateway's own cookies; `cookie` is one line.
    pub headers: HeaderMap,
    /// Complete body; empty if the action reads it by itself.
    pub body: Bytes,
    /// Body that the action reads by itself; [`Call::body`] is empty then.
    pub unread: Option<Arc<UnreadBody>>,
    /// Maximum time between two pieces of a response that the plugin streams.
    pub stream_idle_timeout: Duration,
}

/// A body that has not been read. It can be taken once.
pub struct UnreadBody(Mutex<Option<BodyStream>>);

impl UnreadBody {
    /// Holds a body until it is taken.
    pub fn new(body: BodyStream) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(body))))
    }

    /// Takes the body, or the rest of it.
    pub fn take(&self) -> Option<BodyStream> {
        self.lock().take()
    }

    /// Locks the body, to read from it; `None` if it was taken.
    pub fn lock(&self) -> MutexGuard<'_, Option<BodyStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for UnreadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UnreadBody(…)")
    }
}

/// The reply of an action.
#[derive(Debug)]
pub enum Reply {
    /// The `data` of the envelope: a JSON object in UTF-8.
    Data(Bytes),
    /// As [`Reply::Data`], and it may contain a session token, since the plugin was handed one. It is never compressed.
    SecretData(Bytes),
    /// A file, sent without an envelope.
    File {
        /// Media type.
        content_type: HeaderValue,
        /// Content.
        body: Bytes,
    },
    /// A body that the plugin writes piece by piece, sent without an envelope.
    Streamed {
        /// Media type.
        content_type: HeaderValue,
        /// Content, as it is written.
        pieces: BodyStream,
    },
    /// An upstream's response, passed on.
    Forwarded(http::Response<BodyStream>),
}

/// A session token as the client sent it. Never printed.
pub struct Token(SecretString);

impl Token {
    /// Wraps a token from a header.
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

/// Parameters by name: strings, or any value from a JSON body. Stored as one JSON object, which schemas validate.
pub struct Params(Value);

impl Params {
    /// No parameters.
    pub fn new() -> Self {
        Self(Value::Object(Map::new()))
    }

    /// The parameters as a JSON object.
    pub fn as_json(&self) -> &Value {
        &self.0
    }

    /// The parameters by name.
    pub fn as_map(&self) -> &Map<String, Value> {
        match &self.0 {
            Value::Object(map) => map,
            // `new` is the only constructor.
            _ => unreachable!("params are an object"),
        }
    }

    /// The parameters by name, mutable.
    pub fn as_map_mut(&mut self) -> &mut Map<String, Value> {
        match &mut self.0 {
            Value::Object(map) => map,
            // `new` is the only constructor.
            _ => unreachable!("params are an object"),
        }
    }
}

impl Default for Params {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Params {
    /// Prints names only: a value may be a code or a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.as_map().keys()).finish()
    }
}
