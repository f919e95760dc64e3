//! Envelopes that are worth it go out compressed, to who takes gzip.
//!
//! Only what an action gives as data: files and streams are as they are, and an answer that may hold a session's token
//! stands beside what the caller sent, so that its length must tell nothing of the token (BREACH).

use super::{Answer, decode::RequestContext};
use flate2::{Compression, write::GzEncoder};
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, VARY},
};
use hyper::body::{Body, Bytes};
use std::io::Write;
use tokio::task::spawn_blocking;

/// What is smaller fits into one packet anyway.
const WORTH_IT: u64 = 1024;
/// What is larger takes longer than other calls should wait for, some hundred microseconds.
const AT_ONCE: usize = 32 * 1024;

/// Whether the client takes gzip (RFC 9110, 12.5.3).
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

/// The same answer, smaller where that is worth it.
pub async fn compress_reply(mut answer: Answer, asked: &RequestContext) -> Answer {
    if answer.body().size_hint().exact().is_none_or(|length| length < WORTH_IT) {
        return answer;
    }
    answer.headers_mut().append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if !asked.gzip {
        return answer;
    }
    let (mut head, body) = answer.into_parts();
    let whole = body.into_whole();
    let small = match whole.len() {
        ..=AT_ONCE => gzipped(&whole),
        _ => {
            let whole = whole.clone();
            spawn_blocking(move || gzipped(&whole)).await.ok().flatten()
        }
    };
    let body = match small.filter(|small| small.len() < whole.len()) {
        Some(small) => {
            head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            small
        }
        None => whole,
    };
    Answer::from_parts(head, body.into())
}

fn gzipped(whole: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(whole.len() / 2), Compression::fast());
    // Writing to a Vec can't fail.
    encoder.write_all(whole).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Outgoing;
    use flate2::read::GzDecoder;
    use http::Response;
    use menlou_error::text::Language;
    use std::io::Read;

    fn takes(written: &[&'static str]) -> bool {
        let mut headers = HeaderMap::new();
        for value in written {
            headers.append(ACCEPT_ENCODING, HeaderValue::from_static(value));
        }
        accepts_gzip(&headers)
    }

    #[test]
    fn gzip_is_taken_as_the_client_says() {
        for yes in
            [&["gzip"][..], &["br, GZIP;q=0.1"], &["*"], &["br", "gzip"], &["x-gzip"], &["identity;q=0, *;q=0.5"]]
        {
            assert!(takes(yes), "{yes:?}");
        }
        for no in [&[][..], &[""], &["br"], &["gzip;q=0"], &["gzip; q=0.000, *"], &["*;q=0"], &["gzipped"]] {
            assert!(!takes(no), "{no:?}");
        }
    }

    fn unpacked(small: &[u8]) -> Vec<u8> {
        let mut whole = Vec::new();
        GzDecoder::new(small).read_to_end(&mut whole).unwrap();
        whole
    }

    #[tokio::test]
    async fn what_is_worth_it_is_smaller_and_the_same() {
        let mut noise = vec![0; 4096];
        aws_lc_rs::rand::fill(&mut noise).unwrap();
        let text = |length: usize| -> Vec<u8> { "{\"多\":12345}".bytes().cycle().take(length).collect() };
        for (gzip, whole, shrunk) in [
            (true, text(1023), false),
            (true, text(1024), true),
            (true, text(1_000_000), true),
            (false, text(1024), false),
            (true, noise, false),
        ] {
            let asked = RequestContext { id: "x".into(), language: Language::Zh, gzip };
            let answer = compress_reply(Response::new(Outgoing::from(Bytes::from(whole.clone()))), &asked).await;
            let told = answer.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding == "gzip");
            assert_eq!((told, answer.headers().contains_key(VARY)), (shrunk, whole.len() >= 1024), "{}", whole.len());
            let sent = answer.into_body().into_whole();
            let read = if shrunk { unpacked(&sent) } else { sent.to_vec() };
            assert!(read == whole && (sent.len() < whole.len()) == shrunk);
        }
    }
}
