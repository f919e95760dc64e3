//! Host patterns in configs: `api.example.com`, `*.example.com` for all subdomains, or a network.

use super::network::Network;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Cow, fmt, net::IpAddr, str::FromStr};

/// A host name, all subdomains of a host, or a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// The host of this name.
    Exact(String),
    /// All subdomains of this host.
    Subdomains(String),
    /// All addresses in this network. Names are not resolved.
    Network(Network),
}

impl HostPattern {
    /// Whether the host of a URL matches. Names are not resolved.
    pub fn matches(&self, host: &str) -> bool {
        match self {
            Self::Exact(name) => host == name,
            Self::Subdomains(name) => host.strip_suffix(name.as_str()).is_some_and(|start| start.ends_with('.')),
            Self::Network(network) => {
                let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
                bare.parse::<IpAddr>().is_ok_and(|address| network.contains(address))
            }
        }
    }
}

impl FromStr for HostPattern {
    type Err = &'static str;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        if let Ok(network) = written.parse() {
            return Ok(Self::Network(network));
        }
        let (below, name) = written.strip_prefix("*.").map_or((false, written), |name| (true, name));
        let part =
            |part: &str| !part.is_empty() && part.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        // Browsers read a host whose last label is a number as an IPv4 address.
        let number = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        match name.split('.').all(part) && !number {
            true if below => Ok(Self::Subdomains(name.to_owned())),
            true => Ok(Self::Exact(name.to_owned())),
            false => Err("not a host such as api.example.com or *.example.com, nor a network"),
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => f.write_str(name),
            Self::Subdomains(name) => write!(f, "*.{name}"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

impl Serialize for HostPattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HostPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = Cow::<str>::deserialize(deserializer)?;
        written.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for HostPattern {
    fn schema_name() -> Cow<'static, str> {
        "HostPattern".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "hosts",
            "x-expected": {
                "zh": "小写的主机名、\"*.example.com\"（所有子域名）或网段 \"10.20.0.0/16\"",
                "en": "a host name in lower case, \"*.example.com\" for all its subdomains, or a network such as \"10.20.0.0/16\"",
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_a_host_its_subdomains_or_a_network() {
        for (hosts, host, among) in [
            ("api.example.com", "api.example.com", true),
            ("api.example.com", "x.api.example.com", false),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", "badexample.com", false),
            ("*.example.com", "example.com.evil.net", false),
            ("10.20.0.0/16", "10.20.3.4", true),
            ("10.20.0.0/16", "10.21.3.4", false),
            ("10.20.0.0/16", "10.20.3.4.evil.net", false),
            ("2001:db8::/32", "[2001:db8::1]", true),
            ("127.0.0.1", "[::ffff:7f00:1]", true),
        ] {
            assert_eq!(hosts.parse::<HostPattern>().unwrap().matches(host), among, "{hosts} {host}");
        }
        for written in
            ["", "*", "*.", "a.*.com", "https://a.com", "A.com", "a.com:80", "a..com", "10.0.0", "a.com/8", "*.1"]
        {
            assert!(written.parse::<HostPattern>().is_err(), "{written}");
        }
    }
}
