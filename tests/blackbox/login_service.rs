//! A tenant's login service for `method=delegate`, written by its documentation.

use aws_lc_rs::hmac;
use menlou_harness::http::Response;
use serde_json::{Value, json};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// The signing key shared with the gateway.
pub const KEY: &str = "a-key-that-both-sides-know";
/// The account that the service knows.
pub const ACCOUNT: &str = "ann@example.com";
/// The password of the account.
pub const PASSWORD: &str = "correct-horse-battery";

/// A running login service. It responds to a correctly signed request with [`ACCOUNT`] and [`PASSWORD`] with 200, to other
/// credentials with 401, to the account `banned` with 403, to the accounts `broken` and `nul` with invalid data, and to a
/// wrong signature with 400.
pub struct LoginService {
    addr: SocketAddr,
    received: Receiver<Value>,
    stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl LoginService {
    /// Starts a service on a free port.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let (sender, received) = channel();
        let stopped = Arc::new(AtomicBool::new(false));
        let stop = stopped.clone();
        let thread = thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let Some(body) = stream.ok().and_then(|stream| serve(stream).ok()) else { continue };
                // The test may have dropped the receiver.
                let _ = sender.send(body);
            }
        });
        Self { addr, received, stopped, thread: Some(thread) }
    }

    /// The URL of the service.
    pub fn url(&self) -> String {
        format!("http://{}/login", self.addr)
    }

    /// The body of the next request.
    pub fn next(&self) -> Value {
        self.received.recv_timeout(Duration::from_secs(10)).expect("a request")
    }
}

impl Drop for LoginService {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // Wakes the accept loop. If connecting fails, the thread has ended.
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(stream: TcpStream) -> std::io::Result<Value> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let mut request = Response { status: 0, headers: Vec::new(), body: Vec::new() };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            request.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    let length = request.header("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    request.body.resize(length, 0);
    reader.read_exact(&mut request.body)?;
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let (status, response) = if is_signed(&request) { decide(&body["credentials"]) } else { (400, json!({})) };
    let response = response.to_string();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n");
    write!(reader.get_mut(), "{head}Content-Length: {}\r\n\r\n{response}", response.len())?;
    Ok(body)
}

fn decide(credentials: &Value) -> (u16, Value) {
    let text = |key: &str| credentials[key].as_str().unwrap_or_default();
    match (text("account"), text("password")) {
        (ACCOUNT, PASSWORD) => (200, json!({ "id": 4711, "name": "Ann", "avatar_url": "https://example.com/ann.png" })),
        ("banned", _) => (403, json!({ "msg": "该员工已离职" })),
        ("broken", _) => (200, json!(["nonsense"])),
        ("nul", _) => (200, json!({ "id": "a\u{0}b", "name": "Ann\u{0}" })),
        _ => (401, json!({})),
    }
}

/// The checks of the documentation: the time, then the signature over time and body.
fn is_signed(request: &Response) -> bool {
    let header = |name| request.header(name).unwrap_or_default();
    let timestamp = header("x-menlou-timestamp");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let fresh = timestamp.parse::<u64>().is_ok_and(|t| t.abs_diff(now) < 60);
    let hex = header("x-menlou-signature").strip_prefix("v1=").unwrap_or_default();
    let tag: Vec<u8> = hex
        .as_bytes()
        .chunks(2)
        .filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect();
    let signed = [timestamp.as_bytes(), b".", &request.body].concat();
    fresh && hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()), &signed, &tag).is_ok()
}
