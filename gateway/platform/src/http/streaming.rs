//! The client of streamed requests, with a pool of kept connections.

use super::{
    failure::HttpFailure,
    kept_connection::{ConnectionState, ConnectionUse, KeptConnector},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper_util::{
    client::legacy::{
        Client, Error,
        connect::{CaptureConnection, Connected, capture_connection},
    },
    rt::{TokioExecutor, TokioTimer},
};
use std::{
    error::Error as _,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

/// Maximum number of idle connections per host. It exceeds the requests in flight during a burst: with fewer, a burst would
/// open new connections and discard them afterwards.
pub(super) const MAX_IDLE_PER_HOST: usize = 2048;
/// Maximum number of header lines of a response.
const MAX_RESPONSE_HEADERS: usize = 500;

/// How long connections are kept for further requests.
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    /// Maximum time between two requests. It should be shorter than that of the servers, so that they rarely close a
    /// connection first.
    pub idle_timeout: Duration,
    /// Maximum age. An older connection is closed after its response.
    pub max_age: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        // Node.js closes idle connections after 5 s.
        Self { idle_timeout: Duration::from_secs(4), max_age: Duration::from_secs(60) }
    }
}

/// Which connection a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionChoice {
    /// A kept one, if there is one.
    Kept,
    /// A new one, which is closed afterwards.
    Fresh,
}

/// The body of a request.
pub(super) type RequestBody = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// The client. Clones share the pool.
#[derive(Clone)]
pub(super) struct StreamingClient {
    kept: Client<KeptConnector, RequestBody>,
    fresh: Client<KeptConnector, RequestBody>,
}

/// The body of a response as a stream. If it is dropped before its end, the connection is closed.
pub struct ResponseBody {
    incoming: Incoming,
    connection: CaptureConnection,
    used: Option<ConnectionUse>,
}

impl StreamingClient {
    /// Builds the client.
    ///
    /// # Errors
    /// The system has no CA certificates.
    pub fn new(keep_alive: KeepAlive) -> Result<Self, HttpFailure> {
        let connector = KeptConnector::new(keep_alive.max_age).map_err(|e| HttpFailure::NotSent(e.to_string()))?;
        let build = |idle_per_host| {
            Client::builder(TokioExecutor::new())
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(keep_alive.idle_timeout)
                .pool_max_idle_per_host(idle_per_host)
                .http1_max_headers(MAX_RESPONSE_HEADERS)
                .build(connector.clone())
        };
        Ok(Self { kept: build(MAX_IDLE_PER_HOST), fresh: build(0) })
    }

    /// Sends a request and waits for the head of the response.
    pub async fn send(
        &self,
        mut request: Request<RequestBody>,
        choice: ConnectionChoice,
    ) -> Result<Response<ResponseBody>, HttpFailure> {
        let connection = capture_connection(&mut request);
        let client = match choice {
            ConnectionChoice::Kept => &self.kept,
            ConnectionChoice::Fresh => &self.fresh,
        };
        let mut sending = pin!(client.request(request));
        let mut used: Option<ConnectionUse> = None;
        let outcome = poll_fn(|cx| {
            let polled = sending.as_mut().poll(cx);
            // The client replaces a connection that was closed before it was used.
            if let Some(state) = connection.connection_metadata().as_ref().and_then(ConnectionState::of_connection)
                && used.as_ref().is_none_or(|used| !std::sync::Arc::ptr_eq(used.state(), &state))
            {
                used = Some(ConnectionUse::begin(state));
            }
            polled
        });
        match outcome.await {
            Ok(response) => Ok(response.map(|incoming| ResponseBody { incoming, connection, used })),
            Err(error) => Err(failure(&error, used.is_some_and(|used| used.met_closing_connection()))),
        }
    }
}

fn failure(error: &Error, met_closing_connection: bool) -> HttpFailure {
    let hyper = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        text = format!("{text}: {source}");
        cause = source.source();
    }
    if error.is_connect() || hyper.is_some_and(hyper::Error::is_canceled) {
        HttpFailure::NotSent(text)
    } else if hyper.is_some_and(hyper::Error::is_parse) {
        HttpFailure::Unusable(text)
    } else if met_closing_connection {
        HttpFailure::ConnectionClosing(text)
    } else {
        HttpFailure::Unanswered(text)
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = HttpFailure;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpFailure>>> {
        Pin::new(&mut self.incoming).poll_frame(cx).map_err(|error| {
            let cause = error.source().map(|source| format!(": {source}")).unwrap_or_default();
            HttpFailure::Unanswered(format!("{error}{cause}"))
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        // A connection in use does not end by itself when it reaches its maximum age.
        if self.used.as_ref().is_some_and(|used| used.state().is_expired()) {
            self.connection.connection_metadata().iter().for_each(Connected::poison);
        }
    }
}
