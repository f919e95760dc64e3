//! From an HTTP request to a [`Call`]: route, parameters, token, body. Every invalid input has an error that names it.

mod form;
mod json_params;
mod params;
mod route_target;

use crate::{layers::request_context::RequestContext, request_body::incomplete};
use http::{
    HeaderMap,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use menlou_call::{Call, Params, Token, UnreadBody, normalize_cookies};
use menlou_clock::since_epoch;
use menlou_config::server::Server;
use menlou_error::text::Text;
use menlou_error::{Error, Result, codes};
use params::{check_name, remove_empty};
pub use route_target::RouteTarget;
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// The first bytes of gzip. Neither JSON nor a form begins with them.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Maximum length of a session token, in bytes.
const MAX_TOKEN: usize = 256;

/// Reads the body, and adds its parameters to those of the query. A name in both is taken from the body.
///
/// # Errors
/// A body that is too large, late, incomplete, of another media type, or malformed.
pub async fn body<B>(head: &Parts, body: B, limits: &Server, params: &mut Params) -> Result<Bytes>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limit = limits.max_body.bytes();
    let announced = head.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) {
        return Err(too_large(limit));
    }
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    let collected = timeout(limits.body_timeout.get(), Limited::new(body, limit).collect()).await;
    let bytes = match collected {
        Err(_) => return Err(Error::new(&codes::REQUEST_TIMEOUT)),
        Ok(Err(e)) if e.is::<LengthLimitError>() => return Err(too_large(limit)),
        Ok(Err(e)) => return Err(e.downcast::<Error>().map_or_else(incomplete, |e| *e)),
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    if bytes.is_empty() {
        return Ok(bytes);
    }
    check_content_encoding(&head.headers)?;
    let media_type = media_type(&head.headers)?;
    if bytes.starts_with(&GZIP) {
        return Err(Error::new(&codes::BAD_BODY).with_detail(COMPRESSED));
    }
    let mut own = Params::new();
    match media_type {
        MediaType::Form => form::read(&bytes, &mut own, &[])?,
        MediaType::Json => json(&bytes, &mut own)?,
    }
    // The route comes from the URL alone.
    for name in ["f", "a"] {
        own.as_map_mut().remove(name);
    }
    for (name, value) in std::mem::take(own.as_map_mut()) {
        params.as_map_mut().insert(name, value);
    }
    remove_empty(params)?;
    Ok(bytes)
}

/// Parameters and body, decoded unless the action takes them raw.
#[derive(Default)]
pub struct Input {
    /// Parameters of query and body.
    pub params: Params,
    /// The raw query.
    pub query: String,
    /// The body, complete.
    pub body: Bytes,
    /// The body, if the action reads it by itself.
    pub unread: Option<Arc<UnreadBody>>,
}

/// Makes the call. `timeout` is how long it may take. If `is_public`, any caller may call the action, and an `Authorization`
/// header that is no token is ignored: it may be for a proxy in front, and a new session could not replace it.
///
/// # Errors
/// An `Authorization` header that is no valid token.
pub(super) fn call(
    context: &RequestContext,
    mut head: Parts,
    (action, subpath): (String, String),
    input: Input,
    timeout: Duration,
    is_public: bool,
) -> Result<Call> {
    let token = match head.headers.remove(AUTHORIZATION).map(|value| bearer(&value)) {
        Some(Err(_)) if is_public => None,
        Some(token) => token?,
        None => None,
    };
    normalize_cookies(&mut head.headers);
    Ok(Call {
        id: context.id.clone(),
        method: head.method,
        path: head.uri.path().to_owned(),
        subpath,
        query: input.query,
        action,
        language: context.language,
        remote: context.client,
        deadline_unix_ms: (since_epoch() + timeout).as_millis() as u64,
        token,
        params: input.params,
        headers: head.headers,
        body: input.body,
        unread: input.unread,
        stream_idle_timeout: timeout,
    })
}

/// The token of `Authorization: Bearer <token>`; an empty one counts as absent.
fn bearer(value: &http::HeaderValue) -> Result<Option<Token>> {
    let invalid = || {
        let text = Text::fixed("Authorization 应为 Bearer <令牌>", "Authorization must be Bearer <token>.");
        Error::new(&codes::LOGIN_REQUIRED).with_detail(text)
    };
    let text = value.to_str().map_err(|_| invalid())?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(invalid());
    }
    match token.trim() {
        "" => Ok(None),
        token if token.len() <= MAX_TOKEN => Ok(Some(Token::new(token))),
        _ => Err(Error::new(&codes::SESSION_EXPIRED)),
    }
}

enum MediaType {
    Form,
    Json,
}

/// Rejects a compressed body: its size would say nothing about the memory that it takes.
fn check_content_encoding(headers: &HeaderMap) -> Result<()> {
    let mut codings = headers.get_all(CONTENT_ENCODING).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    if codings.all(|coding| coding.trim_ascii().is_empty() || coding.trim_ascii().eq_ignore_ascii_case(b"identity")) {
        return Ok(());
    }
    Err(Error::new(&codes::UNSUPPORTED_MEDIA_TYPE).with_detail(COMPRESSED))
}

/// The detail of a compressed body.
const COMPRESSED: Text = Text::fixed(
    "请求体不能压缩：请去掉 Content-Encoding，发送未压缩的请求体",
    "The body must not be compressed: send it without Content-Encoding.",
);

fn media_type(headers: &HeaderMap) -> Result<MediaType> {
    let unsupported = || Error::new(&codes::UNSUPPORTED_MEDIA_TYPE);
    let text = headers.get(CONTENT_TYPE).ok_or_else(unsupported)?.to_str().map_err(|_| unsupported())?;
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    for parameter in parts {
        if let Some((name, charset)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("charset")
            && !charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        {
            return Err(unsupported());
        }
    }
    match essence {
        e if e.eq_ignore_ascii_case("application/x-www-form-urlencoded") => Ok(MediaType::Form),
        e if e.eq_ignore_ascii_case("application/json") => Ok(MediaType::Json),
        _ => Err(unsupported()),
    }
}

fn json(bytes: &[u8], params: &mut Params) -> Result<()> {
    let object = match serde_json::from_slice(bytes) {
        Ok(json_params::UniqueNames(object)) => object,
        Err(e) if e.is_data() => return Err(json_params::error(&e)),
        Err(e) => {
            // Line and column, never the text there.
            let (line, column) = (e.line(), e.column());
            return Err(Error::new(&codes::BAD_BODY).with_detail(Text::new(
                format!("请求体不是有效的 JSON（第 {line} 行第 {column} 列）"),
                format!("The body is not valid JSON (line {line}, column {column})."),
            )));
        }
    };
    object.keys().try_for_each(|name| check_name(name))?;
    *params.as_map_mut() = object;
    Ok(())
}

fn too_large(limit: usize) -> Error {
    Error::new(&codes::BODY_TOO_LARGE).with_detail(Text::new(
        format!("请求体过大，至多 {limit} 字节"),
        format!("The body is too large: {limit} bytes at most."),
    ))
}
