//! Where each request of an HTTP/1 connection begins and ends, told from the bytes as they pass, piece by piece.
//!
//! What is let pass here is unambiguous, so hyper, which reads the same bytes behind us, can't but agree.

use super::head;

/// The most bytes that may be attached to a chunk's size.
const MAX_ATTACHED: usize = 256;
/// As many digits as a size in 64 bits has.
const MAX_SIZE_DIGITS: usize = 16;

/// What follows a head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// The next head.
    None,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked,
}

/// What is out of order, and how many of the bytes that were looked at come before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Odd {
    /// These may pass.
    pub before: usize,
    /// What it is.
    pub what: What,
}

/// What can be out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A head says something that is wrong, or that can be read in two ways.
    Head,
    /// The connection begins with something that is no HTTP.
    Foreign,
    /// A head is longer than it may be; its first line already, where that has no end.
    LongHead {
        /// Whether it is the first line.
        first_line: bool,
    },
    /// A head has not come in time.
    SlowHead,
    /// A chunk, or the trailer.
    Body,
}

/// A connection's place in its requests.
#[derive(Debug)]
pub struct Framing {
    at: At,
    /// What has come of a head or trailer that is not whole yet.
    begun: Vec<u8>,
    /// Its last line so far.
    line: Line,
    /// Whether an empty line ends it.
    has_lines: bool,
    heads: u64,
    max_head: usize,
}

#[derive(Clone, Copy, Debug)]
enum Line {
    Empty,
    Cr,
    Begun,
}

#[derive(Clone, Copy, Debug)]
enum At {
    Head,
    /// Bytes of a body, or of one of its chunks.
    Data {
        left: u64,
        of_chunk: bool,
    },
    Size {
        size: u64,
        digits: usize,
    },
    /// Behind a chunk's size: what nobody here needs to know.
    Attached {
        size: u64,
        length: usize,
    },
    SizeLf {
        size: u64,
    },
    DataCr,
    DataLf,
    Trailer,
}

impl Framing {
    /// At the first head; none may have more than `max_head` bytes.
    pub fn new(max_head: usize) -> Self {
        Self { at: At::Head, begun: Vec::new(), line: Line::Empty, has_lines: false, heads: 0, max_head }
    }

    /// Whether it stands within a head.
    pub fn is_in_head(&self) -> bool {
        matches!(self.at, At::Head) && !self.begun.is_empty()
    }

    /// How many heads have passed.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Whether it stands between two requests.
    pub fn is_between(&self) -> bool {
        matches!(self.at, At::Head) && self.begun.is_empty()
    }

    /// Looks at the next bytes.
    ///
    /// # Errors
    /// The first thing that is out of order. There is no way on from there.
    pub fn pass(&mut self, bytes: &[u8]) -> Result<(), Odd> {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            let step = match self.at {
                At::Head => self.head(rest),
                At::Trailer => self.trailer(rest),
                At::Data { left, of_chunk } => {
                    let step = left.min(rest.len() as u64);
                    self.go_to(match (left - step, of_chunk) {
                        (0, true) => At::DataCr,
                        (0, false) => At::Head,
                        (left, _) => At::Data { left, of_chunk },
                    });
                    Ok(step as usize)
                }
                at => at.next(rest[0]).map(|next| {
                    self.go_to(next);
                    1
                }),
            };
            passed += step.map_err(|what| Odd { before: passed, what })?;
        }
        Ok(())
    }

    fn head(&mut self, rest: &[u8]) -> Result<usize, What> {
        let (step, whole) = self.gather(rest);
        let in_place = self.begun.is_empty() && whole;
        if !in_place {
            self.begun.extend_from_slice(rest.get(..step).unwrap_or_default());
        }
        let head = if in_place { rest.get(..step).unwrap_or_default() } else { &self.begun[..] };
        if head.len() > self.max_head {
            return Err(What::LongHead { first_line: !head.contains(&b'\n') });
        }
        if whole {
            // Some clients send an empty line behind a body.
            let head = head.strip_prefix(b"\r\n").unwrap_or(head);
            let body = head::check(head).ok_or_else(|| match self.heads {
                0 if head::is_foreign(head) => What::Foreign,
                _ => What::Head,
            })?;
            self.heads += 1;
            self.go_to(match body {
                Body::None | Body::Length(0) => At::Head,
                Body::Length(left) => At::Data { left, of_chunk: false },
                Body::Chunked => At::CHUNK,
            });
        }
        Ok(step)
    }

    fn trailer(&mut self, rest: &[u8]) -> Result<usize, What> {
        let (step, whole) = self.gather(rest);
        self.begun.extend_from_slice(rest.get(..step).unwrap_or_default());
        if self.begun.len() > self.max_head {
            return Err(What::Body);
        }
        if whole {
            if !head::is_trailer(&self.begun) {
                return Err(What::Body);
            }
            self.go_to(At::Head);
        }
        Ok(step)
    }

    /// How many of these bytes still belong to the section that has begun, and whether it is whole with them: it ends
    /// with the first empty line, also where that is written with a bare LF, as hyper has it.
    fn gather(&mut self, rest: &[u8]) -> (usize, bool) {
        let mut step = 0;
        for piece in rest.split_inclusive(|b| *b == b'\n') {
            step += piece.len();
            self.line = match (self.line, piece) {
                (Line::Empty, b"\r") => Line::Cr,
                (Line::Empty, b"\n" | b"\r\n") | (Line::Cr, b"\n") => {
                    // Before a head, empty lines are skipped.
                    if self.has_lines {
                        return (step, true);
                    }
                    Line::Empty
                }
                (_, [.., b'\n']) => {
                    self.has_lines = true;
                    Line::Empty
                }
                _ => Line::Begun,
            };
        }
        (step, false)
    }

    fn go_to(&mut self, at: At) {
        self.begun.clear();
        (self.at, self.line, self.has_lines) = (at, Line::Empty, matches!(at, At::Trailer));
    }
}

