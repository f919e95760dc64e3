//! The load: a fixed number of kept-alive connections, one request under way on each.

use crate::{Result, post};
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

/// How long the server may leave all connections without an answer. Generous: valgrind is slow.
const PATIENCE: Timespec = Timespec { tv_sec: 60, tv_nsec: 0 };

/// When to stop asking.
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
    answer: Vec<u8>,
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
            Ok(Connection { stream, request: Vec::new(), answer: Vec::with_capacity(4096) })
        });
        Ok(Self { connections: connections.collect::<Result<_>>()?, epoll })
    }

    /// Asks on all connections, each as soon as it was answered, and waits for the last answers. `next` writes a
    /// connection's next request; false where there is none left. Gives how many answers came.
    ///
    /// # Errors
    /// When a connection breaks, or an answer is no success.
    pub fn drive(&mut self, until: Until, mut next: impl FnMut(usize, &mut Vec<u8>) -> bool) -> Result<u64> {
        let started = Instant::now();
        let (mut asked, mut answered) = (0, 0);
        let mut ask = |number: usize, connection: &mut Connection| -> Result<bool> {
            let more = match until {
                Until::Elapsed(time) => started.elapsed() < time,
                Until::Requests(requests) => asked < requests,
            };
            connection.request.clear();
            if !more || !next(number, &mut connection.request) {
                return Ok(false);
            }
            asked += 1;
            // A request fits in the socket's buffer, which is empty: the last one was answered.
            connection.stream.write_all(&connection.request)?;
            Ok(true)
        };
        let mut under_way = 0;
        for (number, connection) in self.connections.iter_mut().enumerate() {
            under_way += u64::from(ask(number, connection)?);
        }
        let mut events = Vec::with_capacity(self.connections.len());
        while under_way > 0 {
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&PATIENCE))?;
            if events.is_empty() {
                return Err("the server left all connections without an answer".into());
            }
            for event in events.drain(..) {
                let number = event.data.u64() as usize;
                let connection = &mut self.connections[number];
                if connection.answered()? {
                    answered += 1;
                    under_way -= u64::from(!ask(number, connection)?);
                }
            }
        }
        Ok(answered)
    }
}

impl Connection {
    /// Takes what has come; true when the answer is complete.
    fn answered(&mut self) -> Result<bool> {
        let mut part = [0; 4096];
        match self.stream.read(&mut part)? {
            0 => return Err("the server closed a connection".into()),
            n => self.answer.extend_from_slice(&part[..n]),
        }
        if post::length(&self.answer)?.is_none_or(|whole| self.answer.len() < whole) {
            return Ok(false);
        }
        let good = self.answer.starts_with(b"HTTP/1.1 200 ")
            && post::split(&self.answer).is_some_and(|(_, body)| body.starts_with(b"{\"code\":1,"));
        if !good {
            return Err(format!("no success: {}", String::from_utf8_lossy(&self.answer)).into());
        }
        self.answer.clear();
        Ok(true)
    }
}
