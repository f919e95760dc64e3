//! Connections that are kept between requests: their age, and whether the server closed one as a request was sent.

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{Connected, Connection, HttpConnector},
    rt::TokioIo,
};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep, sleep_until, timeout},
};
use tower::Service;

/// Maximum time to establish a connection, including DNS and TLS.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often, and how many times, a connection is checked for a reset after the server closed it.
const RESET_CHECK: Duration = Duration::from_millis(2);
const RESET_CHECKS: u32 = 25;
/// How soon after a request a reset counts as an answer to its first bytes. A later one may come from a device between, after
/// the server has read the request.
const PROMPT_RESET: Duration = Duration::from_secs(1);

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type ConnectFuture<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// What is known of a connection, shared with its users.
pub(super) struct ConnectionState {
    expires: Instant,
    /// Number of requests so far.
    requests: AtomicU32,
    /// Number of requests whose response has not ended.
    in_use: AtomicU32,
    /// Number of bytes received.
    received: AtomicU64,
    /// Whether bytes were sent since bytes were last received.
    is_unanswered: AtomicBool,
    is_reset: AtomicBool,
}

/// One request on a connection, until its response has ended.
pub(super) struct ConnectionUse {
    state: Arc<ConnectionState>,
    is_kept: bool,
    received_before: u64,
    began: Instant,
}

impl ConnectionState {
    /// The state of a connection that [`KeptConnector`] made.
    pub fn of_connection(connected: &Connected) -> Option<Arc<Self>> {
        let mut extensions = http::Extensions::new();
        connected.get_extras(&mut extensions);
        extensions.remove()
    }

    /// Whether the connection has reached its maximum age.
    pub fn is_expired(&self) -> bool {
        Instant::now() >= self.expires
    }

    fn note(&self, error: &io::Error) {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
        if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected) {
            self.is_reset.store(true, Ordering::SeqCst);
        }
    }
}

impl ConnectionUse {
    /// Begins a request.
    pub fn begin(state: Arc<ConnectionState>) -> Self {
        state.in_use.fetch_add(1, Ordering::SeqCst);
        let is_kept = state.requests.fetch_add(1, Ordering::SeqCst) > 0;
        Self { is_kept, received_before: state.received.load(Ordering::SeqCst), began: Instant::now(), state }
    }

    /// The connection.
    pub fn state(&self) -> &Arc<ConnectionState> {
        &self.state
    }

    /// Whether the request failed because the server was closing this kept connection, and did not read it completely.
    pub fn met_closing_connection(&self) -> bool {
        self.is_kept
            && self.state.is_reset.load(Ordering::SeqCst)
            && self.state.received.load(Ordering::SeqCst) == self.received_before
            && self.began.elapsed() < PROMPT_RESET
    }
}

impl Drop for ConnectionUse {
    fn drop(&mut self) {
        self.state.in_use.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Makes connections by HTTP and HTTPS.
#[derive(Clone)]
pub(super) struct KeptConnector {
    https: HttpsConnector<TcpConnector>,
}

impl KeptConnector {
    /// Makes connections that are closed at this age.
    ///
    /// # Errors
    /// The system has no CA certificates.
    pub fn new(max_age: Duration) -> Result<Self, rustls::Error> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_nodelay(true);
        let builder = HttpsConnectorBuilder::new().try_with_platform_verifier()?.https_or_http().enable_http1();
        Ok(Self { https: builder.wrap_connector(TcpConnector { http, max_age }) })
    }
}

impl Service<Uri> for KeptConnector {
    type Response = MaybeHttpsStream<TokioIo<TrackedTcp>>;
    type Error = BoxError;
    type Future = ConnectFuture<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.https.poll_ready(cx)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let connecting = self.https.call(uri);
        Box::pin(async move {
            timeout(CONNECT_TIMEOUT, connecting)
                .await
                .map_err(|_| format!("no connection within {CONNECT_TIMEOUT:?}"))?
        })
    }
}

