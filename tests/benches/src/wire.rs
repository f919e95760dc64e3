//! Requests and responses as bytes, written and read without a client library, so that their form is exactly known.

use crate::Result;
use menlou_simulator::Simulator;
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A POST to an action of the tenant `bench`, with an optional session token and form.
pub fn request(action: &str, token: Option<&str>, form: Option<&str>) -> Vec<u8> {
    request_to("bench", action, token, form)
}

/// As [`request`], to an action of another tenant.
pub fn request_to(tenant: &str, action: &str, token: Option<&str>, form: Option<&str>) -> Vec<u8> {
    let mut text = format!("POST /srv/?f={tenant}&a={action} HTTP/1.1\r\nhost: 127.0.0.1\r\n");
    if let Some(token) = token {
        text += &format!("authorization: Bearer {token}\r\n");
    }
    if form.is_some() {
        text += "content-type: application/x-www-form-urlencoded\r\n";
    }
    let form = form.unwrap_or_default();
    (text + &format!("content-length: {}\r\n\r\n{form}", form.len())).into_bytes()
}

/// Sends one request on a new connection. Returns the response, head and body.
pub fn send(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request)?;
    let (mut response, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut part)? {
            0 => return Err("the connection was closed before the response was complete".into()),
            n => response.extend_from_slice(&part[..n]),
        }
        if length(&response)? == Some(response.len()) {
            return Ok(response);
        }
    }
}

/// Sends one request. Returns the envelope, of a success or a failure.
pub fn envelope(address: SocketAddr, request: &[u8]) -> Result<Value> {
    let response = send(address, request)?;
    let (_, body) = split(&response).ok_or("the response has no head")?;
    Ok(serde_json::from_slice(body)?)
}

/// Sends one request that must succeed. Returns the `data` of the envelope.
pub fn call(address: SocketAddr, request: &[u8]) -> Result<Value> {
    let mut envelope = envelope(address, request)?;
    match envelope["code"].as_u64() {
        Some(1) => Ok(envelope["data"].take()),
        _ => Err(format!("the gateway answered {}", envelope["error"]).into()),
    }
}

/// Logs a person in to a tenant. Returns the person's request to `a=user`.
pub fn logged_in(simulator: &Simulator, address: SocketAddr, tenant: &str, person: usize) -> Result<Vec<u8>> {
    let code = format!("code={}", simulator.code(&format!("member-{person}")));
    let data = call(address, &request_to(tenant, "openid", None, Some(&code)))?;
    let token = data["session"]["token"].as_str().ok_or("a=openid gave no session token")?;
    let profile = format!("method=profile&name=Member+{person}&avatar_url=https%3A%2F%2Fexample.com%2F{person}.png");
    call(address, &request_to(tenant, "login", Some(token), Some(&profile)))?;
    Ok(request_to(tenant, "user", Some(token), None))
}

/// Head of a response, without the empty line, and the received part of the body.
pub fn split(response: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = response.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((&response[..at], &response[at + 4..]))
}

/// Length of head and body in bytes; `None` until the head is complete.
pub fn length(response: &[u8]) -> Result<Option<usize>> {
    let Some((head, _)) = split(response) else { return Ok(None) };
    let body = std::str::from_utf8(head)?
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .ok_or("a response without Content-Length")?;
    Ok(Some(head.len() + 4 + body.1.trim().parse::<usize>()?))
}
