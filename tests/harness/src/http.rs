//! A small blocking HTTP/1.1 client, for valid requests and for arbitrary bytes.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// Maximum time of a response; long, since tests of response times measure them.
pub const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// A request.
#[derive(Clone, Debug)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Option<Vec<u8>>,
}

/// A response.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Request {
    /// A request without body.
    pub fn new(method: &str, target: impl Into<String>) -> Self {
        Self { method: method.into(), target: target.into(), headers: Vec::new(), body: None }
    }

    /// A POST request without body.
    pub fn post(target: impl Into<String>) -> Self {
        Self::new("POST", target)
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Adds the token in `Authorization`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// Sets the body.
    pub fn body(self, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: Some(body.into()), ..self.header("Content-Type", content_type) }
    }

    /// Sets a form as the body.
    pub fn form(self, fields: &[(&str, &str)]) -> Self {
        self.body("application/x-www-form-urlencoded", encode(fields))
    }

    /// Sets JSON as the body.
    pub fn json(self, value: &serde_json::Value) -> Self {
        self.body("application/json", value.to_string())
    }

    /// The bytes of the request, with `Connection: close`.
    pub fn bytes(&self) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", self.method, self.target);
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        if let Some(body) = &self.body {
            head += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut bytes = (head + "\r\n").into_bytes();
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// Sends the request, and reads the response.
    ///
    /// # Errors
    /// Where there is no connection, or no complete response within [`RESPONSE_TIMEOUT`].
    pub fn send(&self, to: SocketAddr) -> io::Result<Response> {
        send_raw(to, &self.bytes())
    }
}

/// Sends arbitrary bytes, and reads one response.
///
/// # Errors
/// Where there is no connection, or no complete response within [`RESPONSE_TIMEOUT`].
pub fn send_raw(to: SocketAddr, bytes: &[u8]) -> io::Result<Response> {
    let mut stream = connect(to)?;
    // The server may respond and close before it has read everything; the response counts.
    let _ = stream.write_all(bytes);
    read(&mut stream)
}

/// Sends bytes, waits for `wait`, and closes the connection without reading the response.
///
/// # Errors
/// Where there is no connection.
pub fn send_and_hang_up(to: SocketAddr, bytes: &[u8], wait: Duration) -> io::Result<()> {
    let mut stream = connect(to)?;
    stream.write_all(bytes)?;
    // The caller wants this time to pass.
    std::thread::sleep(wait);
    stream.shutdown(Shutdown::Both)
}

/// A connection with timeouts.
///
/// # Errors
/// Where nothing listens.
pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(5))?;
    stream.set_read_timeout(Some(RESPONSE_TIMEOUT))?;
    stream.set_write_timeout(Some(RESPONSE_TIMEOUT))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads one response. It ends by `Content-Length`, or with the connection.
///
/// # Errors
/// Where it is malformed, truncated or missing.
pub fn read(stream: &mut impl Read) -> io::Result<Response> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        if let Some(response) = parse(&bytes, false) {
            return Ok(response);
        }
        match stream.read(&mut chunk)? {
            0 => break,
            n => bytes.extend_from_slice(chunk.get(..n).unwrap_or_default()),
        }
    }
    let shown = || format!("no complete response: {:?}", String::from_utf8_lossy(&bytes));
    parse(&bytes, true).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, shown()))
}

/// Encodes names and values for a query or form.
pub fn encode(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

impl Response {
    /// The first header of this name (given in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|h| h.0 == name).map(|h| h.1.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

fn parse(bytes: &[u8], closed: bool) -> Option<Response> {
    let end = bytes.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let header = |line: &str| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
    let headers: Vec<_> = lines.filter_map(header).collect();
    let body = bytes.get(end + 4..)?;
    let response = |body: &[u8]| Response { status, headers: headers.clone(), body: body.to_vec() };
    match headers.iter().find(|h| h.0 == "content-length") {
        Some((_, length)) => body.get(..length.parse().ok()?).map(response),
        None => closed.then(|| response(body)),
    }
}
