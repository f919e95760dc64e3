//! Where each request of an HTTP/1 connection begins and ends, derived from its bytes in pieces of any size.
//!
//! What passes is unambiguous: any server that follows RFC 9112 finds the same requests in it.

use crate::{
    request_head::{self, BodyLength},
    violation::Violation,
};
use memchr::memchr;

/// Maximum size of the extensions of a chunk, in bytes.
const MAX_CHUNK_EXTENSIONS: usize = 256;
/// Maximum number of hexadecimal digits of a chunk's size: those of 64 bits.
const MAX_SIZE_DIGITS: usize = 16;

/// The first violation in a piece of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FramingError {
    /// Number of bytes of the piece that come before the violation and may pass.
    pub valid_bytes: usize,
    /// What is wrong behind them.
    pub violation: Violation,
}

/// Position of a connection within its requests.
///
/// Feed it everything that is received with [`check`](Self::check), in order.
#[derive(Debug)]
pub struct Framing {
    position: Position,
    /// The incomplete head or trailer section that has been received so far.
    section: Vec<u8>,
    /// The last line of the section so far.
    line: Line,
    /// Whether the section has a line that is not empty, so that an empty line ends it.
    has_lines: bool,
    heads: u64,
    max_head_bytes: usize,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    Empty,
    Cr,
    NotEmpty,
}

#[derive(Clone, Copy, Debug)]
enum Position {
    Head,
    /// Bytes of a body, or of one of its chunks.
    Data {
        left: u64,
        is_chunk: bool,
    },
    ChunkSize {
        size: u64,
        digits: usize,
    },
    /// Behind a chunk's size. Extensions have no meaning here, but are bounded.
    ChunkExtensions {
        size: u64,
        length: usize,
    },
    ChunkSizeLf {
        size: u64,
    },
    ChunkDataCr,
    ChunkDataLf,
    Trailer,
}

impl Framing {
    /// At the first head of a connection. Heads and trailer sections have at most `max_head_bytes` bytes.
    pub fn new(max_head_bytes: usize) -> Self {
        Self {
            position: Position::Head,
            section: Vec::new(),
            line: Line::Empty,
            has_lines: false,
            heads: 0,
            max_head_bytes,
        }
    }

    /// Whether the first bytes of a head were received, but not all of it.
    pub fn is_in_head(&self) -> bool {
        matches!(self.position, Position::Head) && !self.section.is_empty()
    }

    /// Number of complete heads.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether the last request is complete and no byte of a further one was received.
    pub fn is_between_requests(&self) -> bool {
        matches!(self.position, Position::Head) && self.section.is_empty()
    }

    /// Checks the next bytes of the connection.
    ///
    /// # Errors
    /// The first violation. The framing of what follows is unknown: nothing may be checked or read after it.
    pub fn check(&mut self, bytes: &[u8]) -> Result<(), FramingError> {
        let mut checked = 0;
        while let Some(rest) = bytes.get(checked..).filter(|rest| !rest.is_empty()) {
            let step = match self.position {
                Position::Head => self.head(rest),
                Position::Trailer => self.trailer(rest),
                Position::Data { left, is_chunk } => {
                    let step = left.min(rest.len() as u64);
                    self.move_to(match (left - step, is_chunk) {
                        (0, true) => Position::ChunkDataCr,
                        (0, false) => Position::Head,
                        (left, _) => Position::Data { left, is_chunk },
                    });
                    Ok(step as usize)
                }
                position => position.after(rest[0]).map(|next| {
                    self.move_to(next);
                    1
                }),
            };
            checked += step.map_err(|violation| FramingError { valid_bytes: checked, violation })?;
        }
        Ok(())
    }

    fn head(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        let (step, is_complete) = self.find_section_end(rest);
        // A head that is received in one piece is not copied.
        let in_place = self.section.is_empty() && is_complete;
        if !in_place {
            self.section.extend_from_slice(rest.get(..step).unwrap_or_default());
        }
        let head = if in_place { rest.get(..step).unwrap_or_default() } else { &self.section[..] };
        if head.len() > self.max_head_bytes {
            return Err(Violation::HeadTooLong { in_request_line: !head.contains(&b'\n') });
        }
        if is_complete {
            // Some clients send an empty line behind a body.
            let head = head.strip_prefix(b"\r\n").unwrap_or(head);
            let body = request_head::body_length(head).ok_or_else(|| match self.heads {
                0 if request_head::is_foreign(head) => Violation::NotHttp,
                _ => Violation::MalformedHead,
            })?;
            self.heads += 1;
            self.move_to(match body {
                BodyLength::None | BodyLength::Fixed(0) => Position::Head,
                BodyLength::Fixed(left) => Position::Data { left, is_chunk: false },
                BodyLength::Chunked => Position::CHUNK,
            });
        }
        Ok(step)
    }

    fn trailer(&mut self, rest: &[u8]) -> Result<usize, Violation> {
        let (step, is_complete) = self.find_section_end(rest);
        self.section.extend_from_slice(rest.get(..step).unwrap_or_default());
        if self.section.len() > self.max_head_bytes {
            return Err(Violation::MalformedBody);
        }
        if is_complete {
            if !request_head::is_valid_trailer(&self.section) {
                return Err(Violation::MalformedBody);
            }
            self.move_to(Position::Head);
        }
        Ok(step)
    }

