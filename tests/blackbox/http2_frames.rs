//! HTTP/2 to the letter: what may not be sent, frame by frame, ends its stream or its connection; what may be sent is
//! served.

use crate::scene::{Scene, Stores, TENANT};
use menlou_harness::http;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Duration,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
// Kinds of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
// Flags.
const END_STREAM: u8 = 1;
const ACK: u8 = 1;
const END_HEADERS: u8 = 4;
const PADDED: u8 = 8;
const PRIORITIZED: u8 = 32;
/// Codes that stand for no mistake: the end of a connection, and of a stream that nobody wants.
const NO_MISTAKE: [u32; 2] = [0, 8];
/// The last ping that a test sends: once it is answered, so is all before it.
const LAST: [u8; 8] = *b"the last";

/// What is to come of some frames.
#[derive(Clone, Copy, Debug)]
enum Outcome {
    /// The request on the first stream is answered with this status.
    Serves(u16),
    /// A stream is reset for a mistake, or the whole connection ends for it.
    Resets,
    /// The connection ends for a mistake.
    Ends,
    /// Nothing: the connection goes on.
    Nothing,
}
use Outcome::{Ends, Nothing, Resets, Serves};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A field in HPACK, without tables and Huffman.
fn field(name: &str, value: &str) -> Vec<u8> {
    let length = |text: &str| u8::try_from(text.len()).ok().filter(|n| *n < 127).unwrap();
    [&[0, length(name)], name.as_bytes(), &[length(value)], value.as_bytes()].concat()
}

fn fields(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name, value)).collect()
}

/// A good head, with more behind it.
fn head(more: &[(&str, &str)]) -> Vec<u8> {
    let path = format!("/srv/?f={TENANT}&a=user");
    let good = [(":method", "POST"), (":scheme", "http"), (":path", &path), (":authority", "a")];
    fields(&[&good, more].concat())
}

/// A whole request.
fn request(stream: u32, head: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, head)
}

/// The head of a request whose body follows.
fn begun(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, &head(more))
}

fn setting(name: u16, value: u32) -> Vec<u8> {
    frame(SETTINGS, 0, 0, &[&name.to_be_bytes()[..], &value.to_be_bytes()].concat())
}

/// What came back of these bytes.
#[derive(Debug, Default)]
struct Came {
    /// The first field of each head: its status, indexed or as a literal.
    heads: Vec<Vec<u8>>,
    resets: Vec<u32>,
    ends: Option<u32>,
    /// Whether the last ping was answered.
    lasts: bool,
}

impl Came {
    /// Reads until this is what came, or no more comes.
    fn of(stream: &mut TcpStream, outcome: Outcome) -> Self {
        let (mut came, mut start) = (Self::default(), [0; 9]);
        while !came.is(outcome) && stream.read_exact(&mut start).is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, start[0], start[1], start[2]]) as usize];
            if stream.read_exact(&mut payload).is_err() {
                break;
            }
            let code = |at: usize| payload.get(at..at + 4).map(|b| u32::from_be_bytes(b.try_into().unwrap()));
            match start[3] {
                HEADERS => came.heads.push(payload.iter().take(5).copied().collect()),
                RST_STREAM => came.resets.extend(code(0)),
                GOAWAY => came.ends = code(4),
                PING => came.lasts = start[4] & ACK > 0 && payload == LAST,
                _ => {}
            }
        }
        came
    }

    fn is(&self, outcome: Outcome) -> bool {
        let ended = self.ends.is_some_and(|code| !NO_MISTAKE.contains(&code));
        match outcome {
            Serves(status) => self.heads.iter().any(|head| is_status(head, status)),
            Resets => ended || self.resets.iter().any(|code| !NO_MISTAKE.contains(code)),
            Ends => ended,
            Nothing => self.lasts && self.heads.is_empty() && self.resets.is_empty() && self.ends.is_none(),
        }
    }
}

