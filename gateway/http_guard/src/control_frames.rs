//! HTTP/2 control frames: a connection may send only so many per minute.

use std::time::Duration;
use tokio::time::Instant;

/// Size of the connection preface, in bytes. Frames follow it.
const PREFACE_BYTES: usize = 24;
/// Size of a frame's header, in bytes.
const HEADER_BYTES: usize = 9;
// Frame types (RFC 9113, 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const MINUTE: Duration = Duration::from_secs(60);

/// Counts the control frames that a client sends: frames that neither carry a part of a request nor let a response go on.
pub struct ControlFrameCounter {
    /// Number of bytes before the next frame.
    left: usize,
    /// The first `received` bytes of the next frame's header.
    header: [u8; HEADER_BYTES],
    received: usize,
    max_per_minute: u32,
    count: u32,
    since: Instant,
}

impl ControlFrameCounter {
    /// At the beginning of a connection.
    pub fn new(max_per_minute: u32) -> Self {
        Self {
            left: PREFACE_BYTES,
            header: [0; HEADER_BYTES],
            received: 0,
            max_per_minute,
            count: 0,
            since: Instant::now(),
        }
    }

    /// Counts the frames in the next bytes of the connection. Returns false when there are too many control frames.
    pub fn check(&mut self, mut bytes: &[u8]) -> bool {
        while !bytes.is_empty() {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            let wanted = (HEADER_BYTES - self.received).min(bytes.len() - skipped);
            let (header, rest) = bytes[skipped..].split_at(wanted);
            self.header[self.received..][..header.len()].copy_from_slice(header);
            (self.received, bytes) = (self.received + header.len(), rest);
            if self.received == HEADER_BYTES {
                let [a, b, c, frame_type, ..] = self.header;
                (self.left, self.received) = (u32::from_be_bytes([0, a, b, c]) as usize, 0);
                if is_control(frame_type, self.left) && self.is_over_limit() {
                    return false;
                }
            }
        }
        true
    }

    /// Counts one control frame.
    fn is_over_limit(&mut self) -> bool {
        self.count += 1;
        if self.count > self.max_per_minute && self.since.elapsed() > MINUTE {
            (self.count, self.since) = (1, Instant::now());
        }
        self.count > self.max_per_minute
    }
}

/// Whether a frame neither carries a part of a request nor lets a response go on. An empty DATA frame is one too.
fn is_control(frame_type: u8, length: usize) -> bool {
    match frame_type {
        DATA => length == 0,
        HEADERS | RST_STREAM | WINDOW_UPDATE | CONTINUATION => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of frames that pass before the limit of two control frames, in pieces of `size` bytes.
    fn passed(frames: &[&[u8]], size: usize) -> usize {
        let mut counter = ControlFrameCounter::new(2);
        assert!(counter.check(&[b'P'; PREFACE_BYTES]));
        frames.iter().take_while(|frame| frame.chunks(size).all(|piece| counter.check(piece))).count()
    }

    #[test]
    fn control_frames_are_counted_however_the_bytes_are_cut() {
        let ping: &[u8] = b"\0\0\x08\x06\0\0\0\0\0\0\0\x08\x06\0\0\0\0";
        let settings: &[u8] = b"\0\0\0\x04\0\0\0\0\0";
        let empty: &[u8] = b"\0\0\0\0\0\0\0\0\x01";
        let data: &[u8] = b"\0\0\x03\0\0\0\0\0\x01\0\0\x08";
        let head: &[u8] = b"\0\0\x01\x01\x05\0\0\0\x01\x82";
        for size in [1, 3, 9, 100] {
            assert_eq!(passed(&[ping, settings, empty, head], size), 2);
            assert_eq!(passed(&[head, data, data, ping, data, empty, head, settings], size), 7);
        }
    }
}
