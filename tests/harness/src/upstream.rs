//! A tenant's own service: a small HTTP/1.1 server whose response depends on the path, and which records all requests.
//!
//! - `/download?N`: N bytes with `Content-Length`; `/chunked?N`: N bytes in chunks
//! - `/silent`: no response; `/cut`: a truncated response; `/status?N`: a response with this status
//! - other paths: the request as JSON, with the size of its body

use serde_json::{Map, Value, json};
use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Size of a read or write, in bytes.
const CHUNK: usize = 64 * 1024;
/// Maximum length of a body in the JSON, in bytes.
const MAX_SHOWN: usize = 4096;

/// A running server; it ends when it is dropped.
pub struct Upstream {
    addr: SocketAddr,
    shared: Arc<UpstreamState>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct UpstreamState {
    connections: Mutex<Vec<TcpStream>>,
    accepted: AtomicUsize,
    requests: Mutex<Vec<Value>>,
    heads: AtomicUsize,
    aborted: AtomicUsize,
    status: AtomicUsize,
    header_lines: Mutex<String>,
    ended: AtomicBool,
}

impl Upstream {
    /// Starts a server on a free port.
    ///
    /// # Panics
    /// Where there is none.
    pub fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts a server at an address, such as that of a dropped one.
    ///
    /// # Panics
    /// Where the address is in use.
    pub fn at(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).expect("a free port");
        let (addr, shared) = (listener.local_addr().expect("its address"), Arc::<UpstreamState>::default());
        let accepting = thread::spawn({
            let shared = shared.clone();
            move || shared.accept(&listener)
        });
        Self { addr, shared, accepting: Some(accepting) }
    }

    /// The address of the server.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The requests that arrived completely, in the form of the response to `/`.
    pub fn requests(&self) -> Vec<Value> {
        lock(&self.shared.requests).clone()
    }

    /// Number of connections that were accepted.
    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// Number of requests whose head has been received.
    pub fn heads(&self) -> usize {
        self.shared.heads.load(Ordering::SeqCst)
    }

    /// Number of requests that ended before their body was complete.
    pub fn aborted(&self) -> usize {
        self.shared.aborted.load(Ordering::SeqCst)
    }

    /// Responds to every request with this status from now on; 0: as the path says.
    pub fn respond_with(&self, status: usize) {
        self.shared.status.store(status, Ordering::SeqCst);
    }

    /// Adds these header lines, each ended by CRLF, to every response from now on.
    pub fn respond_with_headers(&self, lines: &str) {
        lines.clone_into(&mut lock(&self.shared.header_lines));
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        let _ = TcpStream::connect(self.addr);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for connection in lock(&self.shared.connections).drain(..) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

impl UpstreamState {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            self.accepted.fetch_add(1, Ordering::SeqCst);
            if let Ok(clone) = stream.try_clone() {
                lock(&self.connections).push(clone);
            }
            let shared = self.clone();
            // The thread ends with its connection, which is closed when the server is dropped.
            thread::spawn(move || {
                let _ = shared.serve(stream);
            });
        }
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut out = stream.try_clone()?;
        let mut input = BufReader::with_capacity(CHUNK, stream);
        loop {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let mut parts = line.split_ascii_whitespace();
            let (method, target) = (part(parts.next())?, part(parts.next())?);
            let headers = headers(&mut input)?;
            self.heads.fetch_add(1, Ordering::SeqCst);
            let (bytes, shown) = match body(&mut input, &headers) {
                Ok(body) => body,
                Err(e) => {
                    self.aborted.fetch_add(1, Ordering::SeqCst);
                    return Err(e);
                }
            };
            let body = String::from_utf8_lossy(&shown).into_owned();
            let request =
                json!({ "method": method, "target": target, "headers": headers, "bytes": bytes, "body": body });
            lock(&self.requests).push(request.clone());
            self.respond(&mut out, &method, &target, &request)?;
        }
    }

    fn respond(&self, out: &mut TcpStream, method: &str, target: &str, request: &Value) -> io::Result<()> {
        let (path, number) = target.split_once('?').unwrap_or((target, ""));
        let number: usize = number.parse().unwrap_or(0);
        let status = match self.status.load(Ordering::SeqCst) {
            0 if path.ends_with("/status") => number,
            0 => 200,
            status => status,
        };
        if path.ends_with("/silent") {
            // Returns when the client closes the connection.
            return out.read(&mut [0]).map(drop);
        }
        if path.ends_with("/cut") {
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut")?;
            return out.shutdown(Shutdown::Both);
        }
        let lines = lock(&self.header_lines).clone();
        let head = format!("HTTP/1.1 {status} Status\r\nX-Upstream: yes\r\nX-Hop: no\r\nConnection: x-hop\r\n{lines}");
        if path.ends_with("/download") {
            out.write_all(format!("{head}Content-Length: {number}\r\n\r\n").as_bytes())?;
            return chunks(number).try_for_each(|n| out.write_all(&ZEROS[..n]));
        }
        if path.ends_with("/chunked") {
            out.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())?;
            for n in chunks(number) {
                out.write_all(format!("{n:x}\r\n").as_bytes())?;
                out.write_all(&ZEROS[..n])?;
                out.write_all(b"\r\n")?;
            }
            return out.write_all(b"0\r\n\r\n");
        }
        let body = request.to_string();
        let length = body.len();
        let shown = if method == "HEAD" { "" } else { &body };
        out.write_all(
            format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{shown}").as_bytes(),
        )
    }
}

static ZEROS: [u8; CHUNK] = [0; CHUNK];

fn chunks(mut bytes: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let n = bytes.min(CHUNK);
        bytes -= n;
        (n > 0).then_some(n)
    })
}

fn part(part: Option<&str>) -> io::Result<String> {
    part.map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Reads headers: names in lower case, values of the same name joined by commas.
fn headers(input: &mut impl BufRead) -> io::Result<Map<String, Value>> {
    let mut headers = Map::new();
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { return Ok(headers) };
        let (name, mut value) = (name.to_ascii_lowercase(), value.trim().to_owned());
        if let Some(first) = headers.get(&name).and_then(Value::as_str) {
            value = format!("{first}, {value}");
        }
        headers.insert(name, value.into());
    }
}

/// Reads a body. Returns its size and its beginning.
fn body(input: &mut impl BufRead, headers: &Map<String, Value>) -> io::Result<(u64, Vec<u8>)> {
    let mut shown = Vec::new();
    if headers.get("transfer-encoding").is_none() {
        let length = headers.get("content-length").and_then(Value::as_str).and_then(|l| l.parse().ok()).unwrap_or(0);
        return Ok((read(input, length, &mut shown)?, shown));
    }
    let mut bytes = 0;
    loop {
        let mut line = String::new();
        input.read_line(&mut line)?;
        let size = u64::from_str_radix(line.trim(), 16).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        bytes += read(input, size, &mut shown)?;
        line.clear();
        input.read_line(&mut line)?;
        if size == 0 {
            return Ok((bytes, shown));
        }
    }
}

fn read(input: &mut impl Read, length: u64, shown: &mut Vec<u8>) -> io::Result<u64> {
    let (mut left, mut chunk) = (length, vec![0; CHUNK]);
    while left > 0 {
        let max = usize::try_from(left).unwrap_or(CHUNK).min(CHUNK);
        let n = input.read(&mut chunk[..max])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let space = MAX_SHOWN.saturating_sub(shown.len()).min(n);
        shown.extend_from_slice(&chunk[..space]);
        left -= n as u64;
    }
    Ok(length)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
