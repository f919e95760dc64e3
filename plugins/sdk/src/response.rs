//! The response of an action: data, or a file instead.

use crate::ResponseSent;
use schemars::JsonSchema;
use serde::Serialize;

/// Data or a file, for actions that may send a file such as a picture. Other actions return their data directly.
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
    /// A file, which is sent without an envelope. Errors are still sent in an envelope.
    File {
        /// Media type: `image/jpeg`.
        content_type: String,
        /// Bytes, at most 16 MiB.
        body: Vec<u8>,
    },
    /// The response was sent already: the call was forwarded, or the action wrote the response itself.
    Sent(ResponseSent),
}

/// The types that an action may return: any type with serde's `Serialize` and a JSON Schema, a [`Response`], or
/// [`ResponseSent`]. It is implemented for all of them.
pub trait IntoResponse {
    #[doc(hidden)]
    type Data: Serialize + JsonSchema;
    /// Whether the response may be a file.
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
