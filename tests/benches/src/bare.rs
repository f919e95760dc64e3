//! The baseline: hyper without the gateway, one worker, the same response to every request.

use crate::{Result, wire};
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body_util::Full;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{convert::Infallible, fs, net::SocketAddr, path::Path};
use tokio::net::TcpListener;

/// Serves the response in the file, head and body, until the process is killed.
pub fn serve(listen: SocketAddr, response: &Path) -> Result<()> {
    let (headers, body) = parse(&fs::read(response)?)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(listen).await?;
        // On a worker thread, like the accept loop of the gateway.
        tokio::spawn(accept(listener, headers, body)).await?
    })
}

async fn accept(listener: TcpListener, headers: HeaderMap, body: Bytes) -> Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (headers, body) = (headers.clone(), body.clone());
        tokio::spawn(async move {
            let service = service_fn(move |_| {
                let mut response = Response::new(Full::new(body.clone()));
                for (name, value) in &headers {
                    response.headers_mut().insert(name, value.clone());
                }
                async { Ok::<_, Infallible>(response) }
            });
            // An error means that the client closed the connection.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The headers, without those that hyper writes itself, and the body.
fn parse(response: &[u8]) -> Result<(HeaderMap, Bytes)> {
    let (head, body) = wire::split(response).ok_or("the response has no head")?;
    let mut headers = HeaderMap::new();
    for line in std::str::from_utf8(head)?.lines().skip(1) {
        let (name, value) = line.split_once(':').ok_or("a header without a colon")?;
        if !["content-length", "date"].contains(&name.to_ascii_lowercase().as_str()) {
            headers.insert(http::HeaderName::try_from(name)?, value.trim().parse()?);
        }
    }
    Ok((headers, Bytes::copy_from_slice(body)))
}
