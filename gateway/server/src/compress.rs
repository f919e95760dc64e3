//! gzip for responses, where the client accepts it and it makes them smaller.
//!
//! Only the data of actions is compressed. Files and streams are sent unchanged. A response that may hold a session token
//! is not compressed: it also repeats the caller's input, so that its length would reveal the token (BREACH).

use crate::response_body::ResponseBody;
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, HeaderValue, Response,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY},
};
use hyper::body::{Body, Bytes};
use std::io::Write;
use tokio::task::spawn_blocking;

/// Minimum size of a body that is compressed, in bytes. Smaller ones fit into one packet anyway.
const MIN_SIZE: u64 = 1024;
/// Maximum size of a body that is compressed on the worker thread, in bytes. Larger ones take some hundred microseconds and
/// are compressed on a blocking thread.
const MAX_INLINE_SIZE: usize = 32 * 1024;

/// Whether the client accepts gzip (RFC 9110, 12.5.3).
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = false;
    for coding in headers.get_all(ACCEPT_ENCODING).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')) {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse::<f32>().is_ok_and(|q| q <= 0.0));
        match name.trim() {
            gzip if gzip.eq_ignore_ascii_case("gzip") || gzip.eq_ignore_ascii_case("x-gzip") => return !refused,
            "*" => any = !refused,
            _ => {}
        }
    }
    any
}

/// Compresses a response if that makes it smaller and the client accepts it. Adds `Vary` in any case.
pub async fn compress_response(mut response: Response<ResponseBody>, accepts_gzip: bool) -> Response<ResponseBody> {
    if response.body().size_hint().exact().is_none_or(|length| length < MIN_SIZE) {
        return response;
    }
    response.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if !accepts_gzip {
        return response;
    }
    let (mut head, body) = response.into_parts();
    let plain = body.into_bytes();
    let compressed = match plain.len() {
        ..=MAX_INLINE_SIZE => gzip(&plain),
        _ => {
            let plain = plain.clone();
            spawn_blocking(move || gzip(&plain)).await.ok().flatten()
        }
    };
    let body = match compressed.filter(|compressed| compressed.len() < plain.len()) {
        Some(compressed) => {
            head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            compressed
        }
        None => plain,
    };
    Response::from_parts(head, body.into())
}

fn gzip(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 2), Compression::fast());
    // Writing to a Vec cannot fail.
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::read::GzDecoder;
    use std::io::Read;

    fn accepts(values: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        accepts_gzip(&headers)
    }

    #[test]
    fn accept_encoding_decides_whether_gzip_is_used() {
        for yes in
            [&["gzip"][..], &["br, GZIP;q=0.1"], &["*"], &["br", "gzip"], &["x-gzip"], &["identity;q=0, *;q=0.5"]]
        {
            assert!(accepts(yes), "{yes:?}");
        }
        for no in [&[][..], &[""], &["br"], &["gzip;q=0"], &["gzip; q=0.000, *"], &["*;q=0"], &["gzipped"]] {
            assert!(!accepts(no), "{no:?}");
        }
    }

    fn decompressed(compressed: &[u8]) -> Vec<u8> {
        let mut plain = Vec::new();
        GzDecoder::new(compressed).read_to_end(&mut plain).unwrap();
        plain
    }

    #[tokio::test]
    async fn large_bodies_are_compressed_and_decompress_to_the_original() {
        let mut noise = vec![0; 4096];
        aws_lc_rs::rand::fill(&mut noise).unwrap();
        let text = |length: usize| -> Vec<u8> { "{\"多\":12345}".bytes().cycle().take(length).collect() };
        for (accepts_gzip, plain, is_compressed) in [
            (true, text(1023), false),
            (true, text(1024), true),
            (true, text(1_000_000), true),
            (false, text(1024), false),
            (true, noise, false),
        ] {
            let response = Response::new(ResponseBody::from(Bytes::from(plain.clone())));
            let response = compress_response(response, accepts_gzip).await;
            let says_gzip = response.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
            let varies = response.headers().contains_key(VARY);
            assert_eq!((says_gzip, varies), (is_compressed, plain.len() >= 1024), "{}", plain.len());
            let sent = response.into_body().into_bytes();
            let read = if is_compressed { decompressed(&sent) } else { sent.to_vec() };
            assert!(read == plain && (sent.len() < plain.len()) == is_compressed);
        }
    }
}