    /// Number of bytes of `rest` that belong to the current section, and whether they complete it. A section ends with
    /// its first empty line, even if a bare LF ends that line, since hyper takes that for the end too.
    fn find_section_end(&mut self, rest: &[u8]) -> (usize, bool) {
        let mut step = 0;
        while let Some(left) = rest.get(step..).filter(|left| !left.is_empty()) {
            let piece = left.get(..memchr(b'\n', left).map_or(left.len(), |lf| lf + 1)).unwrap_or(left);
            step += piece.len();
            self.line = match (self.line, piece) {
                (Line::Empty, b"\r") => Line::Cr,
                (Line::Empty, b"\n" | b"\r\n") | (Line::Cr, b"\n") => {
                    // Empty lines before a head do not end it.
                    if self.has_lines {
                        return (step, true);
                    }
                    Line::Empty
                }
                (_, [.., b'\n']) => {
                    self.has_lines = true;
                    Line::Empty
                }
                _ => Line::NotEmpty,
            };
        }
        (step, false)
    }

    fn move_to(&mut self, position: Position) {
        self.section.clear();
        self.position = position;
        self.line = Line::Empty;
        // An empty line ends a trailer section even if it is the first line.
        self.has_lines = matches!(position, Position::Trailer);
    }
}

impl Position {
    /// Before the size of a chunk.
    const CHUNK: Self = Self::ChunkSize { size: 0, digits: 0 };

    /// The position after one byte of what surrounds the data of a chunk.
    fn after(self, byte: u8) -> Result<Self, Violation> {
        Ok(match (self, byte) {
            (Self::ChunkSize { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < MAX_SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Self::ChunkSize { size: size << 4 | digit, digits: digits + 1 }
            }
            (Self::ChunkSize { size, digits: 1.. } | Self::ChunkExtensions { size, .. }, b'\r') => {
                Self::ChunkSizeLf { size }
            }
            (Self::ChunkSize { size, digits: 1.. }, b';') => Self::ChunkExtensions { size, length: 0 },
            (Self::ChunkExtensions { size, length }, b'\t' | 0x20..=0x7e) if length < MAX_CHUNK_EXTENSIONS => {
                Self::ChunkExtensions { size, length: length + 1 }
            }
            (Self::ChunkSizeLf { size: 0 }, b'\n') => Self::Trailer,
            (Self::ChunkSizeLf { size }, b'\n') => Self::Data { left: size, is_chunk: true },
            (Self::ChunkDataCr, b'\r') => Self::ChunkDataLf,
            (Self::ChunkDataLf, b'\n') => Self::CHUNK,
            _ => return Err(Violation::MalformedBody),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 256;

    /// Checks `bytes` in pieces of `sizes`, repeated. Returns the number of valid bytes, the violation, and whether the
    /// last request is complete.
    fn check(bytes: &[u8], sizes: &[usize]) -> (usize, Option<Violation>, bool) {
        let (mut framing, mut checked, mut sizes) = (Framing::new(MAX), 0, sizes.iter().cycle());
        while checked < bytes.len() {
            let end = bytes.len().min(checked + sizes.next().unwrap());
            match framing.check(&bytes[checked..end]) {
                Ok(()) => checked = end,
                Err(error) => return (checked + error.valid_bytes, Some(error.violation), false),
            }
        }
        (checked, None, framing.is_between_requests())
    }

    fn request() -> impl Strategy<Value = Vec<u8>> {
        let bodies = prop_oneof![
            Just("\r\n".to_owned()),
            "[ -~]{0,9}".prop_map(|b| format!("Content-Length: {}\r\n\r\n{b}", b.len())),
            ("[ -~]{1,9}", "(;a=b)?", "(X-T: 1\r\n)?").prop_map(|(b, extension, trailer)| {
                let length = b.len();
                format!("Transfer-Encoding: chunked\r\n\r\n{length:x}{extension}\r\n{b}\r\n0\r\n{trailer}\r\n")
            }),
            "(Content-Length|Transfer-Encoding): [0-9 ,chunked]{0,8}\r\n\r\n[ -~\r\n]{0,9}",
        ];
        ("(\r\n)?", bodies, "[\0-\x7f]?").prop_map(|(before, body, noise)| {
            format!("{before}POST / HTTP/1.1\r\nHost: a\r\n{body}{noise}").into_bytes()
        })
    }

    proptest! {
        #[test]
        fn the_result_does_not_depend_on_how_the_bytes_are_cut(
            requests in prop::collection::vec(request(), 1..4),
            sizes in prop::collection::vec(1_usize..40, 1..5),
        ) {
            let bytes = requests.concat();
            let one_piece = check(&bytes, &[bytes.len()]);
            let (single_bytes, pieces) = (check(&bytes, &[1]), check(&bytes, &sizes));
            // A violation is found at the latest when its section is complete. Smaller pieces let more of that section
            // pass before.
            prop_assert_eq!((one_piece.1, one_piece.2), (single_bytes.1, single_bytes.2));
            prop_assert_eq!((one_piece.1, one_piece.2), (pieces.1, pieces.2));
            prop_assert!(one_piece.0 <= pieces.0 && pieces.0 <= single_bytes.0);
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            check(&bytes, &[7]);
        }
    }

    #[test]
    fn well_formed_requests_pass_and_end_where_their_head_says() {
        for requests in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
            "POST / HTTP/1.1\r\nhOST:a\t\r\nContent-Length: 3\r\n\r\nabc\r\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n03;a=\"b\"\r\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET HTTP://A:80/x HTTP/1.1\r\nHost: a:80\r\n\r\n",
        ] {
            assert_eq!(check(requests.as_bytes(), &[999]), (requests.len(), None, true), "{requests:?}");
        }
    }
}
