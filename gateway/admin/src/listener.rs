//! Connections of the admin side: plain or TLS, bounded in number and in time, their bytes held to what the traffic side's are.

use axum::{Router, extract::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use menlou_server::proxies::Proxies;
use menlou_server::tls::Tls;
use menlou_server::{
    addresses::Addresses,
    calls::Calls,
    wire::{Limits, Reset, Wire},
};
use std::{convert::Infallible, net::IpAddr, pin::Pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How many connections are open at once; further ones wait.
const CONNECTIONS: usize = 256;
/// How many of them one address may have: it must not keep probes and admins waiting.
const OF_ONE_ADDRESS: usize = CONNECTIONS / 2;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub IpAddr);

/// Serves until dropped.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    (limits, proxies): (Limits, Arc<Proxies>),
    routes: Router,
) {
    let (places, addresses) = (Arc::new(Semaphore::new(CONNECTIONS)), Addresses::new(OF_ONE_ADDRESS));
    let mut connections = JoinSet::new();
    if let Some(tls) = tls.clone() {
        connections.spawn(tls.follow());
    }
    loop {
        // The semaphore is never closed.
        let place = places.clone().acquire_owned().await.ok();
        let (stream, remote) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(e) => {
                tracing::warn!(cause = %e, "a connection to the admin side can't be taken up");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        // What has ended is cleared away.
        while connections.try_join_next().is_some() {}
        // Those of a proxy are as many as its clients need.
        let of_address = match proxies.trusts(remote.ip()) {
            true => None,
            false => match addresses.take(remote.ip()) {
                None => {
                    metrics::counter!("menlou_connections_rejected_total", "reason" => "address").increment(1);
                    continue;
                }
                place => place,
            },
        };
        let (tls, limits, proxies, routes) = (tls.clone(), limits.clone(), proxies.clone(), routes.clone());
        connections.spawn(async move {
            let _places = (place, of_address);
            let _ = stream.set_nodelay(true);
            match tls {
                None => speak(stream, remote.ip(), &limits, &proxies, routes).await,
                Some(tls) => match timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => speak(stream, remote.ip(), &limits, &proxies, routes).await,
                    Ok(Err(e)) => tracing::debug!(cause = %e, "no TLS connection to the admin side"),
                    Err(_) => tracing::debug!("a TLS handshake with the admin side took too long"),
                },
            }
        });
    }
}

async fn speak<T>(stream: T, peer: IpAddr, limits: &Limits, proxies: &Proxies, routes: Router)
where
    T: AsyncRead + AsyncWrite + Reset + Unpin,
{
    let (routes, calls) = (TowerToHyperService::new(routes), Calls::new());
    let wire = Wire::http1(stream, limits, calls.clone());
    let service = service_fn(move |mut request: Request<Incoming>| {
        let client = proxies.client(peer, request.headers());
        request.extensions_mut().insert(Remote(client));
        let (call, answer) = (calls.begin(), hyper::service::Service::call(&routes, request));
        let answer: Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>> = Box::pin(async move {
            let _call = call;
            answer.await
        });
        answer
    });
    let mut http = http1::Builder::new();
    // Heads are waited for, and those that are too long refused, before hyper has them.
    http.header_read_timeout(None).max_buf_size(2 * limits.max_head);
    // A client that hangs up is its own affair.
    if let Err(e) = http.serve_connection(TokioIo::new(wire), service).await {
        tracing::debug!(cause = %e, "a connection to the admin side ended early");
    }
}
