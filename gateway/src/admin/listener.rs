//! Connections of the admin side: plain or TLS, bounded in number and in time.

use crate::{proxies::Proxies, tls::Tls};
use axum::{Router, extract::Request, response::Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use std::{convert::Infallible, net::IpAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How many connections are open at once; further ones wait.
const CONNECTIONS: usize = 256;
/// How long a TLS handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long a connection may wait until the whole head of its next request is there.
const HEAD: Duration = Duration::from_secs(30);
/// The largest head of a request, bytes.
const LARGEST: usize = 32 * 1024;

/// Where a request came from.
#[derive(Clone, Copy, Debug)]
pub struct Remote(pub IpAddr);

/// Serves until dropped.
pub async fn serve(listener: TcpListener, tls: Option<Arc<Tls>>, proxies: Arc<Proxies>, routes: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
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
        let (tls, proxies, routes) = (tls.clone(), proxies.clone(), routes.clone());
        connections.spawn(async move {
            let _place = place;
            let _ = stream.set_nodelay(true);
            match tls {
                None => speak(stream, remote.ip(), &proxies, routes).await,
                Some(tls) => match timeout(HANDSHAKE, tls.acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => speak(stream, remote.ip(), &proxies, routes).await,
                    Ok(Err(e)) => tracing::debug!(cause = %e, "no TLS connection to the admin side"),
                    Err(_) => tracing::debug!("a TLS handshake with the admin side took too long"),
                },
            }
        });
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, peer: IpAddr, proxies: &Proxies, routes: Router) {
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let client = proxies.client(peer, request.headers());
        request.extensions_mut().insert(Remote(client));
        let answer: std::pin::Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>> =
            Box::pin(hyper::service::Service::call(&routes, request));
        answer
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(LARGEST);
    // A client that hangs up is its own affair.
    if let Err(e) = http.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(cause = %e, "a connection to the admin side ended early");
    }
}
