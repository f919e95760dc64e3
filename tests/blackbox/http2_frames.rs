//! HTTP/2 frame by frame: invalid frames and heads end their stream or their connection, valid ones are served.

use crate::scene::{Scene, Stores, TENANT};
use menlou_harness::http;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// Frame types.
const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;
// Flags.
pub const END_STREAM: u8 = 1;
const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITIZED: u8 = 32;
/// Codes that are not errors of the client: NO_ERROR, and CANCEL.
const NO_CLIENT_ERROR: [u32; 2] = [0, 8];
/// Payload of the ping that a test sends last. Once it is answered, everything before it was processed.
const LAST: [u8; 8] = *b"the last";

/// Expected outcome of some frames.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// The response on the first stream has this status.
    Serves(u16),
    /// A stream is reset with an error, or the connection ends with one.
    Resets,
    /// The connection ends with an error.
    Ends,
    /// No response and no error: the connection goes on.
    Ignores,
}
use Outcome::{Ends, Ignores, Resets, Serves};

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header field in HPACK, without tables and Huffman coding.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).ok().filter(|n| *n < 127).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A valid head with further fields.
fn head(more: &[(&str, &str)]) -> Vec<u8> {
    let path = format!("/srv/?f={TENANT}&a=user");
    let valid = [(":method", "POST"), (":scheme", "http"), (":path", &path), (":authority", "a")];
    fields(&[&valid, more].concat())
}

/// A request without a body.
fn request(stream: u32, head: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, head)
}

/// The head of a request with a body.
fn open_request(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(more))
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// What was received in response.
#[derive(Debug, Default)]
struct Received {
    /// The first field of each head: its status, indexed or as a literal.
    heads: Vec<Vec<u8>>,
    /// Codes of RST_STREAM.
    resets: Vec<u32>,
    /// Code of GOAWAY.
    goaway: Option<u32>,
    /// Whether the ping with [`LAST`] was answered.
    answered_last: bool,
}

impl Received {
    /// Reads until the outcome is reached or the connection is silent.
    fn read(stream: &mut TcpStream, outcome: Outcome) -> Self {
        let (mut received, mut header) = (Self::default(), [0; 9]);
        while !received.is(outcome) && stream.read_exact(&mut header).is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
            if stream.read_exact(&mut payload).is_err() {
                break;
            }
            let code = |at: usize| payload.get(at..at + 4).map(|b| u32::from_be_bytes(b.try_into().unwrap()));
            match header[3] {
                HEADERS => received.heads.push(payload.iter().take(5).copied().collect()),
                RST_STREAM => received.resets.extend(code(0)),
                GOAWAY => received.goaway = code(4),
                PING => received.answered_last = header[4] & ACK > 0 && payload == LAST,
                _ => {}
            }
        }
        received
    }

    fn is(&self, outcome: Outcome) -> bool {
        let is_ended = self.goaway.is_some_and(|code| !NO_CLIENT_ERROR.contains(&code));
        match outcome {
            Serves(status) => self.heads.iter().any(|head| is_status(head, status)),
            Resets => is_ended || self.resets.iter().any(|code| !NO_CLIENT_ERROR.contains(code)),
            Ends => is_ended,
            Ignores => self.answered_last && self.heads.is_empty() && self.resets.is_empty() && self.goaway.is_none(),
        }
    }
}

/// Whether a head begins with this status. Common statuses have an index in the static table of HPACK.
fn is_status(head: &[u8], status: u16) -> bool {
    let indexed = [(200, 0x88), (204, 0x89), (400, 0x8c), (404, 0x8d), (500, 0x8e)];
    match indexed.iter().find(|(known, _)| *known == status) {
        Some((_, index)) => head.first() == Some(index),
        // A literal with the index of the name. The value is Huffman-coded, so only the one status in use is recognised.
        None => head.first().is_some_and(|first| first & 0x40 > 0) && status == 401,
    }
}

