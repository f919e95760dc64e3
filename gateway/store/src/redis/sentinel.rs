//! Who the primary is, by what the Sentinels say.
//!
//! All are asked at once, and whom most of them name is taken first: while a failover is under way they may differ, and
//! one that was cut off may still name the primary of before. That the server itself agrees is for who connects to it.

use super::address::Access;
use ::redis::{AsyncConnectionConfig, Client, RedisError, cmd};
use std::time::Duration;
use tokio::task::JoinSet;

/// How long a Sentinel may take, connecting included.
const ANSWER: Duration = Duration::from_millis(300);

/// The Sentinels of one primary.
pub(super) struct Sentinels {
    /// What they call it.
    name: String,
    clients: Vec<Client>,
    primary: Access,
}

/// A server that Sentinels name, `host:port`, and how many do.
pub(super) struct Named {
    pub host: String,
    pub votes: usize,
}

impl Sentinels {
    pub fn new(name: String, clients: Vec<Client>, primary: Access) -> Self {
        Self { name, clients, primary }
    }

    /// A client of a server that they named.
    pub fn client(&self, host: &str) -> Option<Client> {
        self.primary.at(host)
    }

    /// Whom they name, most votes first; nobody where none of them answers. Takes at most [`ANSWER`].
    pub async fn ask(&self) -> Vec<Named> {
        let mut asked = JoinSet::new();
        for client in &self.clients {
            let (client, name) = (client.clone(), self.name.clone());
            asked.spawn(async move { tokio::time::timeout(ANSWER, primary(&client, &name)).await });
        }
        let mut named: Vec<Named> = Vec::new();
        while let Some(answer) = asked.join_next().await {
            let Ok(Ok(Ok(Some(host)))) = answer else { continue };
            match named.iter_mut().find(|known| known.host == host) {
                Some(known) => known.votes += 1,
                None => named.push(Named { host, votes: 1 }),
            }
        }
        named.sort_by_key(|named| std::cmp::Reverse(named.votes));
        named
    }

    /// Whether more than half of them name another server than this one.
    pub async fn have_left(&self, host: &str) -> bool {
        let named = self.ask().await;
        named.iter().any(|named| named.host != host && 2 * named.votes > self.clients.len())
    }
}

async fn primary(client: &Client, name: &str) -> Result<Option<String>, RedisError> {
    let config = AsyncConnectionConfig::new().set_connection_timeout(Some(ANSWER)).set_response_timeout(Some(ANSWER));
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    let mut question = cmd("SENTINEL");
    question.arg("GET-MASTER-ADDR-BY-NAME").arg(name);
    let named: Option<(String, u16)> = question.query_async(&mut connection).await?;
    // An address of IPv6 has brackets in a URL.
    let bracketed = |host: String| if host.contains(':') { format!("[{host}]") } else { host };
    Ok(named.map(|(host, port)| format!("{}:{port}", bracketed(host))))
}
