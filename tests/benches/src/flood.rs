//! An open-loop load: requests at a fixed rate, independent of the server's responses, from clients that disconnect after a
//! timeout.

use crate::{Result, wire};
use rustix::{
    buffer::spare_capacity,
    event::{Timespec, epoll},
    fd::OwnedFd,
};
use std::{
    collections::VecDeque,
    io::{ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// Time after which a client without a response disconnects.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(1);
/// Maximum time between two checks for due requests and timeouts.
const TICK: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000 };

/// Clients, each with one keep-alive connection and at most one request in flight.
pub struct Flood {
    address: SocketAddr,
    epoll: OwnedFd,
    clients: Vec<Client>,
    idle: Vec<usize>,
    /// Client and time of each request, oldest first; includes requests that have been answered.
    sent: VecDeque<(usize, Instant)>,
}

struct Client {
    stream: TcpStream,
    since: Option<Instant>,
    response: Vec<u8>,
}

/// The results of a flood.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Number of requests that were due.
    pub due: u64,
    /// Duration of each request that succeeded, in microseconds.
    pub served: Vec<u32>,
    /// Duration of each request that was answered with 503, in microseconds.
    pub shed: Vec<u32>,
    /// Number of requests without a response in time, or without a free client.
    pub timed_out: u64,
    /// Number of requests that were in flight at the end.
    pub waiting: u64,
}

impl Flood {
    /// Connects this number of clients.
    pub fn open(address: SocketAddr, clients: usize) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut flood =
            Self { address, epoll, clients: Vec::new(), idle: (0..clients).collect(), sent: VecDeque::new() };
        for number in 0..clients {
            let stream = flood.connect(number)?;
            flood.clients.push(Client { stream, since: None, response: Vec::new() });
        }
        Ok(flood)
    }

    fn connect(&self, number: usize) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        epoll::add(&self.epoll, &stream, epoll::EventData::new_u64(number as u64), epoll::EventFlags::IN)?;
        Ok(stream)
    }

    /// Sends `rate` requests per second for `time`. `next` writes a request.
    ///
    /// # Errors
    /// If a response is neither a success nor 503, or the server does not accept a connection.
    pub fn run(&mut self, rate: f64, time: Duration, mut next: impl FnMut(&mut Vec<u8>)) -> Result<Outcome> {
        let (start, mut outcome, mut request) = (Instant::now(), Outcome::default(), Vec::new());
        let mut events = Vec::with_capacity(1024);
        while start.elapsed() < time {
            while outcome.due < (start.elapsed().as_secs_f64() * rate) as u64 {
                outcome.due += 1;
                let Some(number) = self.idle.pop() else {
                    outcome.timed_out += 1;
                    continue;
                };
                request.clear();
                next(&mut request);
                let now = Instant::now();
                self.clients[number].stream.write_all(&request)?;
                self.clients[number].since = Some(now);
                self.sent.push_back((number, now));
            }
            self.disconnect_overdue(&mut outcome)?;
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&TICK))?;
            for event in events.drain(..) {
                self.read(event.data.u64() as usize, &mut outcome)?;
            }
        }
        outcome.waiting = self.clients.iter().filter(|client| client.since.is_some()).count() as u64;
        Ok(outcome)
    }

    /// Disconnects the clients that have waited for [`CLIENT_TIMEOUT`], and connects them again.
    fn disconnect_overdue(&mut self, outcome: &mut Outcome) -> Result<()> {
        while let Some((number, since)) = self.sent.front().copied() {
            let waiting = self.clients[number].since == Some(since);
            if waiting && since.elapsed() < CLIENT_TIMEOUT {
                break;
            }
            self.sent.pop_front();
            if waiting {
                outcome.timed_out += 1;
                let stream = self.connect(number)?;
                self.clients[number] = Client { stream, since: None, response: Vec::new() };
                self.idle.push(number);
            }
        }
        Ok(())
    }

    fn read(&mut self, number: usize, outcome: &mut Outcome) -> Result<()> {
        let client = &mut self.clients[number];
        let mut part = [0; 4096];
        match client.stream.read(&mut part) {
            Ok(0) => return Err("the server closed a connection".into()),
            Ok(n) => client.response.extend_from_slice(&part[..n]),
            // The event belongs to the client's previous connection.
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        if wire::length(&client.response)?.is_none_or(|whole| client.response.len() < whole) {
            return Ok(());
        }
        let took = client.since.take().map_or(0, |since| since.elapsed().as_micros() as u32);
        match &client.response {
            success if success.starts_with(b"HTTP/1.1 200 ") => outcome.served.push(took),
            shed if shed.starts_with(b"HTTP/1.1 503 ") => outcome.shed.push(took),
            other => return Err(format!("neither success nor 503: {}", String::from_utf8_lossy(other)).into()),
        }
        client.response.clear();
        self.idle.push(number);
        Ok(())
    }
}
