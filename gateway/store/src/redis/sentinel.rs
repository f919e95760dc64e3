//! Asks the Sentinels which server is the primary.
//!
//! All Sentinels are asked at the same time, and the server that most of them name is tried first. During a failover they
//! may differ, and a Sentinel that was cut off may still name the former primary. The connection task checks that the named
//! server is a primary.

use super::access::NodeAccess;
use ::redis::{AsyncConnectionConfig, Client, RedisError, cmd};
use std::time::Duration;
use tokio::task::JoinSet;

/// Maximum time of a Sentinel's response, connecting included.
const TIMEOUT: Duration = Duration::from_millis(300);

/// The Sentinels of one primary.
pub(super) struct Sentinels {
    /// The primary's name in their configuration.
    name: String,
    clients: Vec<Client>,
    primary: NodeAccess,
}

/// A server that Sentinels name as the primary.
pub(super) struct NamedPrimary {
    /// `host:port`.
    pub host: String,
    /// Number of Sentinels that name it.
    pub votes: usize,
}

impl Sentinels {
    pub fn new(name: String, clients: Vec<Client>, primary: NodeAccess) -> Self {
        Self { name, clients, primary }
    }

    /// A client of a server that they named.
    pub fn client(&self, host: &str) -> Option<Client> {
        self.primary.client(host)
    }

    /// The servers that they name, most votes first; empty where no Sentinel responds. Takes at most [`TIMEOUT`].
    pub async fn primaries(&self) -> Vec<NamedPrimary> {
        let mut requests = JoinSet::new();
        for client in &self.clients {
            let (client, name) = (client.clone(), self.name.clone());
            requests.spawn(async move { tokio::time::timeout(TIMEOUT, primary(&client, &name)).await });
        }
        let mut named: Vec<NamedPrimary> = Vec::new();
        while let Some(response) = requests.join_next().await {
            let Ok(Ok(Ok(Some(host)))) = response else { continue };
            match named.iter_mut().find(|known| known.host == host) {
                Some(known) => known.votes += 1,
                None => named.push(NamedPrimary { host, votes: 1 }),
            }
        }
        named.sort_by_key(|named| std::cmp::Reverse(named.votes));
        named
    }

    /// Whether more than half of them name another server than this one.
    pub async fn have_failed_over(&self, host: &str) -> bool {
        let named = self.primaries().await;
        named.iter().any(|named| named.host != host && 2 * named.votes > self.clients.len())
    }
}

async fn primary(client: &Client, name: &str) -> Result<Option<String>, RedisError> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(TIMEOUT)).set_response_timeout(Some(TIMEOUT));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut command = cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let named: Option<(String, u16)> = command.query_async(&mut connection).await?;
    // An IPv6 address has brackets in a URL.
    let bracketed = |host: String| if host.contains(':') { format!("[{host}]") } else { host };
    Ok(named.map(|(host, port)| format!("{}:{port}", bracketed(host))))
}
