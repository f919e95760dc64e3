//! Why the guard rejects input or closes a connection, and the response that a rejected request gets.

/// Why the input of a connection was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A request head is malformed, or could be read in two ways.
    MalformedHead,
    /// The connection begins with a protocol other than HTTP. It is closed without a response.
    NotHttp,
    /// A request head exceeds [`GuardConfig::max_head_bytes`](crate::GuardConfig::max_head_bytes).
    HeadTooLong {
        /// The request line alone exceeds the maximum.
        in_request_line: bool,
    },
    /// A request head was incomplete after [`GuardConfig::head_timeout`](crate::GuardConfig::head_timeout).
    HeadTimeout,
    /// A chunk or trailer is malformed. The body ends with an error.
    MalformedBody,
}

/// Why the guard closed a connection whose input was well-formed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// No byte was received within [`GuardConfig::first_byte_timeout`](crate::GuardConfig::first_byte_timeout).
    FirstByteTimeout,
    /// No byte of a further request was received within [`GuardConfig::keep_alive_timeout`](crate::GuardConfig::keep_alive_timeout).
    KeepAliveTimeout,
    /// The client did not read a response fast enough.
    SlowReader,
    /// The client sent too many HTTP/2 control frames.
    ControlFrameFlood,
}

/// Kind of a response to a request that hyper rejected before any service was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// 400: the head is malformed.
    BadRequest,
    /// 408: the head was not complete in time.
    RequestTimeout,
    /// 414: the request target is too long.
    UriTooLong,
    /// 431: the head is too long, or has too many fields.
    HeadersTooLarge,
}

impl Violation {
    /// Stable name for logs and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::MalformedHead => "malformed_head",
            Self::NotHttp => "not_http",
            Self::HeadTooLong { .. } => "head_too_long",
            Self::HeadTimeout => "head_timeout",
            Self::MalformedBody => "malformed_body",
        }
    }
}

impl CloseReason {
    /// Stable name for logs and metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstByteTimeout => "silent",
            Self::KeepAliveTimeout => "idle",
            Self::SlowReader => "slow_reader",
            Self::ControlFrameFlood => "flood",
        }
    }
}

impl Rejection {
    /// A complete HTTP/1 response without a body that closes the connection.
    pub fn empty_response(self) -> &'static [u8] {
        match self {
            Self::BadRequest => b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            Self::RequestTimeout => b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            Self::UriTooLong => b"HTTP/1.1 414 URI Too Long\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
            Self::HeadersTooLarge => {
                b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            }
        }
    }

    /// Recognises a response that hyper wrote by itself, from the bytes of one write: hyper answers a rejected head
    /// with a bare `HTTP/1.1 4xx` of length 0. A service may write such a response too: the caller must know whether
    /// a service was called.
    pub(crate) fn from_written(written: &[u8]) -> Option<Self> {
        let status = written.strip_prefix(b"HTTP/1.1 4")?;
        let head = written.get(..written.len().min(512))?;
        if !head.windows(19).any(|w| w.eq_ignore_ascii_case(b"content-length: 0\r\n")) {
            return None;
        }
        match status.get(..2)? {
            b"14" => Some(Self::UriTooLong),
            b"31" => Some(Self::HeadersTooLarge),
            _ => Some(Self::BadRequest),
        }
    }
}
