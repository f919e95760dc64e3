//! A request to the API, and what handlers want to know of it.

use crate::Caller;
use crate::state::AdminState;
use crate::tenants::Precondition;
use axum::{
    body::Bytes,
    extract::Query,
    http::{
        HeaderMap, Uri,
        header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, IF_MATCH, IF_NONE_MATCH},
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
use std::{collections::BTreeMap, sync::Arc};

/// A request of someone who may ask.
pub struct ApiRequest {
    /// What to work on.
    pub state: Arc<AdminState>,
    /// Who asks.
    pub caller: Caller,
    /// The parameters of the path.
    pub path: BTreeMap<String, String>,
    /// For its query.
    pub uri: Uri,
    /// For its conditions.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Bytes,
}

/// What a request brings in its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brings {
    /// Nothing.
    Nothing,
    /// A tenant's file.
    Toml,
    /// JSON.
    Json,
}

impl ApiRequest {
    /// The tenant of the path.
    pub fn tenant(&self) -> Result<TenantName> {
        TenantName::parse(self.part("tenant")).map_err(|_| Error::new(&codes::UNKNOWN_TENANT))
    }

    /// The user of the path.
    pub fn user(&self) -> Result<i64> {
        self.part("user").parse().map_err(|_| Error::new(&admin_codes::UNKNOWN_USER))
    }

    /// A part of the path.
    pub fn part(&self, name: &str) -> &str {
        self.path.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The query, which has nothing in it that is not known.
    pub fn query<T: DeserializeOwned>(&self) -> Result<T> {
        let wrong =
            |e: axum::extract::rejection::QueryRejection| bad("查询参数有误", "the query is wrong", e.body_text());
        Ok(Query::try_from_uri(&self.uri).map_err(wrong)?.0)
    }

    /// The body, a JSON object.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        // A list would do for serde's structs, but not for our schema.
        let object: std::result::Result<Map<String, Value>, _> = serde_json::from_slice(&self.body);
        let read = object.and_then(|object| serde_json::from_value(Value::Object(object)));
        read.map_err(|e| bad("请求体有误", "the body is wrong", e.to_string()))
    }

    /// The body as text.
    pub fn text(&self) -> Result<Zeroizing<String>> {
        let text = std::str::from_utf8(&self.body);
        text.map(|text| Zeroizing::new(text.to_owned()))
            .map_err(|e| bad("请求体不是 UTF-8", "the body is not UTF-8", e.to_string()))
    }

    /// On what a change of a tenant is based.
    pub fn condition(&self) -> Result<Precondition> {
        if self.header(&IF_NONE_MATCH) == Some("*") {
            return Ok(Precondition::NotExists);
        }
        Ok(match self.version()? {
            Some(version) => Precondition::Matches(Revision::told(version)),
            None => Precondition::Any,
        })
    }

    /// On which version of a user a change is based; none for whichever. What is no version of ours equals none.
    pub fn user_version(&self) -> Result<Option<i64>> {
        Ok(self.version()?.map(|version| version.parse().unwrap_or(-1)))
    }

    fn version(&self) -> Result<Option<&str>> {
        match self.header(&IF_MATCH).map(str::trim) {
            None => Err(Error::new(&admin_codes::PRECONDITION_REQUIRED)),
            Some("*") => Ok(None),
            // A weak tag never matches.
            Some(tag) => Ok(Some(tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or("W/"))),
        }
    }

    fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl Brings {
    /// The media type.
    pub fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Toml => Some("application/toml"),
            Self::Json => Some("application/json"),
        }
    }

    /// Whether a request brings that.
    pub fn accepts(self, headers: &HeaderMap, body: &Bytes) -> Result<()> {
        let Some(wanted) = self.media_type() else {
            let text = Text::fixed("此请求不带请求体", "this request has no body");
            return if body.is_empty() { Ok(()) } else { Err(Error::new(&codes::BAD_BODY).with_message(text)) };
        };
        let given = headers.get(CONTENT_TYPE).and_then(|header| header.to_str().ok()).unwrap_or_default();
        if given.split(';').next().is_some_and(|given| given.trim().eq_ignore_ascii_case(wanted)) {
            return Ok(());
        }
        let text = Text::new(format!("请使用 Content-Type: {wanted}"), format!("Send it as Content-Type: {wanted}."));
        Err(Error::new(&codes::UNSUPPORTED_MEDIA_TYPE).with_message(text))
    }
}

/// The token of a request, where it has one.
pub fn token(headers: &HeaderMap) -> Option<Token> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Token::new(token.trim()))
}

/// What a parser said names fields, and may repeat what was sent, to whom who sent it.
fn bad(zh: &str, en: &str, why: String) -> Error {
    Error::new(&codes::BAD_PARAMETER).with_message(Text::new(format!("{zh}：{why}"), format!("{en}: {why}")))
}
