//! A tenant's own back end: a small HTTP/1.1 server that does as it is asked by the path, and remembers who came.
//!
//! - `/download?N`: N bytes, of known length; `/chunked?N`: in chunks
//! - `/silent`: no answer; `/cut`: breaks off in the middle of one; `/status?N`: that status
//! - all else: what came, as JSON, its body counted

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

/// How much is sent or read at once, in bytes.
const PIECE: usize = 64 * 1024;
/// No body beyond this is told back as text.
const SHOWN: usize = 4096;

/// A server, ended when dropped.
pub struct Upstream {
    addr: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    connections: Mutex<Vec<TcpStream>>,
    came: AtomicUsize,
    seen: Mutex<Vec<Value>>,
    broken: AtomicUsize,
    status: AtomicUsize,
    ended: AtomicBool,
}

impl Upstream {
    /// Starts one on a free port.
    ///
    /// # Panics
    /// Where the machine has none.
    pub fn start() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// Starts one at an address, that of one that was dropped, say.
    ///
    /// # Panics
    /// Where the address is in use.
    pub fn at(addr: SocketAddr) -> Self {
        let listener = TcpListener::bind(addr).expect("a free port");
        let (addr, shared) = (listener.local_addr().expect("its address"), Arc::<Shared>::default());
        let accepting = thread::spawn({
            let shared = shared.clone();
            move || shared.accept(&listener)
        });
        Self { addr, shared, accepting: Some(accepting) }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// What came, as `/` tells it: requests whose body came wholly.
    pub fn seen(&self) -> Vec<Value> {
        lock(&self.shared.seen).clone()
    }

    /// How many connections there were.
    pub fn connections(&self) -> usize {
        self.shared.came.load(Ordering::SeqCst)
    }

    /// How many requests broke off before their body had come.
    pub fn broken(&self) -> usize {
        self.shared.broken.load(Ordering::SeqCst)
    }

    /// Answers everything with this status from now on; 0: as it is asked.
    pub fn answer_all(&self, status: usize) {
        self.shared.status.store(status, Ordering::SeqCst);
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

impl Shared {
    fn accept(self: Arc<Self>, listener: &TcpListener) {
        while let Ok((stream, _)) = listener.accept() {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            self.came.fetch_add(1, Ordering::SeqCst);
            if let Ok(clone) = stream.try_clone() {
                lock(&self.connections).push(clone);
            }
            let shared = self.clone();
            // Ends with its connection, which the server's end closes.
            thread::spawn(move || {
                let _ = shared.serve(stream);
            });
        }
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut out = stream.try_clone()?;
        let mut input = BufReader::with_capacity(PIECE, stream);
        loop {
            let mut line = String::new();
            if input.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let mut parts = line.split_ascii_whitespace();
            let (method, target) = (part(parts.next())?, part(parts.next())?);
            let headers = headers(&mut input)?;
            let (bytes, shown) = match body(&mut input, &headers) {
                Ok(body) => body,
                Err(e) => {
                    self.broken.fetch_add(1, Ordering::SeqCst);
                    return Err(e);
                }
            };
            let body = String::from_utf8_lossy(&shown).into_owned();
            let told = json!({ "method": method, "target": target, "headers": headers, "bytes": bytes, "body": body });
            lock(&self.seen).push(told.clone());
            self.answer(&mut out, &method, &target, &told)?;
        }
    }

    fn answer(&self, out: &mut TcpStream, method: &str, target: &str, told: &Value) -> io::Result<()> {
        let (path, number) = target.split_once('?').unwrap_or((target, ""));
        let number: usize = number.parse().unwrap_or(0);
        let status = match self.status.load(Ordering::SeqCst) {
            0 if path.ends_with("/status") => number,
            0 => 200,
            told => told,
        };
        if path.ends_with("/silent") {
            // Until the other side has had enough.
            return out.read(&mut [0]).map(drop);
        }
        if path.ends_with("/cut") {
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut")?;
            return out.shutdown(Shutdown::Both);
        }
        let head = format!("HTTP/1.1 {status} Told\r\nX-Upstream: yes\r\nX-Hop: no\r\nConnection: x-hop\r\n");
        if path.ends_with("/download") {
            out.write_all(format!("{head}Content-Length: {number}\r\n\r\n").as_bytes())?;
            return pieces(number).try_for_each(|n| out.write_all(&ZEROS[..n]));
        }
        if path.ends_with("/chunked") {
            out.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes())?;
            for n in pieces(number) {
                out.write_all(format!("{n:x}\r\n").as_bytes())?;
                out.write_all(&ZEROS[..n])?;
                out.write_all(b"\r\n")?;
            }
            return out.write_all(b"0\r\n\r\n");
        }
        let told = told.to_string();
        let length = told.len();
        let shown = if method == "HEAD" { "" } else { &told };
        out.write_all(
            format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{shown}").as_bytes(),
        )
    }
}

static ZEROS: [u8; PIECE] = [0; PIECE];

fn pieces(mut bytes: usize) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let n = bytes.min(PIECE);
        bytes -= n;
        (n > 0).then_some(n)
    })
}

fn part(part: Option<&str>) -> io::Result<String> {
    part.map(str::to_owned).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Names in lower case; values of one name in one list, comma-separated.
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

/// How many bytes the body has, and its beginning.
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
    let (mut left, mut piece) = (length, vec![0; PIECE]);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let n = input.read(&mut piece[..most])?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let room = SHOWN.saturating_sub(shown.len()).min(n);
        shown.extend_from_slice(&piece[..room]);
        left -= n as u64;
    }
    Ok(length)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
