//! What hyper refuses by itself, before a request reaches us, is answered with the envelope too.
//!
//! hyper answers a malformed head with a bare `HTTP/1.1 4xx` of no length, and closes. Our own answers always have a
//! body, so such a write is told by its length.

use super::{decode::Asked, encode, request_id};
use crate::{
    error::{Error, Word, words},
    text::Language,
};
use hyper::rt::{Read, ReadBufCursor, Write};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A connection whose refusals have a body.
pub struct Enveloped<T> {
    io: T,
    /// The answer that goes out in place of hyper's, and how much of it has gone.
    refusal: Option<(Vec<u8>, usize)>,
}

impl<T> Enveloped<T> {
    /// Wraps a connection.
    pub fn new(io: T) -> Self {
        Self { io, refusal: None }
    }
}

impl<T: Read + Unpin> Read for Enveloped<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> Write for Enveloped<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.refusal.is_none()
            && let Some(word) = refused_with(buf)
        {
            this.refusal = Some((answer(word), 0));
        }
        let Some((bytes, written)) = &mut this.refusal else { return Pin::new(&mut this.io).poll_write(cx, buf) };
        while *written < bytes.len() {
            match ready!(Pin::new(&mut this.io).poll_write(cx, &bytes[*written..]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => *written += n,
            }
        }
        Poll::Ready(Ok(buf.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The word for an answer that hyper made by itself.
fn refused_with(buf: &[u8]) -> Option<&'static Word> {
    let status = buf.strip_prefix(b"HTTP/1.1 4")?;
    let head = buf.get(..buf.len().min(512))?;
    if !head.windows(19).any(|w| w.eq_ignore_ascii_case(b"content-length: 0\r\n")) {
        return None;
    }
    match status.get(..2)? {
        b"14" => Some(&words::URI_TOO_LONG),
        b"31" => Some(&words::HEADERS_TOO_LARGE),
        _ => Some(&words::BAD_REQUEST),
    }
}

fn answer(word: &'static Word) -> Vec<u8> {
    let asked = Asked { id: request_id::of(None), language: Language::default(), gzip: false };
    let (head, body) = encode::error(&Error::new(word), &asked).into_parts();
    let body = body.into_whole();
    let reason = head.status.canonical_reason().unwrap_or_default();
    let mut bytes = format!("HTTP/1.1 {} {reason}\r\nconnection: close\r\n", head.status.as_u16()).into_bytes();
    for (name, value) in head.headers.iter().filter(|(name, _)| *name != http::header::CONNECTION) {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(&body);
    bytes
}
