//! An authenticated request to the API, and access to its parts.

use crate::{caller::Caller, path_params::PathParams, state::AdminState, tenants::Precondition};
use axum::{
    body::Bytes,
    extract::{Query, rejection::QueryRejection},
    http::{
        HeaderMap, Uri,
        header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH},
    },
};
use menlou_call::Token;
use menlou_config::tenant::TenantName;
use menlou_error::text::Text;
use menlou_error::{Error, Result, admin_codes, codes};
use menlou_tenant::Revision;
use secrecy::zeroize::Zeroizing;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::sync::Arc;

/// An authenticated request.
pub struct ApiRequest {
    /// The state of the admin operations.
    pub state: Arc<AdminState>,
    /// The owner of the token.
    pub caller: Caller,
    /// The parameters of the path.
    pub path: PathParams,
    /// The address, for its query.
    pub uri: Uri,
    /// The headers, for preconditions.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The kind of request body that a route requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// No body.
    Nothing,
    /// A tenant file.
    Toml,
    /// A JSON object.
    Json,
}

impl ApiRequest {
    /// The tenant in the path.
    pub fn tenant(&self) -> Result<TenantName> {
        TenantName::parse(self.path.get("tenant")).map_err(|_| Error::new(&codes::UNKNOWN_TENANT))
    }

    /// The user in the path.
    pub fn user(&self) -> Result<i64> {
        self.path.get("user").parse().map_err(|_| Error::new(&admin_codes::UNKNOWN_USER))
    }

    /// The query. Unknown parameters are an error.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T> {
        let error = |e: QueryRejection| bad_parameter("查询参数有误", "invalid query", e.body_text());
        Ok(Query::try_from_uri(&self.uri).map_err(error)?.0)
    }

    /// The body as a JSON object.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        // Parsed as an object first: serde would accept an array for a struct, but the schema does not.
        let object: std::result::Result<Map<String, Value>, _> = serde_json::from_slice(&self.body);
        let parsed = object.and_then(|object| serde_json::from_value(Value::Object(object)));
        parsed.map_err(|e| bad_parameter("请求体有误", "invalid request body", e.to_string()))
    }

    /// The body as text.
    pub fn text(&self) -> Result<Zeroizing<String>> {
        let text = std::str::from_utf8(&self.body);
        text.map(|text| Zeroizing::new(text.to_owned()))
            .map_err(|e| bad_parameter("请求体不是 UTF-8", "the request body is not UTF-8", e.to_string()))
    }

    /// The precondition of a change to a tenant.
    pub fn precondition(&self) -> Result<Precondition> {
        if self.header(&IF_NONE_MATCH) == Some("*") {
            return Ok(Precondition::NotExists);
        }
        Ok(match self.version()? {
            Some(version) => Precondition::Matches(Revision::from_tag(version)),
            None => Precondition::Any,
        })
    }

    /// The version that a change to a user requires; `None` means any. A malformed version matches no user.
    pub fn user_version(&self) -> Result<Option<i64>> {
        Ok(self.version()?.map(|version| version.parse().unwrap_or(-1)))
    }

    fn version(&self) -> Result<Option<&str>> {
        match self.header(&IF_MATCH).map(str::trim) {
            None => Err(Error::new(&admin_codes::PRECONDITION_REQUIRED)),
            Some("*") => Ok(None),
            // It never matches (RFC 9110, section 13.1.1), but not because of a change.
            Some(tag) if tag.starts_with("W/") => Err(Error::new(&admin_codes::WEAK_ETAG)),
            Some(tag) => {
                let version = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
                version.filter(|version| !version.contains('"')).map(Some).ok_or_else(|| {
                    let text = Text::fixed(
                        "If-Match 应为一个带引号的 ETag，如 \"3f2a\"，或 *",
                        "If-Match must be one ETag in quotes, such as \"3f2a\", or *.",
                    );
                    Error::new(&codes::BAD_PARAMETER).with_message(text)
                })
            }
        }
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl BodyKind {
    /// The media type.
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Toml => Some("application/toml"),
            Self::Json => Some("application/json"),
        }
    }

    /// Checks that a request has this kind of body.
    pub fn check(self, headers: &HeaderMap, body: &Bytes) -> Result<()> {
        let Some(expected) = self.media_type() else {
            let text = Text::fixed("此请求不带请求体", "this request must not have a body");
            return if body.is_empty() { Ok(()) } else { Err(Error::new(&codes::BAD_BODY).with_message(text)) };
        };
        let coding = headers.get(CONTENT_ENCODING).map(|coding| coding.as_bytes().trim_ascii());
        if coding.is_some_and(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity")) {
            let text = Text::fixed(
                "请求体不能压缩，请去掉 Content-Encoding",
                "The body must not be compressed. Send it without Content-Encoding.",
            );
            return Err(Error::new(&codes::UNSUPPORTED_MEDIA_TYPE).with_message(text));
        }
        let actual = headers.get(CONTENT_TYPE).and_then(|header| header.to_str().ok()).unwrap_or_default();
        if actual.split(';').next().is_some_and(|actual| actual.trim().eq_ignore_ascii_case(expected)) {
            return Ok(());
        }
        let text = Text::new(format!("请使用 Content-Type: {expected}"), format!("Use Content-Type: {expected}."));
        Err(Error::new(&codes::UNSUPPORTED_MEDIA_TYPE).with_message(text))
    }
}

/// The bearer token of a request.
pub fn bearer_token(headers: &HeaderMap) -> Option<Token> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Token::new(token.trim()))
}

/// The parser's message may repeat what was sent. It is returned only to the client that sent it.
fn bad_parameter(zh: &str, en: &str, reason: String) -> Error {
    Error::new(&codes::BAD_PARAMETER).with_message(Text::new(format!("{zh}：{reason}"), format!("{en}: {reason}")))
}
