//! A connection whose first bytes are read ahead, to find out which protocol its client speaks.

use crate::{
    proxy_protocol::{MAX_HEADER_BYTES, ProxyHeader},
    reset::Reset,
};
use std::{
    future::poll_fn,
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection preface of HTTP/2 (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection together with the bytes that were read ahead. Reading from it returns those bytes first.
pub struct PeekedStream<T> {
    peeked: Vec<u8>,
    io: T,
}

impl<T: AsyncRead + Unpin> PeekedStream<T> {
    /// Wraps a connection of which nothing has been read.
    pub fn new(io: T) -> Self {
        Self { peeked: Vec::new(), io }
    }

    /// Whether bytes were read ahead that have not been returned.
    pub fn has_peeked(&self) -> bool {
        !self.peeked.is_empty()
    }

    /// Reads the header of the PROXY protocol and removes it. Returns the client's address, if the header has one.
    ///
    /// There is no deadline: put a timeout around the call.
    ///
    /// # Errors
    /// Reading fails, or the connection does not begin with a valid header ([`io::ErrorKind::InvalidData`]).
    pub async fn read_proxy_header(&mut self) -> io::Result<Option<IpAddr>> {
        loop {
            match ProxyHeader::parse(&self.peeked) {
                ProxyHeader::Complete { length, client } => {
                    self.peeked.drain(..length);
                    return Ok(client);
                }
                ProxyHeader::Incomplete if self.peeked.len() < MAX_HEADER_BYTES && self.read().await? > 0 => {}
                ProxyHeader::Incomplete | ProxyHeader::Invalid => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    /// Reads ahead until it is clear whether the connection begins with the preface of HTTP/2. A connection that ends
    /// before does not.
    ///
    /// There is no deadline: put a timeout around the call.
    ///
    /// # Errors
    /// Reading fails.
    pub async fn is_http2(&mut self) -> io::Result<bool> {
        loop {
            let common = self.peeked.iter().zip(HTTP2_PREFACE).take_while(|(a, b)| a == b).count();
            if common == HTTP2_PREFACE.len() || common < self.peeked.len() {
                return Ok(common == HTTP2_PREFACE.len());
            }
            if self.read().await? == 0 {
                return Ok(false);
            }
        }
    }

    async fn read(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            // Most requests are shorter, so they are copied once.
            let mut bytes = [0; 2048];
            let mut buf = ReadBuf::new(&mut bytes);
            ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
            self.peeked.extend_from_slice(buf.filled());
            Poll::Ready(Ok(buf.filled().len()))
        })
        .await
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for PeekedStream<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.peeked.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let now = self.peeked.len().min(buf.remaining());
        buf.put_slice(self.peeked.get(..now).unwrap_or_default());
        self.peeked.drain(..now);
        if self.peeked.is_empty() {
            self.peeked = Vec::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for PeekedStream<T> {
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

impl<T: Reset> Reset for PeekedStream<T> {
    fn reset(&self) {
        self.io.reset();
    }
}
