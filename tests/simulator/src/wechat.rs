//! The platform's endpoints: which there are, and what a call and an answer look like.

mod access_token;
mod error;
mod login;
mod messages;
mod phone;
mod session_key;
mod wxacode;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value};

use crate::world::World;

pub(crate) use error::WechatError;

/// An endpoint of the platform.
pub(crate) struct Endpoint {
    pub(crate) path: &'static str,
    method: Method,
    answers: &'static str,
    handler: fn(&mut World, &Call) -> Result<Answer, WechatError>,
}

/// The login exchange answers JSON under this name; so does the real one.
const TEXT: &str = "text/plain";
const JSON: &str = "application/json; encoding=utf-8";

const ENDPOINTS: &[Endpoint] = &[
    Endpoint { path: "/sns/jscode2session", method: Method::GET, answers: TEXT, handler: login::jscode2session },
    Endpoint {
        path: "/cgi-bin/stable_token",
        method: Method::POST,
        answers: JSON,
        handler: access_token::stable_token,
    },
    Endpoint { path: "/cgi-bin/token", method: Method::GET, answers: JSON, handler: access_token::token },
    Endpoint {
        path: "/wxa/business/getuserphonenumber",
        method: Method::POST,
        answers: JSON,
        handler: phone::getuserphonenumber,
    },
    Endpoint { path: "/wxa/checksession", method: Method::GET, answers: JSON, handler: session_key::checksession },
    Endpoint {
        path: "/wxa/resetusersessionkey",
        method: Method::GET,
        answers: JSON,
        handler: session_key::resetusersessionkey,
    },
    Endpoint { path: "/wxa/msg_sec_check", method: Method::POST, answers: JSON, handler: messages::msg_sec_check },
    Endpoint {
        path: "/cgi-bin/message/subscribe/send",
        method: Method::POST,
        answers: JSON,
        handler: messages::subscribe_send,
    },
    Endpoint {
        path: "/wxa/getwxacodeunlimit",
        method: Method::POST,
        answers: JSON,
        handler: wxacode::getwxacodeunlimit,
    },
];

/// The path under which calls of no known endpoint are counted.
pub(crate) const UNKNOWN_PATH: &str = "unknown";

/// What a client sent.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) query: HashMap<String, String>,
    pub(crate) body: Bytes,
}

/// What an endpoint answers on success.
pub(crate) enum Answer {
    Json(Value),
    Jpeg(&'static [u8]),
}

/// An answer as bytes, always HTTP 200.
pub(crate) struct Encoded {
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

/// The endpoint at this path.
pub(crate) fn endpoint(path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.path == path)
}

/// Carries a call out; a missing endpoint answers 40066, as the platform does.
pub(crate) fn answer(world: &mut World, endpoint: Option<&Endpoint>, call: &Call) -> Encoded {
    let result = match endpoint {
        None => Err(WechatError::new(40066)),
        Some(endpoint) if endpoint.method == call.method => (endpoint.handler)(world, call),
        Some(endpoint) if endpoint.method == Method::GET => Err(WechatError::new(43001)),
        Some(_) => Err(WechatError::new(43002)),
    };
    match result {
        Ok(Answer::Json(value)) => {
            Encoded { content_type: endpoint.map_or(JSON, |endpoint| endpoint.answers), body: value.to_string().into() }
        }
        Ok(Answer::Jpeg(image)) => Encoded { content_type: "image/jpeg", body: Bytes::from_static(image) },
        Err(error) => encode_error(world, endpoint, &error),
    }
}

/// An error in the platform's format, with the request's `rid`.
pub(crate) fn encode_error(world: &World, endpoint: Option<&Endpoint>, error: &WechatError) -> Encoded {
    let content_type = endpoint.map_or(JSON, |endpoint| endpoint.answers);
    // Seen in the wild: "invalid code, rid: …" from the login, "… not latest rid: …" elsewhere.
    let joint = if content_type == TEXT { ", " } else { " " };
    Encoded { content_type, body: error.body(joint, world.clock.now_s()).to_string().into() }
}

impl Call {
    /// A query parameter; empty if absent.
    fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// The body as a JSON object.
    ///
    /// # Errors
    /// 47001 if it is none.
    fn json(&self) -> Result<Map<String, Value>, WechatError> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(WechatError::new(47001)),
        }
    }

    /// The app whose access token the call carries.
    fn caller(&self, world: &World) -> Result<Arc<str>, WechatError> {
        let now = world.clock.now_ms();
        world.tokens.owner(self.query("access_token"), now)
    }
}

/// A text in a JSON body; empty if absent or of another type.
fn text<'a>(body: &'a Map<String, Value>, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The platform's plain "ok".
fn ok() -> Answer {
    Answer::Json(serde_json::json!({"errcode": 0, "errmsg": "ok"}))
}

/// Checks appid and secret as every endpoint does that takes them.
///
/// # Errors
/// 41002, 41004 if one is missing, 40013, 40125 if one is wrong.
fn credentials(world: &World, appid: &str, secret: &str) -> Result<Arc<str>, WechatError> {
    if appid.is_empty() {
        return Err(WechatError::new(41002));
    }
    if secret.is_empty() {
        return Err(WechatError::new(41004));
    }
    let (Some(known), Some(app)) = (world.known_appid(appid), world.app(appid)) else {
        return Err(WechatError::new(40013));
    };
    if !app.takes(secret) {
        return Err(WechatError::new(40125));
    }
    Ok(known)
}
