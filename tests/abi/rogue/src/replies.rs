//! Invalid replies.

use crate::{Data, Params};
use menlou_plugin::{Response, prelude::*};

/// Data that is not an object.
pub async fn no_object(_: &Call, params: Params) -> Result<String> {
    Ok(params.text)
}

/// Data with a text of `n` bytes.
pub async fn large(_: &Call, params: Params) -> Result<Data> {
    Ok(Data { n: params.n, text: " ".repeat(params.n as usize) })
}

/// An invalid error code.
pub async fn bad_error_code(_: &Call, params: Params) -> Result<Data> {
    Err(Error::new(params.text))
}

/// A file with this media type.
pub async fn file(_: &Call, params: Params) -> Result<Response> {
    Ok(Response::File { content_type: params.text, body: Vec::new() })
}
