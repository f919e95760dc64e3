//! A peer that reads requests and responds with scripted bytes.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What the peer does after it has read a request.
#[derive(Clone)]
pub enum Step {
    /// Sends these bytes and waits for the next request.
    Send(Vec<u8>),
    /// Sends these bytes, closes its side and waits until the client closes the connection.
    SendAndClose(Vec<u8>),
    /// Waits for this time, then executes the step.
    After(Duration, Box<Step>),
    /// Closes the connection without a response.
    Close,
}

/// A running peer. Dropping it closes the port and all connections.
pub struct Peer {
    pub base_url: String,
    requests: Arc<Mutex<Vec<String>>>,
    closed: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Peer {
    /// Handles the n-th request by the n-th step. The last step also handles all later requests.
    pub async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let closed = Arc::<AtomicUsize>::default();
        let (received, ended) = (Arc::clone(&requests), Arc::clone(&closed));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, steps.clone(), Arc::clone(&received), Arc::clone(&ended)));
            }
        });
        Self { base_url, requests, closed, _tasks: tasks }
    }

    /// Responds to every request with this JSON.
    pub async fn json(body: &str) -> Self {
        Self::start(vec![Step::Send(ok(body))]).await
    }

    /// The requests that arrived, head and body.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }

    /// The number of connections that the client closed after [`Step::SendAndClose`].
    pub fn closed(&self) -> usize {
        self.closed.load(SeqCst)
    }
}

/// A complete 200 response with this body.
pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn serve(mut stream: TcpStream, steps: Vec<Step>, requests: Arc<Mutex<Vec<String>>>, closed: Arc<AtomicUsize>) {
    while let Some(request) = request(&mut stream).await {
        let at = {
            let mut requests = requests.lock().expect("no panic");
            requests.push(request);
            requests.len() - 1
        };
        let mut step = &steps[at.min(steps.len() - 1)];
        while let Step::After(wait, next) = step {
            // The delay is the behaviour that the test asks for.
            sleep(*wait).await;
            step = next;
        }
        match step {
            Step::Send(bytes) => {
                if stream.write_all(bytes).await.is_err() {
                    return;
                }
            }
            Step::SendAndClose(bytes) => {
                // The client may close the connection first.
                let _ = stream.write_all(bytes).await;
                let _ = stream.shutdown().await;
                while stream.read(&mut [0; 4096]).await.is_ok_and(|read| read > 0) {}
                closed.fetch_add(1, SeqCst);
                return;
            }
            _ => return,
        }
    }
}

/// Reads one request with its body.
async fn request(stream: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Some(text.into_owned());
            }
        }
        let mut chunk = [0; 4096];
        match stream.read(&mut chunk).await {
            Ok(n) if n > 0 => bytes.extend_from_slice(&chunk[..n]),
            _ => return None,
        }
    }
}
