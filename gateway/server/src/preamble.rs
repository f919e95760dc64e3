//! The PROXY protocol, versions 1 and 2: what a proxy says of the client before the client's own bytes.
//!
//! As haproxy's `proxy-protocol.txt` has it.

use std::net::IpAddr;

/// No preamble is longer, in bytes. Version 2 allows more; nobody sends it.
pub const MOST: usize = 4096;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// The longest of version 1, with its CRLF.
const MOST_V1: usize = 107;

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub enum Preamble {
    /// The beginning of one.
    More,
    /// One of this many bytes; the client's address, where it says one.
    Whole(usize, Option<IpAddr>),
    /// None.
    Wrong,
}

impl Preamble {
    /// Reads the first bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let begins = |with: &[u8]| bytes.iter().zip(with).all(|(a, b)| a == b);
        let read = match () {
            () if begins(SIGNATURE) => v2(bytes),
            () if begins(b"PROXY ") => v1(bytes),
            () => None,
        };
        read.unwrap_or(Self::Wrong)
    }
}

/// `PROXY TCP4 <source> <destination> <port> <port>`, or `PROXY UNKNOWN …`; `None` is wrong.
fn v1(bytes: &[u8]) -> Option<Preamble> {
    let Some(end) = bytes.windows(2).take(MOST_V1 - 1).position(|w| w == b"\r\n") else {
        return (bytes.len() < MOST_V1).then_some(Preamble::More);
    };
    let line = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let words: Vec<&str> = line.split(' ').collect();
    let port = |written: &str| written.parse::<u16>().is_ok();
    let source = match *words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, from, to] if port(from) && port(to) => {
            let (source, destination): (IpAddr, IpAddr) = (source.parse().ok()?, destination.parse().ok()?);
            let v4 = family == "TCP4";
            (source.is_ipv4() == v4 && destination.is_ipv4() == v4).then_some(())?;
            Some(source.to_canonical())
        }
        _ => return None,
    };
    Some(Preamble::Whole(end + 2, source))
}

/// Signature, version and command, family, length, addresses, and what more there is; `None` is wrong.
fn v2(bytes: &[u8]) -> Option<Preamble> {
    let Some((&[version_and_command, family, high, low], rest)) =
        bytes.get(SIGNATURE.len()..).and_then(|rest| rest.split_first_chunk::<4>())
    else {
        return Some(Preamble::More);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let whole = SIGNATURE.len() + 4 + length;
    if whole > MOST {
        return None;
    }
    let Some(addresses) = rest.get(..length) else { return Some(Preamble::More) };
    let source = match (version_and_command, family) {
        // LOCAL: the proxy speaks for itself.
        (0x20, _) => None,
        // PROXY, by TCP over IPv4 and IPv6.
        (0x21, 0x11) if length >= 12 => Some(IpAddr::from(*addresses.first_chunk::<4>()?)),
        (0x21, 0x21) if length >= 36 => Some(IpAddr::from(*addresses.first_chunk::<16>()?).to_canonical()),
        // By something that has no such address.
        (0x21, 0x00 | 0x31 | 0x32) => None,
        _ => return None,
    };
    Some(Preamble::Whole(whole, source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn second(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, payload].concat()
    }

    #[test]
    fn a_preamble_is_read_once_it_is_whole() {
        let v4 = [198, 51, 100, 1, 10, 0, 0, 1, 18, 103, 0, 80];
        let v6: Vec<u8> = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 20]].concat();
        for (bytes, client) in [
            (b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 80\r\n".to_vec(), Some("198.51.100.1")),
            (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(), Some("2001:db8::1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (second(0x21, 0x11, &v4), Some("198.51.100.1")),
            (second(0x21, 0x11, &[&v4[..], &[3, 0, 0]].concat()), Some("198.51.100.1")),
            (second(0x21, 0x21, &v6), Some("2001:db8::1")),
            (second(0x20, 0x11, &v4), None),
            (second(0x20, 0, &[]), None),
            (second(0x21, 0, &[]), None),
        ] {
            let behind = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            let client = client.map(|c| c.parse().unwrap());
            assert_eq!(Preamble::of(&behind), Preamble::Whole(bytes.len(), client), "{}", bytes.escape_ascii());
            for end in 0..bytes.len() {
                assert_eq!(Preamble::of(&bytes[..end]), Preamble::More, "{}", bytes[..end].escape_ascii());
            }
        }
    }

    #[test]
    fn what_is_none_is_told_as_such() {
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 198.51.100.1 10.0.0.1 4711\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 10.0.0.1 4711 99999\r\n".to_vec(),
            b"PROXY  TCP4 1.2.3.4 10.0.0.1 4711 80\r\n".to_vec(),
            [&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat(),
            second(0x31, 0x11, &[0; 12]),
            second(0x22, 0x11, &[0; 12]),
            second(0x21, 0x11, &[0; 11]),
            second(0x21, 0x21, &[0; 12]),
            second(0x21, 0x41, &[0; 12]),
            second(0x21, 0x11, &vec![0; MOST]),
        ] {
            assert_eq!(Preamble::of(&bytes), Preamble::Wrong, "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_do(start in 0_usize..3, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [[&b""[..], SIGNATURE, b"PROXY TCP4 "][start], &bytes].concat();
            if let Preamble::Whole(length, _) = Preamble::of(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
