//! A closed-loop load: a fixed number of keep-alive connections with one request in flight on each.

use crate::{Result, wire};
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    fd::OwnedFd,
};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Maximum time without a response on any connection; generous, since a server under valgrind is slow.
const TIMEOUT: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// When to stop sending requests.
#[derive(Clone, Copy, Debug)]
pub enum Until {
    /// After this time.
    Elapsed(Duration),
    /// After this many requests.
    Requests(u64),
}

/// Open connections to one server.
pub struct Load {
    epoll: OwnedFd,
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    request: Vec<u8>,
    response: Vec<u8>,
}

impl Load {
    /// Opens the connections.
    pub fn open(address: SocketAddr, connections: usize) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let connections = (0..connections as u64).map(|number| {
            let stream = TcpStream::connect(address)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            epoll::add(&epoll, &stream, epoll::EventData::new_u64(number), epoll::EventFlags::IN)?;
            Ok(Connection { stream, request: Vec::new(), response: Vec::with_capacity(4096) })
        });
        Ok(Self { connections: connections.collect::<Result<_>>()?, epoll })
    }

    /// Sends requests on all connections, the next as soon as the previous one is answered, and waits for the last responses.
    /// `next` writes the next request of a connection, and returns false when there is none. Returns the number of responses.
    ///
    /// # Errors
    /// If a connection breaks, or a response is not a success.
    pub fn drive(&mut self, until: Until, mut next: impl FnMut(usize, &mut Vec<u8>) -> bool) -> Result<u64> {
        let started = Instant::now();
        let (mut sent, mut answered) = (0, 0);
        let mut send_next = |number: usize, connection: &mut Connection| -> Result<bool> {
            let more = match until {
                Until::Elapsed(time) => started.elapsed() < time,
                Until::Requests(requests) => sent < requests,
            };
            connection.request.clear();
            if !more || !next(number, &mut connection.request) {
                return Ok(false);
            }
            sent += 1;
            // The request fits into the socket buffer, which is empty since the previous request was answered.
            connection.stream.write_all(&connection.request)?;
            Ok(true)
        };
        let mut in_flight = 0;
        for (number, connection) in self.connections.iter_mut().enumerate() {
            in_flight += u64::from(send_next(number, connection)?);
        }
        let mut events = Vec::with_capacity(self.connections.len());
        while in_flight > 0 {
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&TIMEOUT))?;
            if events.is_empty() {
                return Err("no response on any connection".into());
            }
            for event in events.drain(..) {
                let number = event.data.u64() as usize;
                let connection = &mut self.connections[number];
                if connection.read_response()? {
                    answered += 1;
                    in_flight -= u64::from(!send_next(number, connection)?);
                }
            }
        }
        Ok(answered)
    }
}

impl Connection {
    /// Reads available bytes. Returns true when the response is complete.
    fn read_response(&mut self) -> Result<bool> {
        let mut part = [0; 4096];
        match self.stream.read(&mut part)? {
            0 => return Err("the server closed a connection".into()),
            n => self.response.extend_from_slice(&part[..n]),
        }
        if wire::length(&self.response)?.is_none_or(|whole| self.response.len() < whole) {
            return Ok(false);
        }
        let succeeded = self.response.starts_with(b"HTTP/1.1 200 ")
            && wire::split(&self.response).is_some_and(|(_, body)| body.starts_with(b"{\"code\":1,"));
        if !succeeded {
            return Err(format!("not a success: {}", String::from_utf8_lossy(&self.response)).into());
        }
        self.response.clear();
        Ok(true)
    }
}
