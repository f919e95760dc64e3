//! Decompresses responses of servers that compress although the gateway does not ask for it.

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;
use http::{HeaderMap, header::CONTENT_ENCODING};
use std::io::Read;

/// Maximum number of codings of one body.
const MAX_CODINGS: usize = 2;

/// The body without its content codings.
///
/// # Errors
/// Why it cannot be decoded: another coding than gzip, malformed data, or more than `max` bytes.
pub(crate) fn decompress(mut body: Bytes, headers: &HeaderMap, max: usize) -> Result<Bytes, String> {
    let codings = headers.get_all(CONTENT_ENCODING).iter().flat_map(|value| value.as_bytes().split(|b| *b == b','));
    let codings = codings.map(<[u8]>::trim_ascii).filter(|c| !c.is_empty() && !c.eq_ignore_ascii_case(b"identity"));
    let codings: Vec<&[u8]> = codings.collect();
    if codings.len() > MAX_CODINGS {
        return Err("the response has too many content codings".to_owned());
    }
    for coding in codings.into_iter().rev() {
        if !coding.eq_ignore_ascii_case(b"gzip") && !coding.eq_ignore_ascii_case(b"x-gzip") {
            return Err("the response has a content coding other than gzip".to_owned());
        }
        let mut decoded = Vec::new();
        let mut decoder = MultiGzDecoder::new(&body[..]).take(max as u64 + 1);
        decoder.read_to_end(&mut decoded).map_err(|_| "the response is not valid gzip".to_owned())?;
        if decoded.len() > max {
            return Err(format!("the response is larger than {max} bytes"));
        }
        body = decoded.into();
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use http::HeaderValue;
    use std::io::Write;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn decoded(body: Vec<u8>, coding: &'static str) -> Result<Bytes, String> {
        let headers = HeaderMap::from_iter([(CONTENT_ENCODING, HeaderValue::from_static(coding))]);
        decompress(body.into(), &headers, 1000)
    }

    #[test]
    fn gzip_is_decoded() {
        assert_eq!(decoded(gzip(b"{}"), "gzip").as_deref(), Ok(&b"{}"[..]));
        assert_eq!(decoded(gzip(&gzip(b"{}")), "x-gzip, GZIP").as_deref(), Ok(&b"{}"[..]));
        assert_eq!(decoded(b"{}".to_vec(), "identity").as_deref(), Ok(&b"{}"[..]));
    }

    #[test]
    fn bombs_other_codings_and_malformed_data_are_errors() {
        assert!(decoded(gzip(&[0; 1000]), "gzip").is_ok());
        assert!(decoded(gzip(&[0; 1_000_000]), "gzip").is_err());
        assert!(decoded(b"{}".to_vec(), "gzip").is_err());
        assert!(decoded(b"{}".to_vec(), "br").is_err());
        assert!(decoded(gzip(&gzip(&gzip(b"{}"))), "gzip, gzip, gzip").is_err());
    }
}
