//! Requests and answers as bytes: small enough to be sure what goes over the wire.

use crate::Result;
use menlou_simulator::Simulator;
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

/// A POST to an action of the tenant `bench`, with a session token and a form where given.
pub fn request(action: &str, token: Option<&str>, form: Option<&str>) -> Vec<u8> {
    request_to("bench", action, token, form)
}

/// The same to an action of any tenant.
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

/// Sends one request on a connection of its own and gives the whole answer, head and body.
pub fn send(address: SocketAddr, request: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    stream.write_all(request)?;
    let (mut answer, mut part) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut part)? {
            0 => return Err("the connection was closed before the answer was complete".into()),
            n => answer.extend_from_slice(&part[..n]),
        }
        if length(&answer)? == Some(answer.len()) {
            return Ok(answer);
        }
    }
}

/// Sends one request and gives what was answered, be it a success or a failure.
pub fn envelope(address: SocketAddr, request: &[u8]) -> Result<Value> {
    let answer = send(address, request)?;
    let (_, body) = split(&answer).ok_or("the answer has no head")?;
    Ok(serde_json::from_slice(body)?)
}

/// Sends one request and gives the `data` of its answer.
pub fn ask(address: SocketAddr, request: &[u8]) -> Result<Value> {
    let mut envelope = envelope(address, request)?;
    match envelope["code"].as_u64() {
        Some(1) => Ok(envelope["data"].take()),
        _ => Err(format!("the gateway answered {}", envelope["error"]).into()),
    }
}

/// A request for one's own account, by a person who has logged in to a tenant.
pub fn logged_in(simulator: &Simulator, address: SocketAddr, tenant: &str, person: usize) -> Result<Vec<u8>> {
    let code = format!("code={}", simulator.code(&format!("member-{person}")));
    let data = ask(address, &request_to(tenant, "openid", None, Some(&code)))?;
    let token = data["session"]["token"].as_str().ok_or("a=openid gave no session token")?;
    let profile = format!("method=profile&name=Member+{person}&avatar_url=https%3A%2F%2Fexample.com%2F{person}.png");
    ask(address, &request_to(tenant, "login", Some(token), Some(&profile)))?;
    Ok(request_to(tenant, "user", Some(token), None))
}

/// An answer's head, without the empty line, and what has come of its body.
pub fn split(answer: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    Some((&answer[..at], &answer[at + 4..]))
}

/// How long an answer is in all, once its head is there.
pub fn length(answer: &[u8]) -> Result<Option<usize>> {
    let Some((head, _)) = split(answer) else { return Ok(None) };
    let body = std::str::from_utf8(head)?
        .lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .ok_or("an answer without a content-length")?;
    Ok(Some(head.len() + 4 + body.1.trim().parse::<usize>()?))
}
