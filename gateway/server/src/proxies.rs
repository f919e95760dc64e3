//! The client's address behind trusted proxies: from the PROXY protocol, and from the header that the proxies set.

use http::{
    HeaderMap, HeaderName,
    header::{FORWARDED, HeaderValue},
};
use menlou_config::server::{self, ProxyHeader};
use std::net::{IpAddr, SocketAddr};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Trusted proxies, and what they send.
pub struct Proxies(server::Proxies);

impl Proxies {
    /// Takes the settings from the config.
    pub fn new(config: &server::Proxies) -> Self {
        Self(config.clone())
    }

    /// The header in which trusted proxies pass the client's address, if any proxy is trusted.
    pub fn header(&self) -> Option<ProxyHeader> {
        (!self.0.trusted.is_empty()).then_some(self.0.header)
    }

    /// Whether this address is a trusted proxy.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.0.trusted.iter().any(|network| network.contains(address))
    }

    /// Whether a connection from this address has to begin with the PROXY protocol.
    pub fn expects_proxy_protocol(&self, address: IpAddr) -> bool {
        self.0.proxy_protocol && self.trusts(address)
    }

    /// The client of a request that came from `peer`: the last hop that is not a trusted proxy. Anyone may have written the
    /// hops before it.
    pub fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        if self.0.trusted.is_empty() || !self.trusts(peer) {
            return peer;
        }
        let (name, read): (_, fn(&str) -> Option<IpAddr>) = match self.0.header {
            ProxyHeader::None => return peer,
            ProxyHeader::XForwardedFor => (X_FORWARDED_FOR, address),
            ProxyHeader::Forwarded => (FORWARDED, forwarded_for),
        };
        let lines = headers.get_all(name).iter().map(HeaderValue::to_str).collect::<Vec<_>>();
        let mut client = peer;
        for hop in lines.iter().rev().flat_map(|line| line.as_deref().unwrap_or("?").rsplit(',')) {
            match read(hop.trim()) {
                Some(address) if self.trusts(address) => client = address,
                Some(address) => return address,
                // A hop that is not an address ends the search.
                None => break,
            }
        }
        client
    }
}

/// An address with or without a port, IPv6 with or without brackets.
fn address(written: &str) -> Option<IpAddr> {
    let bracketed = || written.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let parsed = written.parse().ok().or_else(bracketed);
    parsed.or_else(|| written.parse::<SocketAddr>().ok().map(|a| a.ip())).map(|a: IpAddr| a.to_canonical())
}

/// The `for` of one element.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
    let (_, node) = pairs.find(|(name, _)| name.eq_ignore_ascii_case("for"))?;
    address(node.strip_prefix('"').and_then(|n| n.strip_suffix('"')).unwrap_or(node))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(header: ProxyHeader, peer: &str, name: &'static str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8", "::1"].map(|n| n.parse().unwrap()).to_vec();
        let proxies = Proxies::new(&server::Proxies { trusted, header, proxy_protocol: false });
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, HeaderValue::from_bytes(line.as_bytes()).unwrap());
        }
        proxies.client(peer.parse().unwrap(), &headers).to_string()
    }

    #[test]
    fn the_client_is_the_last_that_is_no_proxy_of_ours() {
        for (peer, lines, expected) in [
            ("203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.1, 10.2.3.4"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4", "198.51.100.1", "10.2.3.4"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4, nonsense, 10.2.3.4"], "10.2.3.4"),
            ("10.0.0.1", &["1.2.3.4, "], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4", "\u{e9}"], "10.0.0.1"),
            ("10.0.0.1", &["10.9.9.9, 10.2.3.4"], "10.9.9.9"),
            ("10.0.0.1", &["198.51.100.1:4711"], "198.51.100.1"),
            ("::1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("::1", &["2001:db8::1"], "2001:db8::1"),
        ] {
            assert_eq!(
                client(ProxyHeader::XForwardedFor, peer, "x-forwarded-for", lines),
                expected,
                "{peer} {lines:?}"
            );
        }
        for (line, expected) in [
            ("for=198.51.100.1;proto=https;by=10.0.0.1", "198.51.100.1"),
            ("for=1.2.3.4, proto=https;For=\"[2001:db8::1]:4711\"", "2001:db8::1"),
            ("for=1.2.3.4, for=_hidden", "10.0.0.1"),
            ("for=1.2.3.4, for=unknown", "10.0.0.1"),
            ("for=1.2.3.4, by=10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(client(ProxyHeader::Forwarded, "10.0.0.1", "forwarded", &[line]), expected, "{line}");
            assert_eq!(client(ProxyHeader::XForwardedFor, "10.0.0.1", "forwarded", &[line]), "10.0.0.1");
        }
        assert_eq!(client(ProxyHeader::None, "10.0.0.1", "x-forwarded-for", &["1.2.3.4"]), "10.0.0.1");
    }
}
