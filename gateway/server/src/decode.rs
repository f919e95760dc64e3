//! From an HTTP request to a call: where it goes, what it brings, each bad input with a clear error.

mod form;
mod json_params;
mod route_target;

use super::{body::broken_off, compress, request_id};
use http::{
    HeaderMap,
    header::{ACCEPT_LANGUAGE, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE},
    request::Parts,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Bytes};
use menlou_call::{Call, MAX_NAME, Params, Token, Unread};
use menlou_clock::since_epoch;
use menlou_config::server::Server;
use menlou_error::text::{Language, Text};
use menlou_error::{Error, Result, codes};
pub use route_target::RouteTarget;
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::time::timeout;

/// No session token is longer, in bytes.
const MAX_TOKEN: usize = 256;

/// How the answer is to be: its id and language.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// See [`Call::id`].
    pub id: String,
    /// The caller's language.
    pub language: Language,
    /// Whether the caller takes gzip.
    pub gzip: bool,
}

impl RequestContext {
    /// Reads the headers that shape every answer.
    pub fn of(headers: &HeaderMap) -> Self {
        let language = headers.get(ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok());
        Self {
            id: request_id::of(headers.get(request_id::X_REQUEST_ID).map(|v| v.as_bytes())),
            language: language.map(Language::from_accept_language).unwrap_or_default(),
            gzip: compress::accepts_gzip(headers),
        }
    }
}

/// Reads the body, and its parameters over those of the query.
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
        Ok(Err(e)) => return Err(e.downcast::<Error>().map_or_else(broken_off, |e| *e)),
        Ok(Ok(collected)) => collected.to_bytes(),
    };
    if bytes.is_empty() {
        return Ok(bytes);
    }
    let mut own = Params::new();
    match media_type(&head.headers)? {
        MediaType::Form => form::read(&bytes, &mut own, &[])?,
        MediaType::Json => json(&bytes, &mut own)?,
    }
    // Where a request goes is said by its URL alone.
    for name in ["f", "a"] {
        own.as_map_mut().remove(name);
    }
    for (name, value) in std::mem::take(own.as_map_mut()) {
        params.as_map_mut().insert(name, value);
    }
    present(params)?;
    Ok(bytes)
}

/// Parameters and body, as far as the action has them read.
#[derive(Default)]
pub struct Input {
    /// Of query and body.
    pub params: Params,
    /// The query, unread.
    pub query: String,
    /// The body, read.
    pub body: Bytes,
    /// The body, unread.
    pub unread: Option<Arc<Unread>>,
}

/// Puts the call together.
pub(super) fn call(
    asked: &RequestContext,
    mut head: Parts,
    (action, subpath): (String, String),
    input: Input,
    remote: IpAddr,
    limit: Duration,
) -> Result<Call> {
    let token = match head.headers.remove(AUTHORIZATION) {
        Some(value) => bearer(&value)?,
        None => None,
    };
    Ok(Call {
        id: asked.id.clone(),
        method: head.method,
        path: head.uri.path().to_owned(),
        subpath,
        query: input.query,
        action,
        language: asked.language,
        remote,
        deadline_unix_ms: (since_epoch() + limit).as_millis() as u64,
        token,
        params: input.params,
        headers: head.headers,
        body: input.body,
        unread: input.unread,
        pause: limit,
    })
}

/// The token of `Authorization: Bearer <token>`; an empty one counts as none.
fn bearer(value: &http::HeaderValue) -> Result<Option<Token>> {
    let wrong = || {
        let text = Text::fixed("Authorization 应为 Bearer <令牌>", "Authorization must be Bearer <token>.");
        Error::new(&codes::SESSION_EXPIRED).with_message(text)
    };
    let text = value.to_str().map_err(|_| wrong())?.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(wrong());
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

fn media_type(headers: &HeaderMap) -> Result<MediaType> {
    let wrong = || Error::new(&codes::UNSUPPORTED_MEDIA_TYPE);
    let text = headers.get(CONTENT_TYPE).ok_or_else(wrong)?.to_str().map_err(|_| wrong())?;
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    for parameter in parts {
        if let Some((name, charset)) = parameter.split_once('=')
            && name.trim().eq_ignore_ascii_case("charset")
            && !charset.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        {
            return Err(wrong());
        }
    }
    match essence {
        e if e.eq_ignore_ascii_case("application/x-www-form-urlencoded") => Ok(MediaType::Form),
        e if e.eq_ignore_ascii_case("application/json") => Ok(MediaType::Json),
        _ => Err(wrong()),
    }
}

fn json(bytes: &[u8], params: &mut Params) -> Result<()> {
    let object = match serde_json::from_slice(bytes) {
        Ok(json_params::Unique(object)) => object,
        Err(e) if e.is_data() => return Err(json_params::refusal(&e)),
        Err(e) => {
            // Line and column, never what stands there.
            let (line, column) = (e.line(), e.column());
            return Err(Error::new(&codes::BAD_BODY).with_message(Text::new(
                format!("请求体不是有效的 JSON（第 {line} 行第 {column} 列）"),
                format!("The body is no valid JSON (line {line}, column {column})."),
            )));
        }
    };
    object.keys().try_for_each(|name| named(name))?;
    *params.as_map_mut() = object;
    Ok(())
}

/// An empty value counts as absent; one with a NUL is refused, as databases and C don't agree on what it is.
fn present(params: &mut Params) -> Result<()> {
    params.as_map_mut().retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    match params.as_map().values().any(|value| value.as_str().is_some_and(|text| text.contains('\0'))) {
        true => Err(bad("有一个参数含有 NUL 字符", "A parameter has a NUL character.")),
        false => Ok(()),
    }
}

fn given(name: &str, value: Option<String>) -> Result<String> {
    match value {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(Error::new(&codes::MISSING_PARAMETER)
            .with_message(Text::new(format!("缺少参数 {name}"), format!("The parameter {name} is missing.")))),
    }
}

fn bad(zh: &'static str, en: &'static str) -> Error {
    Error::new(&codes::BAD_PARAMETER).with_message(Text::fixed(zh, en))
}

/// Says what is wrong with a parameter's name, if anything is. Characters are counted, as JSON Schema does.
fn named(name: &str) -> Result<()> {
    match name.is_empty() {
        true => Err(bad("有一个参数没有名称", "A parameter has no name.")),
        false if name.chars().nth(MAX_NAME).is_none() => Ok(()),
        false => Err(bad(
            "有一个参数的名称过长（至多 64 个字符）",
            "A parameter's name is too long (64 characters at most).",
        )),
    }
}

fn too_large(limit: usize) -> Error {
    Error::new(&codes::BODY_TOO_LARGE).with_message(Text::new(
        format!("请求体过大，至多 {limit} 字节"),
        format!("The body is too large: {limit} bytes at most."),
    ))
}
