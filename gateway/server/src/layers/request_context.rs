//! Request context: id, language and client address of a request, as an extension of the request.
//!
//! The layer belongs to one connection, since it knows the connection's peer. Everything below it, the layers of an
//! operator's own build included, finds a [`RequestContext`] in `request.extensions()`.

use crate::{compress::accepts_gzip, proxies::Proxies, request_id};
use http::{Extensions, HeaderMap, Request, header::ACCEPT_LANGUAGE};
use menlou_error::text::Language;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    task::{Context, Poll},
};
use tokio::time::Instant;
use tower::{Layer, Service};

/// What is known of a request before it is decoded. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The request's id: the client's own if it is a valid one, else one that is unique among all gateways.
    pub id: Arc<str>,
    /// Language of the response's `msg`.
    pub language: Language,
    /// Whether the client accepts gzip.
    pub gzip: bool,
    /// The client's address, behind trusted proxies.
    pub client: IpAddr,
    /// Whether the request came from a trusted proxy, whose headers are accepted.
    pub is_from_proxy: bool,
    /// When the head of the request was complete.
    pub received: Instant,
}

impl RequestContext {
    /// Reads the headers of a request of this client.
    pub fn from_headers(headers: &HeaderMap, client: IpAddr) -> Self {
        let language = headers.get(ACCEPT_LANGUAGE).and_then(|v| v.to_str().ok());
        Self {
            id: request_id::for_request(headers.get(request_id::X_REQUEST_ID).map(|v| v.as_bytes())),
            language: language.map(Language::from_accept_language).unwrap_or_default(),
            gzip: accepts_gzip(headers),
            client,
            is_from_proxy: false,
            received: Instant::now(),
        }
    }

    /// The context that the layer has added; without the layer, one for a client at 0.0.0.0.
    pub fn from_extensions(extensions: &Extensions, headers: &HeaderMap) -> Self {
        let found = extensions.get::<Self>().cloned();
        found.unwrap_or_else(|| Self::from_headers(headers, Ipv4Addr::UNSPECIFIED.into()))
    }
}

/// Adds a [`RequestContext`] to the requests of one connection.
#[derive(Clone)]
pub struct RequestContextLayer {
    peer: IpAddr,
    is_from_proxy: bool,
    proxies: Arc<Proxies>,
}

impl RequestContextLayer {
    /// For a connection from `peer`. If that is a trusted proxy, the client's address is taken from the header that
    /// the proxy sets.
    pub fn new(peer: IpAddr, proxies: Arc<Proxies>) -> Self {
        Self { peer, is_from_proxy: proxies.trusts(peer), proxies }
    }
}

impl<S> Layer<S> for RequestContextLayer {
    type Service = WithRequestContext<S>;

    fn layer(&self, inner: S) -> Self::Service {
        WithRequestContext { layer: self.clone(), inner }
    }
}

/// The service that [`RequestContextLayer`] makes.
#[derive(Clone)]
pub struct WithRequestContext<S> {
    layer: RequestContextLayer,
    inner: S,
}

impl<S, B> Service<Request<B>> for WithRequestContext<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> S::Future {
        let RequestContextLayer { peer, is_from_proxy, ref proxies } = self.layer;
        let client = if is_from_proxy { proxies.client(peer, request.headers()) } else { peer };
        let context = RequestContext { is_from_proxy, ..RequestContext::from_headers(request.headers(), client) };
        request.extensions_mut().insert(context);
        self.inner.call(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use menlou_config::server::{self, ProxyHeader};
    use std::convert::Infallible;
    use tower::service_fn;

    async fn context_of(peer: &str, request: http::request::Builder) -> RequestContext {
        let proxies = Proxies::new(&server::Proxies {
            trusted: vec!["10.0.0.0/8".parse().unwrap()],
            header: ProxyHeader::XForwardedFor,
            proxy_protocol: false,
        });
        let inner = service_fn(async |request: Request<()>| {
            Ok::<_, Infallible>(RequestContext::from_extensions(request.extensions(), request.headers()))
        });
        let layer = RequestContextLayer::new(peer.parse().unwrap(), Arc::new(proxies));
        layer.layer(inner).call(request.body(()).unwrap()).await.unwrap()
    }

    #[tokio::test]
    async fn inner_service_finds_id_language_and_client() {
        let request = Request::builder()
            .header("x-request-id", "abc-1")
            .header("accept-language", "en")
            .header("accept-encoding", "gzip")
            .header("x-forwarded-for", "192.0.2.7");
        let context = context_of("10.0.0.1", request).await;
        assert_eq!((&*context.id, context.language, context.gzip), ("abc-1", Language::En, true));
        assert_eq!(context.client.to_string(), "192.0.2.7");
    }

    #[tokio::test]
    async fn request_without_headers_gets_an_id_of_its_own_and_its_peer() {
        let request = || Request::builder().header("x-forwarded-for", "192.0.2.7");
        let (first, second) =
            (context_of("198.51.100.1", request()).await, context_of("198.51.100.1", request()).await);
        assert_ne!(first.id, second.id);
        assert_eq!((first.client.to_string().as_str(), first.gzip), ("198.51.100.1", false));
    }
}
