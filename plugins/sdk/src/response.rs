//! What an action gives: data, or a file in place of it.

use crate::ResponseSent;
use schemars::JsonSchema;
use serde::Serialize;

/// Data, or a file: for actions that may answer with a picture, say. Actions that never do return their data itself.
///
/// ```
/// use menlou_plugin::{Response, prelude::*, testing::Host};
/// use serde_json::json;
///
/// async fn badge(call: &Call, _: ()) -> Result<Response> {
///     match call.find_user(call.openid().unwrap_or_default()).await? {
///         Some(_) => Ok(Response::File { content_type: "image/svg+xml".into(), body: b"<svg/>".to_vec() }),
///         None => Ok(Response::Data(())),
///     }
/// }
///
/// let badge = || Action::new("badge", badge).access(Access::Session).file_types("image/svg+xml");
/// let (host, ann) = (Host::new().caller("o-ann"), User { id: 7, name: "Ann".into(), avatar_url: String::new() });
/// assert_eq!(host.run(badge(), json!({})).file, None);
/// let (content_type, body) = host.bound("o-ann", ann).run(badge(), json!({})).file.unwrap();
/// assert_eq!((content_type.as_str(), &body[..]), ("image/svg+xml", &b"<svg/>"[..]));
/// ```
#[derive(Debug)]
pub enum Response<D = ()> {
    /// The `data` of the envelope.
    Data(D),
    /// A file, which the client gets as it is, without an envelope. Failures keep theirs.
    File {
        /// Its media type: `image/jpeg`.
        content_type: String,
        /// Its bytes, at most 16 MiB.
        body: Vec<u8>,
    },
    /// The call has its answer already: it was forwarded, or the action wrote it.
    Sent(ResponseSent),
}

/// What an action may return: any type with serde's `Serialize` and a JSON Schema, an [`Response`], or [`ResponseSent`]. There is nothing to
/// implement.
pub trait IntoResponse {
    #[doc(hidden)]
    type Data: Serialize + JsonSchema;
    /// Whether it may be a file.
    #[doc(hidden)]
    const FILE: bool = false;
    #[doc(hidden)]
    fn into_response(self) -> Response<Self::Data>;
}

impl<D: Serialize + JsonSchema> IntoResponse for D {
    type Data = D;

    fn into_response(self) -> Response<D> {
        Response::Data(self)
    }
}

impl IntoResponse for ResponseSent {
    type Data = ();
    const FILE: bool = true;

    fn into_response(self) -> Response {
        Response::Sent(self)
    }
}

impl<D: Serialize + JsonSchema> IntoResponse for Response<D> {
    type Data = D;
    const FILE: bool = true;

    fn into_response(self) -> Self {
        self
    }
}