fn each_has_its_outcome(cases: Vec<(&str, Vec<u8>, Outcome)>) {
    let scene = Scene::new(Stores::Embedded);
    let mut wrong = Vec::new();
    for (name, frames, outcome) in cases {
        let mut stream = http::connect(scene.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let settings = frame(SETTINGS, 0, 0, &[]);
        // A write fails if the connection was ended already, which some cases expect.
        let _ = stream.write_all(&[PREFACE, &settings, &frames, &frame(PING, 0, 0, &LAST)].concat());
        let received = Received::read(&mut stream, outcome);
        if !received.is(outcome) {
            wrong.push(format!("{name}: not {outcome:?}: {received:x?}"));
        }
        scene.client().call("user", &[]).assert_error(401, "login_required");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!scene.log().contains("panicked"));
}

#[test]
fn invalid_frames_end_their_stream_or_connection() {
    let valid = || request(1, &head(&[]));
    let after = |frames: Vec<u8>, more: Vec<u8>| [frames, more].concat();
    let open = |more: Vec<u8>| [open_request(1, &[]), more].concat();
    let incomplete = || frame(HEADERS, END_STREAM, 1, &head(&[])[..20]);
    each_has_its_outcome(vec![
        // Valid, or to be ignored.
        ("a request", valid(), Serves(401)),
        ("a request in two frames", after(incomplete(), frame(CONTINUATION, 4, 1, &head(&[])[20..])), Serves(401)),
        ("a padded request", frame(HEADERS, 13, 1, &[&[2][..], &head(&[]), &[0, 0]].concat()), Serves(401)),
        (
            "a request with a priority",
            frame(HEADERS, 5 | PRIORITIZED, 1, &[&[0, 0, 0, 0, 9][..], &head(&[])].concat()),
            Serves(401),
        ),
        ("a body", open(frame(DATA, END_STREAM, 1, &[])), Serves(401)),
        ("a padded body", open(frame(DATA, END_STREAM | PADDED, 1, &[2, 0, 0])), Serves(401)),
        (
            "a trailer",
            open(after(frame(DATA, 0, 1, b""), frame(HEADERS, 5, 1, &fields(&[("x-sum", "1")])))),
            Serves(401),
        ),
        ("an unknown frame type", after(frame(0xf7, 0xff, 1, &[0; 8]), valid()), Serves(401)),
        ("unknown flags", after(frame(PING, 0xfe, 0, &[0; 8]), valid()), Serves(401)),
        ("an unknown setting", after(setting(0xfff, 7), valid()), Serves(401)),
        ("the reserved bit of a stream id", after(frame(PING, 0, 1 << 31, &[0; 8]), valid()), Serves(401)),
        ("an acknowledgement of no ping", frame(PING, ACK, 0, &[0; 8]), Ignores),
        ("PRIORITY on an idle stream", frame(PRIORITY, 0, 9, &[0, 0, 0, 1, 0]), Ignores),
        ("a reset with an unknown code", open(frame(RST_STREAM, 0, 1, &[0, 0, 0, 0xff])), Ignores),
        // Frame sizes.
        ("a DATA frame beyond the maximum size", open(frame(DATA, END_STREAM, 1, &[b'a'; 16_385])), Ends),
        ("a HEADERS frame beyond the maximum size", frame(HEADERS, 5, 1, &[0; 16_385]), Ends),
        ("a short ping", frame(PING, 0, 0, &[0; 6]), Ends),
        ("a long ping", frame(PING, 0, 0, &[0; 9]), Ends),
        ("a short reset", open(frame(RST_STREAM, 0, 1, &[0; 3])), Ends),
        ("a short priority", open(frame(PRIORITY, 0, 1, &[0; 4])), Resets),
        ("half a setting", frame(SETTINGS, 0, 0, &[0, 3, 0]), Ends),
        ("an acknowledgement of settings with settings", frame(SETTINGS, ACK, 0, &[0; 6]), Ends),
        ("a short window", open(frame(WINDOW_UPDATE, 0, 1, &[0; 3])), Ends),
        ("a short GOAWAY", frame(GOAWAY, 0, 0, &[0; 7]), Ends),
        // Frames of the connection on a stream, and frames of a stream on the connection.
        ("DATA on stream 0", frame(DATA, END_STREAM, 0, b"a"), Ends),
        ("HEADERS on stream 0", request(0, &head(&[])), Ends),
        ("PRIORITY on stream 0", frame(PRIORITY, 0, 0, &[0; 5]), Ends),
        ("RST_STREAM on stream 0", frame(RST_STREAM, 0, 0, &[0; 4]), Ends),
        ("CONTINUATION on stream 0", after(incomplete(), frame(CONTINUATION, 4, 0, &[])), Ends),
        ("PING on a stream", open(frame(PING, 0, 1, &[0; 8])), Ends),
        ("SETTINGS on a stream", open(frame(SETTINGS, 0, 1, &[])), Ends),
        ("GOAWAY on a stream", open(frame(GOAWAY, 0, 1, &[0; 8])), Ends),
        // Frames that the state of their stream does not allow.
        ("DATA on an idle stream", frame(DATA, END_STREAM, 1, b"a"), Ends),
        ("RST_STREAM on an idle stream", frame(RST_STREAM, 0, 1, &[0; 4]), Ends),
        ("WINDOW_UPDATE on an idle stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]), Ends),
        ("CONTINUATION on an idle stream", frame(CONTINUATION, 4, 1, &[]), Ends),
        ("a stream id of the server", request(2, &head(&[])), Ends),
        ("a stream id lower than an earlier one", after(request(5, &head(&[])), request(3, &head(&[]))), Ends),
        ("a stream id used twice", after(valid(), request(1, &head(&[]))), Resets),
        ("DATA after the end of the stream", after(valid(), frame(DATA, 0, 1, b"a")), Resets),
        ("DATA after a reset", open(after(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), frame(DATA, 0, 1, b"a"))), Resets),
        ("a trailer that does not end the stream", open(open_request(1, &[])), Resets),
        ("PUSH_PROMISE", after(valid(), frame(PUSH_PROMISE, 4, 1, &[&[0, 0, 0, 2][..], &head(&[])].concat())), Ends),
        // Interrupted heads.
        ("a ping within a head", after(incomplete(), frame(PING, 0, 0, &[0; 8])), Ends),
        ("a priority within a head", after(incomplete(), frame(PRIORITY, 0, 1, &[0; 5])), Ends),
        ("another head within a head", after(incomplete(), request(3, &head(&[]))), Ends),
        ("a body within a head", after(incomplete(), frame(DATA, 1, 1, b"a")), Ends),
        ("an unknown frame within a head", after(incomplete(), frame(0xf7, 0, 1, &[])), Ends),
        ("CONTINUATION of a complete head", after(valid(), frame(CONTINUATION, 4, 1, &[])), Ends),
        ("CONTINUATION of another stream", after(incomplete(), frame(CONTINUATION, 4, 3, &[])), Ends),
        // Padding and priorities.
        ("more padding than head", frame(HEADERS, 13, 1, &[&[200][..], &head(&[])].concat()), Ends),
        ("more padding than body", open(frame(DATA, END_STREAM | PADDED, 1, &[9, 0])), Ends),
        (
            "a head that depends on itself",
            frame(HEADERS, 5 | PRIORITIZED, 1, &[&[0, 0, 0, 1, 9][..], &head(&[])].concat()),
            Resets,
        ),
        ("a priority that depends on itself", open(frame(PRIORITY, 0, 1, &[0, 0, 0, 1, 9])), Resets),
        // Settings and windows.
        ("ENABLE_PUSH neither 0 nor 1", setting(2, 2), Ends),
        ("an initial window beyond the maximum", setting(4, 1 << 31), Ends),
        ("MAX_FRAME_SIZE too small", setting(5, 16_383), Ends),
        ("MAX_FRAME_SIZE too large", setting(5, 1 << 24), Ends),
        ("a window increment of 0", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), Ends),
        ("a window increment of 0 for a stream", open(frame(WINDOW_UPDATE, 0, 1, &[0; 4])), Resets),
        ("a window beyond the maximum", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]), Ends),
        ("a stream's window beyond the maximum", open(frame(WINDOW_UPDATE, 0, 1, &[0x7f, 255, 255, 255])), Resets),
        (
            "an initial window that makes a stream's too large",
            { open(after(frame(WINDOW_UPDATE, 0, 1, &[0x7f, 255, 0, 0]), setting(4, 0x7fff_ffff))) },
            Ends,
        ),
    ]);
}