/// Whether a head begins with this status: 200, 204, 304, 400, 404 and 500 have indices, others follow the name's.
fn is_status(head: &[u8], status: u16) -> bool {
    let indexed = [(200, 0x88), (204, 0x89), (400, 0x8c), (404, 0x8d), (500, 0x8e)];
    match indexed.iter().find(|(known, _)| *known == status) {
        Some((_, index)) => head.first() == Some(index),
        // A literal with the name's index; h2 sends its three digits by Huffman: `401` in two bytes.
        None => head.first().is_some_and(|first| first & 0x40 > 0) && status == 401,
    }
}

fn each_comes_to_this(cases: Vec<(&str, Vec<u8>, Outcome)>) {
    let scene = Scene::new(Stores::Embedded);
    let mut wrong = Vec::new();
    for (what, frames, outcome) in cases {
        let mut stream = http::connect(scene.addr()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let settings = frame(SETTINGS, 0, 0, &[]);
        // Where it is closed in the middle, that is the point.
        let _ = stream.write_all(&[PREFACE, &settings, &frames, &frame(PING, 0, 0, &LAST)].concat());
        let came = Came::of(&mut stream, outcome);
        if !came.is(outcome) {
            wrong.push(format!("{what}: not {outcome:?}: {came:x?}"));
        }
        scene.client().call("user", &[]).assert_error(401, "login_required");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(!scene.log().contains("panicked"));
}

#[test]
fn frames_that_may_not_come_end_their_stream_or_connection() {
    let good = || request(1, &head(&[]));
    let after = |frames: Vec<u8>, more: Vec<u8>| [frames, more].concat();
    let open = |more: Vec<u8>| [begun(1, &[]), more].concat();
    let unended = || frame(HEADERS, END_STREAM, 1, &head(&[])[..20]);
    each_comes_to_this(vec![
        // What is good, or to be passed over.
        ("a request", good(), Serves(401)),
        ("a request in pieces", after(unended(), frame(CONTINUATION, 4, 1, &head(&[])[20..])), Serves(401)),
        ("a padded request", frame(HEADERS, 13, 1, &[&[2][..], &head(&[]), &[0, 0]].concat()), Serves(401)),
        (
            "one with a priority",
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
        ("a kind that nobody knows", after(frame(0xf7, 0xff, 1, &[0; 8]), good()), Serves(401)),
        ("flags that nobody knows", after(frame(PING, 0xfe, 0, &[0; 8]), good()), Serves(401)),
        ("a setting that nobody knows", after(setting(0xfff, 7), good()), Serves(401)),
        ("the reserved bit", after(frame(PING, 0, 1 << 31, &[0; 8]), good()), Serves(401)),
        ("an answer to no ping", frame(PING, ACK, 0, &[0; 8]), Nothing),
        ("a priority of an idle stream", frame(PRIORITY, 0, 9, &[0, 0, 0, 1, 0]), Nothing),
        ("a reset for a reason that nobody knows", open(frame(RST_STREAM, 0, 1, &[0, 0, 0, 0xff])), Nothing),
        // Sizes.
        ("a body's frame beyond the bound", open(frame(DATA, END_STREAM, 1, &[b'a'; 16_385])), Ends),
        ("a head's frame beyond the bound", frame(HEADERS, 5, 1, &[0; 16_385]), Ends),
        ("a short ping", frame(PING, 0, 0, &[0; 6]), Ends),
        ("a long ping", frame(PING, 0, 0, &[0; 9]), Ends),
        ("a short reset", open(frame(RST_STREAM, 0, 1, &[0; 3])), Ends),
        ("a short priority", open(frame(PRIORITY, 0, 1, &[0; 4])), Resets),
        ("half a setting", frame(SETTINGS, 0, 0, &[0, 3, 0]), Ends),
        ("an answer to settings with settings", frame(SETTINGS, ACK, 0, &[0; 6]), Ends),
        ("a short window", open(frame(WINDOW_UPDATE, 0, 1, &[0; 3])), Ends),
        ("a short goodbye", frame(GOAWAY, 0, 0, &[0; 7]), Ends),
        // The connection's own number, and streams' where it is not theirs.
        ("a body of no stream", frame(DATA, END_STREAM, 0, b"a"), Ends),
        ("a head of no stream", request(0, &head(&[])), Ends),
        ("a priority of no stream", frame(PRIORITY, 0, 0, &[0; 5]), Ends),
        ("a reset of no stream", frame(RST_STREAM, 0, 0, &[0; 4]), Ends),
        ("a continuation of no stream", after(unended(), frame(CONTINUATION, 4, 0, &[])), Ends),
        ("a ping of a stream", open(frame(PING, 0, 1, &[0; 8])), Ends),
        ("settings of a stream", open(frame(SETTINGS, 0, 1, &[])), Ends),
        ("a goodbye of a stream", open(frame(GOAWAY, 0, 1, &[0; 8])), Ends),
        // Streams where they aren't.
        ("a body of an idle stream", frame(DATA, END_STREAM, 1, b"a"), Ends),
        ("a reset of an idle stream", frame(RST_STREAM, 0, 1, &[0; 4]), Ends),
        ("a window of an idle stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]), Ends),
        ("a continuation of an idle stream", frame(CONTINUATION, 4, 1, &[]), Ends),
        ("a stream with a server's number", request(2, &head(&[])), Ends),
        ("a stream behind a later one", after(request(5, &head(&[])), request(3, &head(&[]))), Ends),
        ("a stream twice", after(good(), request(1, &head(&[]))), Resets),
        ("a body behind the end", after(good(), frame(DATA, 0, 1, b"a")), Resets),
        ("a body behind a reset", open(after(frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]), frame(DATA, 0, 1, b"a"))), Resets),
        ("a second head that ends nothing", open(begun(1, &[])), Resets),
        ("a promise", after(good(), frame(PUSH_PROMISE, 4, 1, &[&[0, 0, 0, 2][..], &head(&[])].concat())), Ends),
        // Heads that are broken off.
        ("a ping within a head", after(unended(), frame(PING, 0, 0, &[0; 8])), Ends),
        ("a priority within a head", after(unended(), frame(PRIORITY, 0, 1, &[0; 5])), Ends),
        ("another head within a head", after(unended(), request(3, &head(&[]))), Ends),
        ("a body within a head", after(unended(), frame(DATA, 1, 1, b"a")), Ends),
        ("what nobody knows within a head", after(unended(), frame(0xf7, 0, 1, &[])), Ends),
        ("a continuation of a head that is whole", after(good(), frame(CONTINUATION, 4, 1, &[])), Ends),
        ("another's continuation", after(unended(), frame(CONTINUATION, 4, 3, &[])), Ends),
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
        ("neither pushing nor not", setting(2, 2), Ends),
        ("a first window beyond the bound", setting(4, 1 << 31), Ends),
        ("frames that are too small", setting(5, 16_383), Ends),
        ("frames that are too large", setting(5, 1 << 24), Ends),
        ("no more window", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), Ends),
        ("no more window for a stream", open(frame(WINDOW_UPDATE, 0, 1, &[0; 4])), Resets),
        ("a window beyond the bound", frame(WINDOW_UPDATE, 0, 0, &[0x7f, 255, 255, 255]), Ends),
        ("a stream's window beyond the bound", open(frame(WINDOW_UPDATE, 0, 1, &[0x7f, 255, 255, 255])), Resets),
        (
            "a first window that makes a stream's too large",
            { open(after(frame(WINDOW_UPDATE, 0, 1, &[0x7f, 255, 0, 0]), setting(4, 0x7fff_ffff))) },
            Ends,
        ),
    ]);
}

#[test]
fn heads_that_may_not_be_are_refused() {
    let path = format!("/srv/?f={TENANT}&a=user");
    let with = |more: &[(&str, &str)]| request(1, &head(more));
    let of = |all: &[(&str, &str)]| request(1, &fields(all));
    let raw = |bytes: &[u8]| request(1, &[&head(&[])[..], bytes].concat());
    let [method, scheme, path, authority] =
        [(":method", "POST"), (":scheme", "http"), (":path", &*path), (":authority", "a")];
    let sized = |length: &str, body: &[u8]| [begun(1, &[("content-length", length)]), frame(DATA, 1, 1, body)].concat();
    each_comes_to_this(vec![
        ("a name in capitals", with(&[("X-A", "1")]), Resets),
        ("a name that is empty", with(&[("", "1")]), Resets),
        ("a name with a space", with(&[("x a", "1")]), Resets),
        ("a name with a colon", with(&[("x:a", "1")]), Resets),
        ("a name with a line end", with(&[("x\r\ny", "1")]), Resets),
        ("a value with a line end", with(&[("x-a", "1\r\nx-b: 2")]), Resets),
        ("a value with LF", with(&[("x-a", "1\n2")]), Resets),
        ("a value with NUL", with(&[("x-a", "1\u{0}2")]), Resets),
        ("a pseudo field that nobody knows", with(&[(":x", "1")]), Resets),
        ("one of an answer", with(&[(":status", "200")]), Resets),
        ("one of a connection that isn't CONNECT", with(&[(":protocol", "x")]), Resets),
        ("one behind the others", of(&[method, scheme, ("x-a", "1"), path, authority]), Resets),
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
        ("a path that begins nowhere", of(&[method, scheme, (":path", "srv/"), authority]), Resets),
        ("an authority with a path", of(&[method, scheme, path, (":authority", "a/b")]), Resets),
        ("an authority with a space", of(&[method, scheme, path, (":authority", "a b")]), Resets),
        ("CONNECT with a path", of(&[(":method", "CONNECT"), scheme, path, authority]), Resets),
        ("connection", with(&[("connection", "keep-alive")]), Resets),
        ("keep-alive", with(&[("keep-alive", "1")]), Resets),
        ("proxy-connection", with(&[("proxy-connection", "close")]), Resets),
        ("upgrade", with(&[("upgrade", "h2c")]), Resets),
        ("a transfer coding", with(&[("transfer-encoding", "chunked")]), Resets),
        ("te, but for trailers", with(&[("te", "trailers, deflate")]), Resets),
        ("te for trailers", with(&[("te", "trailers")]), Serves(401)),
        ("a body that is shorter than it says", sized("9", b"a"), Resets),
        ("a body that is longer than it says", sized("1", b"ab"), Resets),
        ("a length that is none", sized("+1", b"a"), Resets),
        ("a length of no body", with(&[("content-length", "3")]), Resets),
        // Two hosts, or one that is none.
        ("another host", with(&[("host", "b")]), Serves(400)),
        ("two hosts", of(&[method, scheme, path, ("host", "a"), ("host", "a")]), Serves(400)),
        ("a user in the authority", of(&[method, scheme, path, (":authority", "u@a")]), Serves(400)),
        ("no host at all", of(&[method, scheme, path]), Serves(400)),
        ("a host that is none", of(&[method, scheme, path, ("host", "a/b")]), Serves(400)),
        // HPACK.
        ("the index 0", raw(&[0x80]), Ends),
        ("an index beyond the tables", raw(&[0xff, 0x7f]), Ends),
        ("a name's index beyond the tables", raw(&[0x7f, 0x7f, 1, b'x']), Ends),
        ("a table beyond the bound", request(1, &[&[0x3f, 0xe2, 0x1f][..], &head(&[])].concat()), Ends),
        ("a new size behind a field", raw(&[0x20]), Ends),
        ("Huffman with too much behind it", raw(&[0, 1, b'x', 0x83, 0xff, 0xff, 0xff]), Ends),
        ("Huffman padded by zeros", raw(&[0, 1, b'x', 0x81, 0x00]), Ends),
        ("Huffman with its end", raw(&[0, 1, b'x', 0x84, 0xff, 0xff, 0xff, 0xff]), Ends),
        ("a string beyond the end", raw(&[0, 9, b'x']), Ends),
        ("a number without an end", raw(&[0, 0x7f, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]), Ends),
    ]);
}
