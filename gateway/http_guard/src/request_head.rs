//! The head of an HTTP/1 request. A head that another server might read differently is malformed.

use memchr::{memchr, memrchr};
use std::iter;

/// Maximum number of digits of `Content-Length`. No body is longer.
const MAX_LENGTH_DIGITS: usize = 18;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// There is no body. The next head follows.
    None,
    /// `Content-Length`, in bytes.
    Fixed(u64),
    /// The `chunked` transfer coding.
    Chunked,
}

/// Validates a head and returns the length of the body that follows it; `None` if the head is malformed or ambiguous.
///
/// `head` ends with the empty line and does not begin with one.
pub fn body_length(head: &[u8]) -> Option<BodyLength> {
    let mut lines = lines(head)?;
    let (version, target) = request_line(lines.next()?)?;
    let (mut host, mut length, mut coding) = (None, None, None);
    for line in lines {
        let (name, value) = field(line)?;
        // Each of these occurs at most once: of two, one server would use the first and another the last.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => once(&mut host, value)?,
            14 if name.eq_ignore_ascii_case(b"content-length") => once(&mut length, number(value)?)?,
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => once(&mut coding, value)?,
            _ => {}
        }
    }
    if version == Version::Http11 && host.is_none() || !host.is_none_or(is_valid_host) || !matches_host(target, host) {
        return None;
    }
    match (length, coding) {
        (None, None) => Some(BodyLength::None),
        (Some(length), None) => Some(BodyLength::Fixed(length)),
        // Servers do not agree on any other coding, or on further codings before `chunked`.
        (None, Some(coding)) if version == Version::Http11 && coding.eq_ignore_ascii_case(b"chunked") => {
            Some(BodyLength::Chunked)
        }
        _ => None,
    }
}

/// Whether a malformed head belongs to a protocol other than HTTP: no word of it begins with `http`, and its first line
/// has more than two words. With two or fewer, a person may be typing it, who can read an error response. A PROXY protocol
/// header does not count as foreign, since an HTTP request follows it.
pub fn is_foreign(head: &[u8]) -> bool {
    let words = |text: &[u8]| text.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
    let first = head.split(|b| *b == b'\n').next().unwrap_or_default();
    let is_http = |word: &[u8]| word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"http"));
    words(first) > 2 && !head.split(u8::is_ascii_whitespace).any(is_http)
}

/// Sets a value; `None` if it was set before.
fn once<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    slot.replace(value).is_none().then_some(())
}

/// Whether the fields of a trailer section are well-formed, and none of them is one that frames or routes a request.
pub fn is_valid_trailer(trailer: &[u8]) -> bool {
    let framing: [&[u8]; 3] = [b"host", b"content-length", b"transfer-encoding"];
    let is_valid = |line| field(line).is_some_and(|(name, _)| !framing.iter().any(|f| name.eq_ignore_ascii_case(f)));
    lines(trailer).is_some_and(|mut lines| lines.all(is_valid))
}

/// The lines before the empty line, each without its LF.
fn lines(section: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let mut rest = section.strip_suffix(b"\r\n")?;
    Some(iter::from_fn(move || {
        let line = rest.get(..memchr(b'\n', rest).unwrap_or(rest.len())).filter(|_| !rest.is_empty())?;
        rest = rest.get(line.len() + 1..).unwrap_or_default();
        Some(line)
    }))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Http10,
    Http11,
}

enum Target<'a> {
    /// A path, or the `*` of OPTIONS.
    Origin,
    /// An absolute URI with this authority, as requests to a proxy have it.
    Absolute(&'a [u8]),
}

