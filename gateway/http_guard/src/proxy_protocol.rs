//! The PROXY protocol, versions 1 and 2: the client's address, sent by a proxy before the client's own bytes.
//!
//! Implemented by the specification, haproxy's `proxy-protocol.txt`. The crates `ppp` and `proxy-header` do not replace
//! this module: they reject LOCAL headers whose family or length they do not know, which the specification says to ignore,
//! accept datagram families on a TCP connection, and do not bound the length of version 2 below 64 KiB.

use std::net::IpAddr;

/// Maximum size of a header, in bytes. Version 2 allows 64 KiB, which no proxy sends.
pub const MAX_HEADER_BYTES: usize = 4096;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Maximum size of a header of version 1, in bytes, with its CRLF.
const MAX_V1_BYTES: usize = 107;

/// What the first bytes of a connection are.
#[derive(Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The beginning of a header. More bytes are needed.
    Incomplete,
    /// A valid header.
    Complete {
        /// Size of the header, in bytes. The client's own bytes follow it.
        length: usize,
        /// Address of the client. `None` if the header has none: for the proxy's own connections, such as health checks,
        /// and for clients without an IP address.
        client: Option<IpAddr>,
    },
    /// No header, or a malformed one.
    Invalid,
}

impl ProxyHeader {
    /// Parses the first bytes of a connection.
    pub fn parse(bytes: &[u8]) -> Self {
        let begins_with = |start: &[u8]| bytes.iter().zip(start).all(|(a, b)| a == b);
        let parsed = match () {
            () if begins_with(SIGNATURE) => parse_v2(bytes),
            () if begins_with(b"PROXY ") => parse_v1(bytes),
            () => None,
        };
        parsed.unwrap_or(Self::Invalid)
    }
}

/// `PROXY TCP4 <source> <destination> <port> <port>`, or `PROXY UNKNOWN …`. `None` is invalid.
fn parse_v1(bytes: &[u8]) -> Option<ProxyHeader> {
    let Some(end) = bytes.windows(2).take(MAX_V1_BYTES - 1).position(|w| w == b"\r\n") else {
        return (bytes.len() < MAX_V1_BYTES).then_some(ProxyHeader::Incomplete);
    };
    let line = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let fields: Vec<&str> = line.split(' ').collect();
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let client = match *fields.as_slice() {
        ["PROXY", "UNKNOWN", ..] => None,
        ["PROXY", family @ ("TCP4" | "TCP6"), source, destination, from, to] if is_port(from) && is_port(to) => {
            let (source, destination): (IpAddr, IpAddr) = (source.parse().ok()?, destination.parse().ok()?);
            let v4 = family == "TCP4";
            (source.is_ipv4() == v4 && destination.is_ipv4() == v4).then_some(())?;
            Some(source.to_canonical())
        }
        _ => return None,
    };
    Some(ProxyHeader::Complete { length: end + 2, client })
}

/// Signature, version and command, family, length, addresses, extensions. `None` is invalid.
fn parse_v2(bytes: &[u8]) -> Option<ProxyHeader> {
    let Some((&[version_and_command, family, high, low], rest)) =
        bytes.get(SIGNATURE.len()..).and_then(|rest| rest.split_first_chunk::<4>())
    else {
        return Some(ProxyHeader::Incomplete);
    };
    let length = usize::from(u16::from_be_bytes([high, low]));
    let header_length = SIGNATURE.len() + 4 + length;
    if header_length > MAX_HEADER_BYTES {
        return None;
    }
    let Some(addresses) = rest.get(..length) else { return Some(ProxyHeader::Incomplete) };
    let client = match (version_and_command, family) {
        // LOCAL: a connection of the proxy itself. Family and addresses are to be ignored.
        (0x20, _) => None,
        // PROXY: TCP over IPv4 or IPv6.
        (0x21, 0x11) if length >= 12 => Some(IpAddr::from(*addresses.first_chunk::<4>()?)),
        (0x21, 0x21) if length >= 36 => Some(IpAddr::from(*addresses.first_chunk::<16>()?).to_canonical()),
        // PROXY: unspecified, or a UNIX socket. There is no IP address.
        (0x21, 0x00 | 0x31 | 0x32) => None,
        _ => return None,
    };
    Some(ProxyHeader::Complete { length: header_length, client })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, payload].concat()
    }

    #[test]
    fn a_header_is_parsed_once_it_is_complete() {
        let v4 = [198, 51, 100, 1, 10, 0, 0, 1, 18, 103, 0, 80];
        let v6: Vec<u8> = [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1][..], &[0; 20]].concat();
        for (bytes, client) in [
            (b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 80\r\n".to_vec(), Some("198.51.100.1")),
            (b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(), Some("2001:db8::1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), None),
            (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n".to_vec(), None),
            (v2(0x21, 0x11, &v4), Some("198.51.100.1")),
            (v2(0x21, 0x11, &[&v4[..], &[3, 0, 0]].concat()), Some("198.51.100.1")),
            (v2(0x21, 0x21, &v6), Some("2001:db8::1")),
            (v2(0x20, 0x11, &v4), None),
            (v2(0x20, 0, &[]), None),
            (v2(0x21, 0, &[]), None),
        ] {
            let input = [&bytes[..], b"GET / HTTP/1.1\r\n"].concat();
            let client = client.map(|c| c.parse().unwrap());
            let header = ProxyHeader::Complete { length: bytes.len(), client };
            assert_eq!(ProxyHeader::parse(&input), header, "{}", bytes.escape_ascii());
            for end in 0..bytes.len() {
                assert_eq!(
                    ProxyHeader::parse(&bytes[..end]),
                    ProxyHeader::Incomplete,
                    "{}",
                    bytes[..end].escape_ascii()
                );
            }
        }
    }

    #[test]
    fn an_invalid_header_is_recognised() {
        for bytes in [
            b"GET / HTTP/1.1\r\n".to_vec(),
            b"PROXY TCP4 198.51.100.1 10.0.0.1 4711\r\n".to_vec(),
            b"PROXY TCP4 ::1 ::1 1 2\r\n".to_vec(),
            b"PROXY TCP4 1.2.3.4 10.0.0.1 4711 99999\r\n".to_vec(),
            b"PROXY  TCP4 1.2.3.4 10.0.0.1 4711 80\r\n".to_vec(),
            [&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat(),
            v2(0x31, 0x11, &[0; 12]),
            v2(0x22, 0x11, &[0; 12]),
            v2(0x21, 0x11, &[0; 11]),
            v2(0x21, 0x21, &[0; 12]),
            v2(0x21, 0x41, &[0; 12]),
            v2(0x21, 0x11, &vec![0; MAX_HEADER_BYTES]),
        ] {
            assert_eq!(ProxyHeader::parse(&bytes), ProxyHeader::Invalid, "{}", bytes.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn no_input_panics(start in 0_usize..3, bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = [[&b""[..], SIGNATURE, b"PROXY TCP4 "][start], &bytes].concat();
            if let ProxyHeader::Complete { length, .. } = ProxyHeader::parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }
    }
}
