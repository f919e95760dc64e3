//! Frames of HTTP/2 that bring nothing, such as pings and settings: only so many may come within a minute.

use std::time::Duration;
use tokio::time::Instant;

/// What a connection begins with, before its frames.
const PREFACE: usize = 24;
const HEAD: usize = 9;
// Kinds of frames (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const MINUTE: Duration = Duration::from_secs(60);

/// A connection's place in its frames, and how many of this minute's brought nothing.
pub struct Frames {
    /// How many bytes come before the next frame.
    left: usize,
    /// What has come of its head.
    head: [u8; HEAD],
    begun: usize,
    most: u32,
    count: u32,
    since: Instant,
}

impl Frames {
    /// At the beginning; `most` may bring nothing.
    pub fn new(most: u32) -> Self {
        Self { left: PREFACE, head: [0; HEAD], begun: 0, most, count: 0, since: Instant::now() }
    }

    /// Looks at the next bytes. False where too many frames brought nothing.
    pub fn pass(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let passed = self.left.min(bytes.len());
            self.left -= passed;
            let (head, rest) = bytes[passed..].split_at((HEAD - self.begun).min(bytes.len() - passed));
            self.head[self.begun..][..head.len()].copy_from_slice(head);
            (self.begun, bytes) = (self.begun + head.len(), rest);
            if self.begun == HEAD {
                let [a, b, c, kind, ..] = self.head;
                (self.left, self.begun) = (u32::from_be_bytes([0, a, b, c]) as usize, 0);
                if !brings(kind, self.left) && self.are_too_many() {
                    return false;
                }
            }
        }
        true
    }

    fn are_too_many(&mut self) -> bool {
        self.count += 1;
        if self.count > self.most && self.since.elapsed() > MINUTE {
            (self.count, self.since) = (1, Instant::now());
        }
        self.count > self.most
    }
}

/// Whether a frame is part of a request, or lets an answer go on.
fn brings(kind: u8, length: usize) -> bool {
    match kind {
        DATA => length > 0,
        HEADERS | RST_STREAM | WINDOW_UPDATE | CONTINUATION => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these frames pass, given in pieces of this size.
    fn passed(frames: &[&[u8]], size: usize) -> usize {
        let mut counted = Frames::new(2);
        assert!(counted.pass(&[b'P'; PREFACE]));
        frames.iter().take_while(|frame| frame.chunks(size).all(|piece| counted.pass(piece))).count()
    }

    #[test]
    fn those_that_bring_nothing_are_counted_however_the_bytes_are_cut() {
        let ping: &[u8] = b"\0\0\x08\x06\0\0\0\0\0\0\0\x08\x06\0\0\0\0";
        let settings: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
        let empty: &[u8] = b"\0\0\0\0\0\0\0\0\x01";
        let piece: &[u8] = b"\0\0\x03\0\0\0\0\0\x01\0\0\x08";
        let head: &[u8] = b"\0\0\x01\x01\x05\0\0\0\x01\x82";
        for size in [1, 3, 9, 100] {
            assert_eq!(passed(&[ping, settings, empty, head], size), 2);
            assert_eq!(passed(&[head, piece, piece, ping, piece, empty, head, settings], size), 7);
        }
    }
}
