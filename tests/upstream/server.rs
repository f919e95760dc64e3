//! A server on a free port that treats each request as its test says, byte by byte.

use std::{
    future::Future,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// A running server. It ends when it is dropped.
pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    heads: Vec<String>,
    connections: usize,
}

/// One request whose head has been read, and its connection.
pub struct Talk {
    /// Which request it is, from 1.
    pub nth: usize,
    /// In lower case, up to the empty line.
    pub head: String,
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Server {
    /// Treats each request by `handle`, which gives the connection back where it is to be kept.
    pub async fn start<H, F>(handle: H) -> Self
    where
        H: Fn(Talk) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Option<Talk>> + Send,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::<Mutex<Seen>>::default();
        let record = Arc::clone(&seen);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                record.lock().expect("no panic").connections += 1;
                let (record, handle) = (Arc::clone(&record), handle.clone());
                connections.spawn(async move {
                    let mut unread = Vec::new();
                    while let Some(head) = head(&mut stream, &mut unread).await {
                        let nth = {
                            let mut seen = record.lock().expect("no panic");
                            seen.heads.push(head.clone());
                            seen.heads.len()
                        };
                        let Some(talk) = handle(Talk { nth, head, stream, unread }).await else { return };
                        (stream, unread) = (talk.stream, talk.unread);
                    }
                });
            }
        });
        Self { url, seen, _tasks: tasks }
    }

    /// Reads each request and answers it with these bytes.
    pub async fn saying(answer: &'static str) -> Self {
        Self::start(move |mut talk| async move {
            talk.body().await;
            talk.say(answer).await;
            Some(talk)
        })
        .await
    }

    /// The heads of the requests that came, in lower case.
    pub fn heads(&self) -> Vec<String> {
        self.seen.lock().expect("no panic").heads.clone()
    }

    /// How many requests came.
    pub fn asked(&self) -> usize {
        self.heads().len()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.seen.lock().expect("no panic").connections
    }
}

/// A URL at which nobody listens.
pub fn nobody() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

impl Talk {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// The next bytes of the body, as they come; none at the connection's end.
    pub async fn more(&mut self) -> Vec<u8> {
        if self.unread.is_empty() {
            let mut chunk = vec![0; 64 * 1024];
            let read = self.stream.read(&mut chunk).await.unwrap_or(0);
            chunk.truncate(read);
            return chunk;
        }
        std::mem::take(&mut self.unread)
    }

    /// The whole body: as long as its length says, or up to the last chunk, framing included. Short at the connection's end.
    pub async fn body(&mut self) -> Vec<u8> {
        let length = self.header("content-length").map_or(0, |l| l.parse().expect("a number"));
        let chunked = self.header("transfer-encoding").is_some();
        let mut body = Vec::new();
        while if chunked { !body.ends_with(b"0\r\n\r\n") } else { body.len() < length } {
            match self.more().await {
                more if more.is_empty() => break,
                more => body.extend(more),
            }
        }
        body
    }

    /// Sends bytes; whether they went.
    pub async fn say(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).await.is_ok()
    }
}

async fn head(stream: &mut TcpStream, unread: &mut Vec<u8>) -> Option<String> {
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
