//! The address of Redis: one server, a primary that Sentinels name, or a cluster.
//!
//! - `redis://user:password@host:6379/0`
//! - `redis+sentinel://user:password@sentinel1:26379,sentinel2:26379/primary/0?sentinel_password=…`
//! - `redis+cluster://user:password@node1:6379,node2:6379`
//!
//! With `rediss` instead of `redis` all connections use TLS. User and password are percent-encoded.

use super::{
    access::{NodeAccess, certificates, resp3},
    sentinel::Sentinels,
};
use ::redis::{
    Client, ConnectionInfo, IntoConnectionInfo,
    cluster::{ClusterClient, ClusterClientBuilder},
};
use std::time::Duration;

/// The address of Redis.
pub(super) enum RedisAddress {
    Single(Client),
    Sentinels(Sentinels),
    Cluster(Box<ClusterClient>),
}

/// The parts of an address with several hosts.
struct AddressParts<'a> {
    /// `user:password@`, or empty.
    user: &'a str,
    hosts: Vec<&'a str>,
    path: Vec<&'a str>,
    query: &'a str,
}

impl RedisAddress {
    /// Parses an address; `None` where it is malformed. `ca` holds, as PEM, the CAs to trust instead of the system's.
    /// `connect` and `response` are timeouts of a connection to a cluster's node and of its response.
    pub fn parse(url: &str, ca: Option<&[u8]>, connect: Duration, response: Duration) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !matches!(scheme, "redis" | "rediss") {
            return None;
        }
        let access = |user: &str, database: &str| NodeAccess {
            scheme: scheme.to_owned(),
            user: user.to_owned(),
            database: database.to_owned(),
            ca: ca.map(<[u8]>::to_vec),
        };
        match kind {
            "" => {
                let info = resp3(url.into_connection_info().ok()?);
                access("", "").open(info).map(Self::Single)
            }
            "sentinel" => {
                let AddressParts { user, hosts, path, query } = AddressParts::parse(rest)?;
                let (name, database) = match path[..] {
                    [name] => (name, "0"),
                    [name, database] => (name, database),
                    _ => return None,
                };
                let name = percent_encoding::percent_decode_str(name).decode_utf8().ok().filter(|n| !n.is_empty())?;
                let of_sentinels = access(&sentinel_credentials(query)?, "");
                let clients = hosts.iter().map(|host| of_sentinels.client(&with_port(host, 26379)));
                let primary = access(user, database);
                // Errors in the primary's part are found now, and not when the Sentinels name a primary.
                primary.client("localhost:6379")?;
                Some(Self::Sentinels(Sentinels::new(name.into_owned(), clients.collect::<Option<_>>()?, primary)))
            }
            "cluster" => {
                let AddressParts { user, hosts, path, query } = AddressParts::parse(rest)?;
                if !query.is_empty() || !path.iter().all(|part| matches!(*part, "" | "0")) {
                    return None;
                }
                let access = access(user, "");
                let nodes: Option<Vec<ConnectionInfo>> =
                    hosts.iter().map(|host| access.info(&with_port(host, 6379))).collect();
                let mut builder = ClusterClientBuilder::new(nodes?)
                    .connection_timeout(connect)
                    .response_timeout(response)
                    .overall_response_timeout(Some(response))
                    // Redirections count as retries; the timeout above ends them.
                    .retries(8)
                    .min_retry_wait(10)
                    .max_retry_wait(60);
                if let Some(pem) = ca {
                    builder = builder.certs(certificates(pem));
                }
                builder.build().ok().map(|client| Self::Cluster(Box::new(client)))
            }
            _ => None,
        }
    }
}

impl<'a> AddressParts<'a> {
    fn parse(rest: &'a str) -> Option<Self> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rfind('@') {
            Some(at) => authority.split_at(at + 1),
            None => ("", authority),
        };
        let hosts: Vec<_> = hosts.split(',').collect();
        let has_all_hosts = hosts.iter().all(|host| !host.is_empty());
        has_all_hosts.then(|| Self { user, hosts, path: path.trim_end_matches('/').split('/').collect(), query })
    }
}

fn with_port(host: &str, port: u16) -> String {
    let after_address = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    if after_address.contains(':') { host.to_owned() } else { format!("{host}:{port}") }
}

/// User and password of the Sentinels, from the URL's query, in the form of a URL: `user:password@` or empty.
fn sentinel_credentials(query: &str) -> Option<String> {
    let (mut user, mut password) = (String::new(), None);
    for (name, value) in
        query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=')).collect::<Option<Vec<_>>>()?
    {
        match name {
            "sentinel_user" => user = value.to_owned(),
            "sentinel_password" => password = Some(value),
            _ => return None,
        }
    }
    Some(password.map_or_else(String::new, |password| format!("{user}:{password}@")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Option<RedisAddress> {
        RedisAddress::parse(url, None, Duration::from_secs(1), Duration::from_secs(1))
    }

    #[test]
    fn single_servers_sentinels_and_clusters_are_parsed() {
        for url in ["redis://h", "redis://u:p@h:1/2", "rediss://h", "redis://[::1]:6379/0"] {
            assert!(matches!(parse(url), Some(RedisAddress::Single(_))), "{url}");
        }
        for url in [
            "redis+sentinel://h/mymaster",
            "rediss+sentinel://u:p%40@a:1,b,[::1]:3,[::1]/mymaster/3?sentinel_user=s&sentinel_password=x%26",
        ] {
            assert!(matches!(parse(url), Some(RedisAddress::Sentinels(_))), "{url}");
        }
        for url in ["redis+cluster://a", "redis+cluster://u:p@a:1,b:2/", "rediss+cluster://:p@a:1,b/0"] {
            assert!(matches!(parse(url), Some(RedisAddress::Cluster(_))), "{url}");
        }
    }

    #[test]
    fn malformed_addresses_are_refused() {
        for url in [
            "",
            "hunter2",
            "http://h",
            "redis+other://h",
            "redis+sentinel://h",
            "redis+sentinel://h/",
            "redis+sentinel://h/m/0/1",
            "redis+sentinel://h/m/x",
            "redis+sentinel://h,/m",
            "redis+sentinel://h/m?password=x",
            "redis+sentinel://h/m?sentinel_password",
            "redis+cluster://",
            "redis+cluster://a,,b",
            "redis+cluster://a/1",
            "redis+cluster://a?x=y",
            "redis+cluster://a:port",
        ] {
            assert!(parse(url).is_none(), "{url}");
        }
    }

    #[test]
    fn host_without_a_port_gets_the_default_port() {
        for (host, expected) in [("a", "a:1"), ("a:2", "a:2"), ("[::1]", "[::1]:1"), ("[::1]:2", "[::1]:2")] {
            assert_eq!(with_port(host, 1), expected);
        }
    }
}
