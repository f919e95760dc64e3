//! A test server on a free port that handles each request byte by byte.

use std::{
    future::Future,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A running server. Dropping it closes the port and all connections.
pub struct Server {
    pub url: String,
    received: Arc<Mutex<Received>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Received {
    heads: Vec<String>,
    connections: usize,
}

/// A connection with one request, whose head has been read.
pub struct Connection {
    /// 1-based number of the request at this server.
    pub request_number: usize,
    /// Head of the request in lower case, without the empty line.
    pub head: String,
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Server {
    /// Calls `handle` for each request. The connection that `handle` returns serves further requests.
    pub async fn start<H, F>(handle: H) -> Self
    where
        H: Fn(Connection) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Option<Connection>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let received = Arc::<Mutex<Received>>::default();
        let record = Arc::clone(&received);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                record.lock().expect("no panic").connections += 1;
                let (record, handle) = (Arc::clone(&record), handle.clone());
                connections.spawn(async move {
                    let mut unread = Vec::new();
                    while let Some(head) = read_head(&mut stream, &mut unread).await {
                        let request_number = {
                            let mut received = record.lock().expect("no panic");
                            received.heads.push(head.clone());
                            received.heads.len()
                        };
                        let Some(connection) = handle(Connection { request_number, head, stream, unread }).await else {
                            return;
                        };
                        (stream, unread) = (connection.stream, connection.unread);
                    }
                });
            }
        });
        Self { url, received, _tasks: tasks }
    }

    /// Reads each request and responds with these bytes.
    pub async fn with_response(response: &'static str) -> Self {
        Self::start(move |mut connection| async move {
            connection.read_body().await;
            connection.send(response).await;
            Some(connection)
        })
        .await
    }

    /// Reads requests and never responds.
    pub async fn silent() -> Self {
        Self::start(|mut connection| async move {
            connection.wait_for_close().await;
            None
        })
        .await
    }

    /// Sends half of the announced response body and closes the connection.
    pub async fn truncating() -> Self {
        Self::start(|mut connection| async move {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").await;
            None
        })
        .await
    }

    /// The heads of all requests, in lower case.
    pub fn request_heads(&self) -> Vec<String> {
        self.received.lock().expect("no panic").heads.clone()
    }

    pub fn request_count(&self) -> usize {
        self.request_heads().len()
    }

    pub fn connection_count(&self) -> usize {
        self.received.lock().expect("no panic").connections
    }
}

/// The URL of a closed port.
pub fn closed_port_url() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

impl Connection {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// Reads the next bytes of the body. Empty if the client has closed the connection.
    pub async fn read_chunk(&mut self) -> Vec<u8> {
        if self.unread.is_empty() {
            let mut chunk = vec![0; 64 * 1024];
            let read = self.stream.read(&mut chunk).await.unwrap_or(0);
            chunk.truncate(read);
            return chunk;
        }
        std::mem::take(&mut self.unread)
    }

    /// Reads the whole body, chunk framing included. The body is incomplete if the client closes the connection.
    pub async fn read_body(&mut self) -> Vec<u8> {
        let length = self.header("content-length").map_or(0, |l| l.parse().expect("a number"));
        let chunked = self.header("transfer-encoding").is_some();
        let mut body = Vec::new();
        while if chunked { !body.ends_with(b"0\r\n\r\n") } else { body.len() < length } {
            match self.read_chunk().await {
                chunk if chunk.is_empty() => break,
                chunk => body.extend(chunk),
            }
        }
        body
    }

    /// Sends bytes. False if the connection is broken.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }

    /// Closes the sending side of the connection.
    pub async fn shutdown(&mut self) {
        // An error means that the client has closed the connection, which is the desired state.
        let _ = self.stream.shutdown().await;
    }

    /// Reads until the client closes the connection.
    pub async fn wait_for_close(&mut self) {
        while !self.read_chunk().await.is_empty() {}
    }
}

async fn read_head(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<String> {
    loop {
        if let Some(end) = unread.windows(4).position(|w| w == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&unread[..end]).to_ascii_lowercase();
            unread.drain(..end + 4);
            return Some(head);
        }
        match stream.read_buf(unread).await {
            Ok(n) if n > 0 => {}
            _ => return None,
        }
    }
}
