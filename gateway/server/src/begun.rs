//! A connection whose first bytes have been looked at, to tell what it speaks.

use super::{
    preamble::{MOST as MOST_PREAMBLE, Preamble},
    wire::Reset,
};
use std::{
    future::poll_fn,
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What a client that speaks HTTP/2 begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection; its first bytes are read again.
pub struct Begun<T> {
    first: Vec<u8>,
    io: T,
}

impl<T: AsyncRead + Unpin> Begun<T> {
    /// Nothing has been read yet.
    pub fn new(io: T) -> Self {
        Self { first: Vec::new(), io }
    }

    /// Whether anything has come.
    pub fn is_begun(&self) -> bool {
        !self.first.is_empty()
    }

    /// Reads what a proxy says before the client's own bytes: who the client is, where it says so.
    ///
    /// # Errors
    /// Where the connection breaks, or begins otherwise.
    pub async fn preamble(&mut self) -> io::Result<Option<IpAddr>> {
        loop {
            match Preamble::of(&self.first) {
                Preamble::Whole(length, client) => {
                    self.first.drain(..length);
                    return Ok(client);
                }
                Preamble::More if self.first.len() < MOST_PREAMBLE && self.read().await? > 0 => {}
                Preamble::More | Preamble::Wrong => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// Reads until it is clear whether the client speaks HTTP/2. Where the connection ends before, it doesn't.
    ///
    /// # Errors
    /// Where the connection breaks.
    pub async fn speaks_http2(&mut self) -> io::Result<bool> {
        loop {
            let common = self.first.iter().zip(PREFACE).take_while(|(a, b)| a == b).count();
            if common == PREFACE.len() || common < self.first.len() {
                return Ok(common == PREFACE.len());
            }
            if self.read().await? == 0 {
                return Ok(false);
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            // As much as most requests have: what was read is copied once.
            let mut bytes = [0; 2048];
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            self.first.extend_from_slice(buf.filled());
            Poll::Ready(Ok(buf.filled().len()))
        })
        .await
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Begun<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let now = self.first.len().min(buf.remaining());
        buf.put_slice(self.first.get(..now).unwrap_or_default());
        self.first.drain(..now);
        if self.first.is_empty() {
            self.first = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Begun<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl<T: Reset> Reset for Begun<T> {
    fn reset(&self) {
        self.io.reset();
    }
}
