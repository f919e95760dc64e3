//! Hop-by-hop headers, which are not forwarded (RFC 9110, 7.6.1).

use http::{
    HeaderMap, HeaderName,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
        TRANSFER_ENCODING, UPGRADE,
    },
};

/// Headers that are hop-by-hop whether or not `Connection` names them.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Removes the hop-by-hop headers, including those that `Connection` names.
pub(super) fn end_to_end(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Removes the request headers that are not forwarded: framing and host are set again for the server, and the gateway has
/// already answered `Expect`.
pub(super) fn strip_request(headers: &mut HeaderMap) {
    end_to_end(headers);
    for name in [CONTENT_LENGTH, EXPECT, HOST] {
        headers.remove(name);
    }
}

/// Removes the response headers that are not forwarded. The length stays, unless `Transfer-Encoding` invalidates it
/// (RFC 9112, 6.3).
pub(super) fn strip_response(headers: &mut HeaderMap) {
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    end_to_end(headers);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn header_map(headers: &[(&'static str, &'static str)]) -> HeaderMap {
        headers.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn headers_that_connection_names_are_removed_in_any_spelling() {
        let mut headers = header_map(&[
            ("connection", "close, X-One"),
            ("x-one", "1"),
            ("x-two", "2"),
            ("te", "trailers"),
            ("x-three", "3"),
        ]);
        headers.append(CONNECTION, HeaderValue::from_static(",x-TWO ,, bad name"));
        end_to_end(&mut headers);
        assert_eq!(headers, header_map(&[("x-three", "3")]));
    }

    #[test]
    fn a_length_beside_a_transfer_encoding_is_removed() {
        let mut response = header_map(&[("transfer-encoding", "chunked"), ("content-length", "5")]);
        strip_response(&mut response);
        assert!(response.is_empty());
        let mut response = header_map(&[("content-length", "5")]);
        strip_response(&mut response);
        assert_eq!(response, header_map(&[("content-length", "5")]));
    }
}
