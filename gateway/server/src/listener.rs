//! The listener: one accept loop for every port of the gateway, generic over the service that answers its requests.
//!
//! It bounds connections in total and per address, reads the PROXY protocol, completes TLS handshakes, detects the
//! HTTP version of each connection, puts the guard in front of hyper, and drains connections when the gateway stops.
//! The service handles the requests.

mod config;
mod connection;
mod in_flight;

use crate::{
    addresses::{AddressPermit, ConnectionsPerAddress},
    http_service::HttpService,
};
pub use config::ListenerConfig;
use connection::Protocols;
use std::{future::Future, io, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{sleep, timeout},
};

/// Pause after an error of `accept` that is likely to persist, such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves connections until `stop` completes. Then it accepts no more connections and waits up to
/// [`ListenerConfig::drain_timeout`] for the requests in flight.
///
/// `new_service` creates the service of one connection from the client's address.
pub async fn serve<N, S>(listener: TcpListener, config: ListenerConfig, new_service: N, stop: impl Future<Output = ()>)
where
    N: Fn(IpAddr) -> S + Send + Sync + 'static,
    S: HttpService,
{
    let permits = Arc::new(Semaphore::new(config.max_connections));
    let (stopping, stopped) = watch::channel(false);
    let (name, drain_timeout, open) = (config.name, config.drain_timeout, config.open_connections.clone());
    let connections = Arc::new(Connections::new(config, new_service));
    let mut stop = std::pin::pin!(stop);
    loop {
        let (stream, peer, permit) = tokio::select! {
            () = &mut stop => break,
            accepted = accept(&listener, &permits, name) => accepted,
        };
        let Some(address_permit) = connections.admit(peer) else { continue };
        let (connections, stopped, open) = (connections.clone(), stopped.clone(), open.clone());
        tokio::spawn(async move {
            open.increment(1.0);
            connections.serve(stream, peer, stopped).await;
            open.decrement(1.0);
            drop((permit, address_permit));
        });
    }
    drop((listener, stopped));
    stopping.send_replace(true);
    // Each connection holds a receiver until it ends.
    if timeout(drain_timeout, stopping.closed()).await.is_err() {
        tracing::warn!(listener = name, "drain timeout exceeded: requests in flight are aborted");
    }
}

/// What all connections of a listener share.
struct Connections<N> {
    protocols: Protocols,
    addresses: ConnectionsPerAddress,
    new_service: N,
}

impl<N, S> Connections<N>
where
    N: Fn(IpAddr) -> S,
    S: HttpService,
{
    fn new(config: ListenerConfig, new_service: N) -> Self {
        let addresses = ConnectionsPerAddress::new(config.max_connections_per_address);
        Self { protocols: Protocols::new(config), addresses, new_service }
    }

    /// Counts a connection of this address. `None` if the address has the maximum number of connections. `Some(None)` if the
    /// address is a trusted proxy, whose number of connections is not limited.
    fn admit(&self, address: IpAddr) -> Option<Option<AddressPermit>> {
        if self.protocols.trusts(address) {
            return Some(None);
        }
        let permit = self.addresses.try_acquire(address);
        if permit.is_none() {
            metrics::counter!("menlou_connections_rejected_total", "reason" => "address").increment(1);
        }
        permit.map(Some)
    }

    /// Serves a connection until it ends or, if the gateway stops, until its requests have ended.
    async fn serve(&self, stream: TcpStream, peer: IpAddr, stopped: watch::Receiver<bool>) {
        let Some((stream, client)) = self.protocols.read_proxy_header(stream, peer, stopped.clone()).await else {
            return;
        };
        let _client_permit = match client == peer {
            true => None,
            false => match self.admit(client) {
                Some(permit) => permit,
                None => return,
            },
        };
        self.protocols.serve(stream, || (self.new_service)(client), stopped).await;
    }
}

/// Accepts the next connection. Connections beyond the maximum wait in the kernel's queue.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
    name: &'static str,
) -> (TcpStream, IpAddr, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed.
    let permit = permits.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let _ = stream.set_nodelay(true);
                return (stream, peer.ip().to_canonical(), permit);
            }
            // The client disconnected before the connection was accepted.
            Err(e) if is_client_error(&e) => {}
            Err(e) => {
                tracing::error!(listener = name, cause = %e, "could not accept a connection");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_client_error(e: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
    matches!(e.kind(), ConnectionAborted | ConnectionReset | Interrupted)
}