fn request_line(line: &[u8]) -> Option<(Version, Target<'_>)> {
    let line = line.strip_suffix(b"\r")?;
    let (first, last) = (memchr(b' ', line)?, memrchr(b' ', line)?);
    let (method, target, version) = (line.get(..first)?, line.get(first + 1..last)?, line.get(last + 1..)?);
    if !is_token(method) {
        return None;
    }
    let version = match version {
        b"HTTP/1.1" => Version::Http11,
        b"HTTP/1.0" => Version::Http10,
        _ => return None,
    };
    // Clients do not send fragments. Some servers cut them off, others do not.
    if !all(target, |b| matches!(b, 0x21..=0x7e) && b != b'#') {
        return None;
    }
    let target = match target {
        [b'/', ..] => Target::Origin,
        b"*" if method == b"OPTIONS" => Target::Origin,
        _ => {
            let (scheme, rest) = target.split_at_checked(target.iter().position(|b| *b == b':')?)?;
            let rest = rest.strip_prefix(b"://")?;
            let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
            let is_http = scheme.eq_ignore_ascii_case(b"http") || scheme.eq_ignore_ascii_case(b"https");
            rest.get(..end).filter(|_| is_http).map(Target::Absolute)?
        }
    };
    (method != b"CONNECT").then_some((version, target))
}

/// Name and value of a field line, without the white space around the value.
fn field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = line.strip_suffix(b"\r")?;
    let end_of_name = line.iter().position(|b| !TOKEN[usize::from(*b)])?;
    let (name, value) = (line.get(..end_of_name)?, line.get(end_of_name..)?.strip_prefix(b":")?);
    let is_clean = all(value, |b| matches!(b, b'\t' | 0x20..=0x7e | 0x80..));
    let is_space = |b: &u8| matches!(b, b' ' | b'\t');
    let start = value.iter().position(|b| !is_space(b)).unwrap_or(value.len());
    let end = value.iter().rposition(|b| !is_space(b)).map_or(start, |last| last + 1);
    (is_clean && !name.is_empty()).then_some((name, value.get(start..end)?))
}

/// As `Iterator::all`, without the early end, so that the compiler can check many bytes by one instruction.
fn all(bytes: &[u8], is_valid: impl Fn(u8) -> bool) -> bool {
    bytes.iter().fold(true, |valid, b| valid & is_valid(*b))
}

fn is_token(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|b| TOKEN[usize::from(*b)])
}

/// The bytes of a token (RFC 9110, 5.6.2). A table, since each request has a few hundred bytes to check.
static TOKEN: [bool; 256] = {
    let (mut table, mut byte) = ([false; 256], 0_u8);
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(
                byte,
                b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~'
            );
        byte += 1;
    }
    table
};

/// Whether a value is one host name or IP address, with or without a port. User names, lists and paths are not valid.
pub fn is_valid_host(value: &[u8]) -> bool {
    let (name, port) = match value.iter().rposition(|b| *b == b':') {
        // The colons of an IPv6 address are within brackets.
        Some(colon) if value.last() != Some(&b']') => (value.get(..colon), value.get(colon + 1..)),
        _ => (Some(value), None),
    };
    let is_port = |port: &[u8]| port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    let is_name = |name: &[u8]| match name {
        [b'[', address @ .., b']'] => {
            !address.is_empty() && address.iter().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.'))
        }
        name => {
            !name.is_empty()
                && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'%'))
        }
    };
    name.is_some_and(is_name) && port.is_none_or(is_port)
}

/// Whether the authority of the target, if it has one, is equal to `Host`.
fn matches_host(target: Target<'_>, host: Option<&[u8]>) -> bool {
    match target {
        Target::Origin => true,
        Target::Absolute(authority) => {
            is_valid_host(authority) && host.is_none_or(|h| h.eq_ignore_ascii_case(authority))
        }
    }
}

/// Parses the value of `Content-Length`.
fn number(digits: &[u8]) -> Option<u64> {
    // Some servers read a number that begins with 0 as octal.
    if !(1..=MAX_LENGTH_DIGITS).contains(&digits.len()) || matches!(digits, [b'0', _, ..]) {
        return None;
    }
    digits.iter().try_fold(0_u64, |n, d| d.is_ascii_digit().then(|| n * 10 + u64::from(d - b'0')))
}