impl At {
    /// Before a chunk.
    const CHUNK: Self = Self::Size { size: 0, digits: 0 };

    /// The place behind this byte of what stands around a chunk's data.
    fn next(self, byte: u8) -> Result<Self, What> {
        Ok(match (self, byte) {
            (Self::Size { size, digits }, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') if digits < MAX_SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Self::Size { size: size << 4 | digit, digits: digits + 1 }
            }
            (Self::Size { size, digits: 1.. } | Self::Attached { size, .. }, b'\r') => Self::SizeLf { size },
            (Self::Size { size, digits: 1.. }, b';') => Self::Attached { size, length: 0 },
            (Self::Attached { size, length }, b'\t' | 0x20..=0x7e) if length < MAX_ATTACHED => {
                Self::Attached { size, length: length + 1 }
            }
            (Self::SizeLf { size: 0 }, b'\n') => Self::Trailer,
            (Self::SizeLf { size }, b'\n') => Self::Data { left: size, of_chunk: true },
            (Self::DataCr, b'\r') => Self::DataLf,
            (Self::DataLf, b'\n') => Self::CHUNK,
            _ => return Err(What::Body),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MAX: usize = 256;

    /// What comes of these bytes, given in pieces of these sizes, over and over.
    fn of(bytes: &[u8], sizes: &[usize]) -> (usize, Option<What>, bool) {
        let (mut framing, mut passed, mut sizes) = (Framing::new(MAX), 0, sizes.iter().cycle());
        while passed < bytes.len() {
            let end = bytes.len().min(passed + sizes.next().unwrap());
            match framing.pass(&bytes[passed..end]) {
                Ok(()) => passed = end,
                Err(odd) => return (passed + odd.before, Some(odd.what), false),
            }
        }
        (passed, None, framing.is_between())
    }

    fn request() -> impl Strategy<Value = Vec<u8>> {
        let bodies = prop_oneof![
            Just("\r\n".to_owned()),
            "[ -~]{0,9}".prop_map(|b| format!("Content-Length: {}\r\n\r\n{b}", b.len())),
            ("[ -~]{1,9}", "(;a=b)?", "(X-T: 1\r\n)?").prop_map(|(b, attached, trailer)| {
                let length = b.len();
                format!("Transfer-Encoding: chunked\r\n\r\n{length:x}{attached}\r\n{b}\r\n0\r\n{trailer}\r\n")
            }),
            "(Content-Length|Transfer-Encoding): [0-9 ,chunked]{0,8}\r\n\r\n[ -~\r\n]{0,9}",
        ];
        ("(\r\n)?", bodies, "[\0-\x7f]?").prop_map(|(before, body, noise)| {
            format!("{before}POST / HTTP/1.1\r\nHost: a\r\n{body}{noise}").into_bytes()
        })
    }

    proptest! {
        #[test]
        fn it_makes_no_difference_how_the_bytes_are_cut(
            requests in prop::collection::vec(request(), 1..4),
            sizes in prop::collection::vec(1_usize..40, 1..5),
        ) {
            let bytes = requests.concat();
            let (whole, one, pieces) = (of(&bytes, &[bytes.len()]), of(&bytes, &[1]), of(&bytes, &sizes));
            // What is odd is told at the latest with its section: only then can more have passed of it.
            prop_assert_eq!((whole.1, whole.2), (one.1, one.2));
            prop_assert_eq!((whole.1, whole.2), (pieces.1, pieces.2));
            prop_assert!(whole.0 <= pieces.0 && pieces.0 <= one.0);
        }

        #[test]
        fn any_bytes_do(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            of(&bytes, &[7]);
        }
    }

    #[test]
    fn requests_that_are_in_order_pass_and_end_where_they_say() {
        for requests in [
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.0\r\n\r\nGET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
            "POST / HTTP/1.1\r\nhOST:a\t\r\nContent-Length: 3\r\n\r\nabc\r\nPOST / HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n03;a=\"b\"\r\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\na\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\nX-Sum: 1\r\n\r\n",
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nGET HTTP://A:80/x HTTP/1.1\r\nHost: a:80\r\n\r\n",
        ] {
            assert_eq!(of(requests.as_bytes(), &[999]), (requests.len(), None, true), "{requests:?}");
        }
    }
}
