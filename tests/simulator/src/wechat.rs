//! The endpoints of the platform, their requests and responses.

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

use crate::state::PlatformState;

pub(crate) use error::WechatError;

/// An endpoint of the platform.
pub(crate) struct Endpoint {
    pub(crate) path: &'static str,
    method: Method,
    content_type: &'static str,
    handler: fn(&mut PlatformState, &ApiRequest) -> Result<ApiResponse, WechatError>,
}

/// The content type of the login exchange, whose body is JSON. WeChat does the same.
const TEXT: &str = "text/plain";
const JSON: &str = "application/json; encoding=utf-8";

const ENDPOINTS: &[Endpoint] = &[
    Endpoint { path: "/sns/jscode2session", method: Method::GET, content_type: TEXT, handler: login::jscode2session },
    Endpoint {
        path: "/cgi-bin/stable_token",
        method: Method::POST,
        content_type: JSON,
        handler: access_token::stable_token,
    },
    Endpoint { path: "/cgi-bin/token", method: Method::GET, content_type: JSON, handler: access_token::token },
    Endpoint {
        path: "/wxa/business/getuserphonenumber",
        method: Method::POST,
        content_type: JSON,
        handler: phone::getuserphonenumber,
    },
    Endpoint { path: "/wxa/checksession", method: Method::GET, content_type: JSON, handler: session_key::checksession },
    Endpoint {
        path: "/wxa/resetusersessionkey",
        method: Method::GET,
        content_type: JSON,
        handler: session_key::resetusersessionkey,
    },
    Endpoint { path: "/wxa/msg_sec_check", method: Method::POST, content_type: JSON, handler: messages::msg_sec_check },
    Endpoint {
        path: "/cgi-bin/message/subscribe/send",
        method: Method::POST,
        content_type: JSON,
        handler: messages::subscribe_send,
    },
    Endpoint {
        path: "/wxa/getwxacodeunlimit",
        method: Method::POST,
        content_type: JSON,
        handler: wxacode::getwxacodeunlimit,
    },
];

/// The path under which calls of unknown endpoints are counted.
pub(crate) const UNKNOWN_PATH: &str = "unknown";

/// A request of a client.
pub(crate) struct ApiRequest {
    pub(crate) method: Method,
    pub(crate) query: HashMap<String, String>,
    pub(crate) body: Bytes,
}

/// The response of an endpoint on success.
pub(crate) enum ApiResponse {
    Json(Value),
    Jpeg(&'static [u8]),
}

/// An encoded response. The status is always 200.
pub(crate) struct EncodedResponse {
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

/// The endpoint at this path.
pub(crate) fn endpoint(path: &str) -> Option<&'static Endpoint> {
    ENDPOINTS.iter().find(|endpoint| endpoint.path == path)
}

/// Handles a call. An unknown endpoint responds with 40066, as WeChat does.
pub(crate) fn handle(state: &mut PlatformState, endpoint: Option<&Endpoint>, request: &ApiRequest) -> EncodedResponse {
    let result = match endpoint {
        None => Err(WechatError::new(40066)),
        Some(endpoint) if endpoint.method == request.method => (endpoint.handler)(state, request),
        Some(endpoint) if endpoint.method == Method::GET => Err(WechatError::new(43001)),
        Some(_) => Err(WechatError::new(43002)),
    };
    match result {
        Ok(ApiResponse::Json(value)) => EncodedResponse {
            content_type: endpoint.map_or(JSON, |endpoint| endpoint.content_type),
            body: value.to_string().into(),
        },
        Ok(ApiResponse::Jpeg(image)) => EncodedResponse { content_type: "image/jpeg", body: Bytes::from_static(image) },
        Err(error) => encode_error(state, endpoint, &error),
    }
}

/// An error in the platform's format, with the request's `rid`.
pub(crate) fn encode_error(state: &PlatformState, endpoint: Option<&Endpoint>, error: &WechatError) -> EncodedResponse {
    let content_type = endpoint.map_or(JSON, |endpoint| endpoint.content_type);
    // Observed at WeChat: "invalid code, rid: …" from the login, "… not latest rid: …" elsewhere.
    let separator = if content_type == TEXT { ", " } else { " " };
    EncodedResponse { content_type, body: error.body(separator, state.clock.now_s()).to_string().into() }
}

impl ApiRequest {
    /// A query parameter. Empty if absent.
    fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }

    /// The body as a JSON object.
    ///
    /// # Errors
    /// 47001 if the body is not a JSON object.
    fn json(&self) -> Result<Map<String, Value>, WechatError> {
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Ok(object),
            _ => Err(WechatError::new(47001)),
        }
    }

    /// The app of the access token in the query.
    fn caller(&self, state: &PlatformState) -> Result<Arc<str>, WechatError> {
        let now = state.clock.now_ms();
        state.tokens.owner(self.query("access_token"), now)
    }
}

/// A string in a JSON body. Empty if absent or of another type.
fn text<'a>(body: &'a Map<String, Value>, name: &str) -> &'a str {
    body.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The response `ok` without data.
fn ok() -> ApiResponse {
    ApiResponse::Json(serde_json::json!({"errcode": 0, "errmsg": "ok"}))
}

/// Checks appid and secret and returns the stored appid.
///
/// # Errors
/// 41002 or 41004 if appid or secret is missing, 40013 or 40125 if it is wrong.
fn credentials(state: &PlatformState, appid: &str, secret: &str) -> Result<Arc<str>, WechatError> {
    if appid.is_empty() {
        return Err(WechatError::new(41002));
    }
    if secret.is_empty() {
        return Err(WechatError::new(41004));
    }
    let (Some(known), Some(app)) = (state.known_appid(appid), state.app(appid)) else {
        return Err(WechatError::new(40013));
    };
    if !app.accepts_secret(secret) {
        return Err(WechatError::new(40125));
    }
    Ok(known)
}