/// Makes the TCP connections below TLS.
#[derive(Clone)]
pub(super) struct TcpConnector {
    http: HttpConnector,
    max_age: Duration,
}

impl Service<Uri> for TcpConnector {
    type Response = TokioIo<TrackedTcp>;
    type Error = BoxError;
    type Future = ConnectFuture<Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, max_age) = (self.http.call(uri), self.max_age);
        Box::pin(async move { Ok(TokioIo::new(TrackedTcp::new(connecting.await?.into_inner(), max_age))) })
    }
}

/// A TCP connection that keeps its [`ConnectionState`], and ends when it is idle and has reached its maximum age.
pub(super) struct TrackedTcp {
    tcp: TcpStream,
    state: Arc<ConnectionState>,
    expiry: Pin<Box<Sleep>>,
    /// After the server closed the connection with a request unanswered: the next check for a reset, and how many are left.
    closing: Option<(Pin<Box<Sleep>>, u32)>,
}

impl TrackedTcp {
    fn new(tcp: TcpStream, max_age: Duration) -> Self {
        let expires = Instant::now() + max_age;
        let state = ConnectionState {
            expires,
            requests: AtomicU32::new(0),
            in_use: AtomicU32::new(0),
            received: AtomicU64::new(0),
            is_unanswered: AtomicBool::new(false),
            is_reset: AtomicBool::new(false),
        };
        Self { tcp, state: Arc::new(state), expiry: Box::pin(sleep_until(expires)), closing: None }
    }

    /// Ready when the connection is idle and has reached its maximum age. One in use is not kept after its response.
    fn poll_expiry(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.expiry.is_elapsed() {
            ready!(self.expiry.as_mut().poll(cx));
        }
        let is_busy = self.state.in_use.load(Ordering::SeqCst) > 0 || self.state.is_unanswered.load(Ordering::SeqCst);
        if is_busy { Poll::Pending } else { Poll::Ready(Ok(())) }
    }

    /// Reports the end of the connection, or the reset that follows soon if the server had closed it before it read the
    /// request.
    fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let (next, left) = self.closing.get_or_insert_with(|| (Box::pin(sleep(RESET_CHECK)), RESET_CHECKS));
        loop {
            if let Some(error) = self.tcp.take_error()? {
                self.state.is_reset.store(true, Ordering::SeqCst);
                return Poll::Ready(Err(error));
            }
            if *left == 0 {
                return Poll::Ready(Ok(()));
            }
            ready!(next.as_mut().poll(cx));
            next.as_mut().reset(Instant::now() + RESET_CHECK);
            *left -= 1;
        }
    }

    fn noted<T>(&self, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(error)) = &outcome {
            self.state.note(error);
        }
        outcome
    }
}

impl Connection for TrackedTcp {
    fn connected(&self) -> Connected {
        Connected::new().extra(Arc::clone(&self.state))
    }
}

impl AsyncRead for TrackedTcp {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.closing.is_some() {
            return self.poll_reset(cx);
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.tcp).poll_read(cx, buf);
        match self.noted(polled) {
            Poll::Pending => self.poll_expiry(cx),
            Poll::Ready(Ok(())) => match buf.filled().len() - before {
                0 if self.state.is_unanswered.load(Ordering::SeqCst) => self.poll_reset(cx),
                received => {
                    self.state.received.fetch_add(received as u64, Ordering::SeqCst);
                    self.state.is_unanswered.store(false, Ordering::SeqCst);
                    Poll::Ready(Ok(()))
                }
            },
            failed => failed,
        }
    }
}

impl AsyncWrite for TrackedTcp {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.state.is_unanswered.store(true, Ordering::SeqCst);
        let polled = Pin::new(&mut self.tcp).poll_write(cx, buf);
        self.noted(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.state.is_unanswered.store(true, Ordering::SeqCst);
        let polled = Pin::new(&mut self.tcp).poll_write_vectored(cx, bufs);
        self.noted(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(cx)
    }
}
