//! Where Redis is, as its address says: one server, a primary that Sentinels name, or a cluster.
//!
//! - `redis://user:password@host:6379/0`
//! - `redis+sentinel://user:password@sentinel1:26379,sentinel2:26379/primary/0?sentinel_password=…`
//! - `redis+cluster://user:password@node1:6379,node2:6379`
//!
//! With `rediss` in place of `redis` all connections are by TLS. User and password are percent-encoded where they have
//! characters that mean something in a URL.

use super::sentinel::Sentinels;
use ::redis::{
    Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates,
    cluster::{ClusterClient, ClusterClientBuilder},
};
use std::time::Duration;

/// Where Redis is.
pub(super) enum Place {
    One(Client),
    Sentinels(Sentinels),
    Cluster(Box<ClusterClient>),
}

/// What an address is made of.
struct Parts<'a> {
    /// `user:password@`, or nothing.
    user: &'a str,
    hosts: Vec<&'a str>,
    path: Vec<&'a str>,
    query: &'a str,
}

/// How the nodes of a place are reached. It has no `Debug`: it holds credentials.
pub(super) struct Access {
    scheme: String,
    user: String,
    database: String,
    /// The CAs that are trusted in place of the system's, PEM.
    ca: Option<Vec<u8>>,
}

impl Place {
    /// Reads an address; `None` where it is none. `ca` holds, as PEM, the CAs to trust in place of the system's.
    /// `limits` are the longest that a connection and an answer of a cluster's node may take.
    pub fn of(url: &str, ca: Option<&[u8]>, (connect, answer): (Duration, Duration)) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let (scheme, kind) = scheme.split_once('+').unwrap_or((scheme, ""));
        if !matches!(scheme, "redis" | "rediss") {
            return None;
        }
        let access = |user: &str, database: &str| Access {
            scheme: scheme.to_owned(),
            user: user.to_owned(),
            database: database.to_owned(),
            ca: ca.map(<[u8]>::to_vec),
        };
        match kind {
            "" => {
                let info = resp3(url.into_connection_info().ok()?);
                access("", "").open(info).map(Self::One)
            }
            "sentinel" => {
                let Parts { user, hosts, path, query, .. } = Parts::of(rest)?;
                let (name, database) = match path[..] {
                    [name] => (name, "0"),
                    [name, database] => (name, database),
                    _ => return None,
                };
                let name = percent_encoding::percent_decode_str(name).decode_utf8().ok().filter(|n| !n.is_empty())?;
                let own = Access { ca: ca.map(<[u8]>::to_vec), ..access(&credentials(query)?, "") };
                let sentinels = hosts.iter().map(|host| own.at(&with_port(host, 26379)));
                let primary = access(user, database);
                // A fault in the part about the primary is to be found now, not when one is named.
                primary.at("localhost:6379")?;
                Some(Self::Sentinels(Sentinels::new(name.into_owned(), sentinels.collect::<Option<_>>()?, primary)))
            }
            "cluster" => {
                let Parts { user, hosts, path, query, .. } = Parts::of(rest)?;
                if !query.is_empty() || !path.iter().all(|part| matches!(*part, "" | "0")) {
                    return None;
                }
                let access = access(user, "");
                let nodes: Option<Vec<ConnectionInfo>> =
                    hosts.iter().map(|host| access.info(&with_port(host, 6379))).collect();
                let mut builder = ClusterClientBuilder::new(nodes?)
                    .connection_timeout(connect)
                    .response_timeout(answer)
                    .overall_response_timeout(Some(answer))
                    // Redirections count as retries; the deadline is what ends them.
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

impl<'a> Parts<'a> {
    fn of(rest: &'a str) -> Option<Self> {
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rfind('@') {
            Some(at) => authority.split_at(at + 1),
            None => ("", authority),
        };
        let hosts: Vec<_> = hosts.split(',').collect();
        let whole = hosts.iter().all(|host| !host.is_empty());
        whole.then(|| Self { user, hosts, path: path.trim_end_matches('/').split('/').collect(), query })
    }
}

impl Access {
    /// A client of the node at `host:port`.
    pub fn at(&self, host: &str) -> Option<Client> {
        self.open(self.info(host)?)
    }

    fn info(&self, host: &str) -> Option<ConnectionInfo> {
        let Self { scheme, user, database, .. } = self;
        format!("{scheme}://{user}{host}/{database}").into_connection_info().ok().map(resp3)
    }

    fn open(&self, info: ConnectionInfo) -> Option<Client> {
        match &self.ca {
            Some(pem) => Client::build_with_tls(info, certificates(pem)).ok(),
            None => Client::open(info).ok(),
        }
    }
}

fn certificates(pem: &[u8]) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) }
}

fn resp3(info: ConnectionInfo) -> ConnectionInfo {
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    info.set_redis_settings(settings)
}

fn with_port(host: &str, port: u16) -> String {
    let after_address = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
    if after_address.contains(':') { host.to_owned() } else { format!("{host}:{port}") }
}

/// The Sentinels' own user and password, as they stand in a URL.
fn credentials(query: &str) -> Option<String> {
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

    fn place(url: &str) -> Option<Place> {
        Place::of(url, None, (Duration::from_secs(1), Duration::from_secs(1)))
    }

    #[test]
    fn one_server_sentinels_and_clusters_are_told_apart() {
        for url in ["redis://h", "redis://u:p@h:1/2", "rediss://h", "redis://[::1]:6379/0"] {
            assert!(matches!(place(url), Some(Place::One(_))), "{url}");
        }
        for url in [
            "redis+sentinel://h/mymaster",
            "rediss+sentinel://u:p%40@a:1,b,[::1]:3,[::1]/mymaster/3?sentinel_user=s&sentinel_password=x%26",
        ] {
            assert!(matches!(place(url), Some(Place::Sentinels(_))), "{url}");
        }
        for url in ["redis+cluster://a", "redis+cluster://u:p@a:1,b:2/", "rediss+cluster://:p@a:1,b/0"] {
            assert!(matches!(place(url), Some(Place::Cluster(_))), "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
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
            assert!(place(url).is_none(), "{url}");
        }
    }

    #[test]
    fn a_host_without_a_port_gets_the_usual_one() {
        for (host, whole) in [("a", "a:1"), ("a:2", "a:2"), ("[::1]", "[::1]:1"), ("[::1]:2", "[::1]:2")] {
            assert_eq!(with_port(host, 1), whole);
        }
    }
}
