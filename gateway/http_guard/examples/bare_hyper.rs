//! The guard in front of a bare hyper server.
//!
//! `cargo run -p http-guard --example bare_hyper`, then `curl -i -d hello http://127.0.0.1:8080/`.

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use http_guard::{CloseReason, GuardConfig, GuardHooks, GuardedStream, InFlight, Violation};
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{io, sync::Arc};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:8080").await?;
    println!("listening on http://{}/", listener.local_addr()?);
    serve(listener, GuardConfig::default()).await
}

/// Accepts connections for ever and answers each request with its own body.
///
/// # Errors
/// Accepting a connection failed.
pub async fn serve(listener: TcpListener, config: GuardConfig) -> io::Result<()> {
    let config = Arc::new(config);
    loop {
        let (stream, _) = listener.accept().await?;
        let config = config.clone();
        tokio::spawn(async move {
            if let Err(e) = serve_connection(stream, &config).await {
                eprintln!("connection broken: {e}");
            }
        });
    }
}

async fn serve_connection(stream: TcpStream, config: &GuardConfig) -> hyper::Result<()> {
    let in_flight = InFlight::new();
    let stream = GuardedStream::http1(stream, config, in_flight.clone(), LogHooks);
    let service = service_fn(|request: Request<Incoming>| {
        let in_flight = in_flight.clone();
        async move {
            // The request is in flight until this is dropped: here, when its complete response is handed to hyper.
            let request_guard = in_flight.begin();
            let body = request.into_body().collect().await?.to_bytes();
            drop(request_guard);
            Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::new(body)))
        }
    });
    http1::Builder::new()
        // The guard has deadlines and a maximum size for heads. hyper must not reject one before the guard does.
        .header_read_timeout(None)
        .max_buf_size(2 * config.max_head_bytes)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

/// Logs what the guard does. Error responses are those of [`GuardHooks`]: a status without a body.
struct LogHooks;

impl GuardHooks for LogHooks {
    fn on_violation(&self, violation: Violation) {
        eprintln!("request rejected: {}", violation.name());
    }

    fn on_close(&self, reason: CloseReason) {
        eprintln!("connection closed: {}", reason.name());
    }
}
