//! A peer that reads requests and answers with whatever bytes it is told to.

use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// What the peer does once it has read a request.
#[derive(Clone)]
pub enum Step {
    /// Sends these bytes and waits for the next request.
    Send(Vec<u8>),
    /// Sends these bytes and closes.
    SendAndClose(Vec<u8>),
    /// Waits, then does as the step says.
    After(Duration, Box<Step>),
    /// Closes without a byte.
    Close,
}

/// A running peer. It ends when it is dropped.
pub struct Peer {
    pub base_url: String,
    requests: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Peer {
    /// Answers the first request with the first step, and so on; the last step also serves all that follow.
    pub async fn start(steps: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://{}", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(serve(stream, steps.clone(), Arc::clone(&seen)));
            }
        });
        Self { base_url, requests, _tasks: tasks }
    }

    /// Answers every request with this JSON.
    pub async fn json(body: &str) -> Self {
        Self::start(vec![Step::Send(ok(body))]).await
    }

    /// The requests that arrived, each in full.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("no panic").clone()
    }
}

/// A complete answer with this body.
pub fn ok(body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

async fn serve(mut stream: TcpStream, steps: Vec<Step>, seen: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = request(&mut stream).await {
        let at = {
            let mut seen = seen.lock().expect("no panic");
            seen.push(request);
            seen.len() - 1
        };
        let mut step = &steps[at.min(steps.len() - 1)];
        while let Step::After(wait, next) = step {
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
                let _ = stream.write_all(bytes).await;
                return;
            }
            _ => return,
        }
    }
}

/// One request, its body included.
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