#[test]
fn invalid_heads_are_rejected() {
    let path = format!("/srv/?f={TENANT}&a=user");
    let with = |more: &[(&str, &str)]| request(1, &head(more));
    let of = |all: &[(&str, &str)]| request(1, &fields(all));
    let raw = |bytes: &[u8]| request(1, &[&head(&[])[..], bytes].concat());
    let [method, scheme, path, authority] =
        [(":method", "POST"), (":scheme", "http"), (":path", &*path), (":authority", "a")];
    let sized =
        |length: &str, body: &[u8]| [open_request(1, &[("content-length", length)]), frame(DATA, 1, 1, body)].concat();
    each_has_its_outcome(vec![
        ("a name in capitals", with(&[("X-A", "1")]), Resets),
        ("a name that is empty", with(&[("", "1")]), Resets),
        ("a name with a space", with(&[("x a", "1")]), Resets),
        ("a name with a colon", with(&[("x:a", "1")]), Resets),
        ("a name with a line end", with(&[("x\r\ny", "1")]), Resets),
        ("a value with a line end", with(&[("x-a", "1\r\nx-b: 2")]), Resets),
        ("a value with LF", with(&[("x-a", "1\n2")]), Resets),
        ("a value with NUL", with(&[("x-a", "1\u{0}2")]), Resets),
        ("an unknown pseudo-header", with(&[(":x", "1")]), Resets),
        ("a pseudo-header of responses", with(&[(":status", "200")]), Resets),
        ("a pseudo-header of CONNECT only", with(&[(":protocol", "x")]), Resets),
        ("a pseudo-header after a field", of(&[method, scheme, ("x-a", "1"), path, authority]), Resets),
        ("no method", of(&[scheme, path, authority]), Resets),
        ("no scheme", of(&[method, path, authority]), Resets),
        ("no path", of(&[method, scheme, authority]), Resets),
        ("an empty path", of(&[method, scheme, (":path", ""), authority]), Resets),
        ("two methods", of(&[method, method, scheme, path, authority]), Resets),
        ("two schemes", of(&[method, scheme, scheme, path, authority]), Resets),
        ("two paths", of(&[method, scheme, path, path, authority]), Resets),
        ("two authorities", of(&[method, scheme, path, authority, authority]), Resets),
        ("a method with a space", of(&[(":method", "PO ST"), scheme, path, authority]), Resets),
        ("a method with a line end", of(&[(":method", "POST /x\r\n"), scheme, path, authority]), Resets),
        ("a path with a space", of(&[method, scheme, (":path", "/srv/ x"), authority]), Resets),
        ("a path with a line end", of(&[method, scheme, (":path", "/srv/\r\nx: y"), authority]), Resets),
        ("a path without a leading slash", of(&[method, scheme, (":path", "srv/"), authority]), Resets),
        ("an authority with a path", of(&[method, scheme, path, (":authority", "a/b")]), Resets),
        ("an authority with a space", of(&[method, scheme, path, (":authority", "a b")]), Resets),
        ("CONNECT with a path", of(&[(":method", "CONNECT"), scheme, path, authority]), Resets),
        ("connection", with(&[("connection", "keep-alive")]), Resets),
        ("keep-alive", with(&[("keep-alive", "1")]), Resets),
        ("proxy-connection", with(&[("proxy-connection", "close")]), Resets),
        ("upgrade", with(&[("upgrade", "h2c")]), Resets),
        ("transfer-encoding", with(&[("transfer-encoding", "chunked")]), Resets),
        ("te other than trailers", with(&[("te", "trailers, deflate")]), Resets),
        ("te: trailers", with(&[("te", "trailers")]), Serves(401)),
        ("a body shorter than its length", sized("9", b"a"), Resets),
        ("a body longer than its length", sized("1", b"ab"), Resets),
        ("an invalid length", sized("+1", b"a"), Resets),
        ("a length without a body", with(&[("content-length", "3")]), Resets),
        // Two hosts, or an invalid one.
        ("a host that differs from the authority", with(&[("host", "b")]), Serves(400)),
        ("two hosts", of(&[method, scheme, path, ("host", "a"), ("host", "a")]), Serves(400)),
        ("a user in the authority", of(&[method, scheme, path, (":authority", "u@a")]), Serves(400)),
        ("no host at all", of(&[method, scheme, path]), Serves(400)),
        ("an invalid host", of(&[method, scheme, path, ("host", "a/b")]), Serves(400)),
        // HPACK.
        ("the index 0", raw(&[0x80]), Ends),
        ("an index beyond the tables", raw(&[0xff, 0x7f]), Ends),
        ("an index of a name beyond the tables", raw(&[0x7f, 0x7f, 1, b'x']), Ends),
        ("a table beyond the maximum size", request(1, &[&[0x3f, 0xe2, 0x1f][..], &head(&[])].concat()), Ends),
        ("a table size update after a field", raw(&[0x20]), Ends),
        ("Huffman with too much padding", raw(&[0, 1, b'x', 0x83, 0xff, 0xff, 0xff]), Ends),
        ("Huffman padded by zeros", raw(&[0, 1, b'x', 0x81, 0x00]), Ends),
        ("Huffman with EOS", raw(&[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]), Ends),
        ("a string beyond the end", raw(&[0, 9, b'x']), Ends),
        ("a number without an end", raw(&[0, 0x7f, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]), Ends),
    ]);
}
