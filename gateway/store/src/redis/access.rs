//! The connection parameters of a Redis node: scheme, credentials, database and trusted CAs.

use ::redis::{Client, ConnectionInfo, IntoConnectionInfo, ProtocolVersion, TlsCertificates};

/// The connection parameters of the nodes of an address. It has no `Debug`, because it contains credentials.
pub(super) struct NodeAccess {
    pub scheme: String,
    /// `user:password@`, percent-encoded, or empty.
    pub user: String,
    pub database: String,
    /// The CAs that are trusted instead of the system's, PEM.
    pub ca: Option<Vec<u8>>,
}

impl NodeAccess {
    /// A client of the node at `host:port`.
    pub fn client(&self, host: &str) -> Option<Client> {
        self.open(self.info(host)?)
    }

    /// The connection parameters of the node at `host:port`.
    pub fn info(&self, host: &str) -> Option<ConnectionInfo> {
        let Self { scheme, user, database, .. } = self;
        format!("{scheme}://{user}{host}/{database}").into_connection_info().ok().map(resp3)
    }

    /// A client with these connection parameters and the trusted CAs.
    pub fn open(&self, info: ConnectionInfo) -> Option<Client> {
        match &self.ca {
            Some(pem) => Client::build_with_tls(info, certificates(pem)).ok(),
            None => Client::open(info).ok(),
        }
    }
}

/// The CAs in the form of the Redis client.
pub(super) fn certificates(pem: &[u8]) -> TlsCertificates {
    TlsCertificates { client_tls: None, root_cert: Some(pem.to_vec()) }
}

/// The same parameters with RESP3, which invalidations need.
pub(super) fn resp3(info: ConnectionInfo) -> ConnectionInfo {
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    info.set_redis_settings(settings)
}
