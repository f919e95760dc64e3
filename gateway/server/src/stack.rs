//! The layers around the request handler of the traffic port, composed.

use crate::{
    encode,
    guard::guard_config,
    handler::Handler,
    http_service::HttpService,
    layers::{
        admission::{Admission, AdmissionLayer},
        panic_guard::PanicGuardLayer,
        request_context::{RequestContext, RequestContextLayer},
    },
    listener::{self, ListenerConfig},
    request_id,
    response_body::ResponseBody,
    traffic::TrafficState,
};
use http::Response;
use menlou_error::{Error, codes};
use std::{future::Future, net::IpAddr, sync::Arc};
use tokio::net::TcpListener;
use tower::{Layer, ServiceBuilder};

/// The service that the layers of an operator's own build are put around.
pub type TrafficService = Admission<Handler, TrafficState>;

/// Serves the traffic port until `stop` is ready and the requests in flight have ended. `added` are the layers of an
/// operator's own build; `tower::layer::util::Identity` adds none.
pub async fn serve_traffic<L>(
    listener: TcpListener,
    traffic: Arc<TrafficState>,
    added: L,
    stop: impl Future<Output = ()>,
) where
    L: Layer<TrafficService, Service: HttpService>,
{
    // The first random number of a process takes a tenth of a second, which no request should wait for.
    tokio::task::spawn_blocking(request_id::prepare);
    let proxies = traffic.proxies.clone();
    // From the outermost layer to the handler. These are made once; connections clone them.
    let shared = ServiceBuilder::new()
        // Above the added layers, so that it covers their panics too; below the context, which its response needs.
        .layer(PanicGuardLayer::new(internal_error))
        // Above admission, so that added layers see every response, rejections included.
        .layer(added)
        // Nearest to the handler, so that a permit is held for as long as the handler and its response need, not longer.
        .layer(AdmissionLayer::new(traffic.admission.clone(), traffic.clone()))
        .service(Handler::new(traffic.clone()));
    // The context is outermost, as all the others use it. It is made for each connection, since it knows the peer.
    let new_service = move |peer: IpAddr| RequestContextLayer::new(peer, proxies.clone()).layer(shared.clone());
    listener::serve(listener, config(&traffic), new_service, stop).await;
}

fn internal_error(context: &RequestContext) -> Response<ResponseBody> {
    encode::error(&Error::new(&codes::INTERNAL_ERROR), context)
}

fn config(traffic: &TrafficState) -> ListenerConfig {
    let TrafficState { limits, clients, http2, .. } = traffic;
    ListenerConfig {
        name: "traffic",
        max_connections: limits.max_connections,
        max_connections_per_address: clients.max_connections_per_address,
        max_requests_per_connection: clients.max_requests_per_connection,
        max_headers: limits.max_headers,
        drain_timeout: limits.drain_timeout.get(),
        handshake_timeout: traffic.handshake_timeout,
        first_byte_timeout: clients.first_byte_timeout.get(),
        guard: guard_config(limits, clients, http2),
        http2: Some(http2.clone()),
        tls: traffic.tls.clone(),
        proxies: traffic.proxies.clone(),
        proxy_protocol: true,
        open_connections: metrics::gauge!("menlou_connections"),
    }
}
