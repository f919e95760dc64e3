//! A flood: requests at a fixed rate, however the server fares, from clients that wait for a while and then hang up.

use crate::{Result, post};
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

/// How long a client waits for its answer.
pub const PATIENCE: Duration = Duration::from_secs(1);
/// How often is seen to what is due.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 500_000 };

/// Clients, each with a kept-alive connection and one request under way at most.
pub struct Flood {
    address: SocketAddr,
    epoll: OwnedFd,
    clients: Vec<Client>,
    idle: Vec<usize>,
    /// Who asked when, the longest ago first; also those who have been answered since.
    asked: VecDeque<(usize, Instant)>,
}

struct Client {
    stream: TcpStream,
    since: Option<Instant>,
    answer: Vec<u8>,
}

/// What became of a flood's requests.
#[derive(Debug, Default)]
pub struct Outcome {
    /// How many were due.
    pub due: u64,
    /// How long each took that was answered with success, in microseconds.
    pub served: Vec<u32>,
    /// How long each took that was answered with 503.
    pub shed: Vec<u32>,
    /// How many were given up: no answer in time, or no client left to ask.
    pub given_up: u64,
    /// How many were still waiting at the end.
    pub waiting: u64,
}

impl Flood {
    /// Connects so many clients.
    pub fn open(address: SocketAddr, clients: usize) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut flood =
            Self { address, epoll, clients: Vec::new(), idle: (0..clients).collect(), asked: VecDeque::new() };
        for number in 0..clients {
            let stream = flood.connect(number)?;
            flood.clients.push(Client { stream, since: None, answer: Vec::new() });
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

    /// Asks `rate` times a second for this long. `next` writes a request.
    ///
    /// # Errors
    /// When an answer is neither a success nor 503, or the server takes no connections.
    pub fn run(&mut self, rate: f64, time: Duration, mut next: impl FnMut(&mut Vec<u8>)) -> Result<Outcome> {
        let (start, mut outcome, mut request) = (Instant::now(), Outcome::default(), Vec::new());
        let mut events = Vec::with_capacity(1024);
        while start.elapsed() < time {
            while outcome.due < (start.elapsed().as_secs_f64() * rate) as u64 {
                outcome.due += 1;
                let Some(number) = self.idle.pop() else {
                    outcome.given_up += 1;
                    continue;
                };
                request.clear();
                next(&mut request);
                let now = Instant::now();
                self.clients[number].stream.write_all(&request)?;
                self.clients[number].since = Some(now);
                self.asked.push_back((number, now));
            }
            self.hang_up(&mut outcome)?;
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&GLANCE))?;
            for event in events.drain(..) {
                self.read(event.data.u64() as usize, &mut outcome)?;
            }
        }
        outcome.waiting = self.clients.iter().filter(|client| client.since.is_some()).count() as u64;
        Ok(outcome)
    }

    /// Those who have waited long enough come again on a new connection.
    fn hang_up(&mut self, outcome: &mut Outcome) -> Result<()> {
        while let Some((number, since)) = self.asked.front().copied() {
            let waiting = self.clients[number].since == Some(since);
            if waiting && since.elapsed() < PATIENCE {
                break;
            }
            self.asked.pop_front();
            if waiting {
                outcome.given_up += 1;
                let stream = self.connect(number)?;
                self.clients[number] = Client { stream, since: None, answer: Vec::new() };
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
            Ok(n) => client.answer.extend_from_slice(&part[..n]),
            // The event was of the connection that this client had before.
            Err(e) if e.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(e) => return Err(e.into()),
        }
        if post::length(&client.answer)?.is_none_or(|whole| client.answer.len() < whole) {
            return Ok(());
        }
        let took = client.since.take().map_or(0, |since| since.elapsed().as_micros() as u32);
        match &client.answer {
            good if good.starts_with(b"HTTP/1.1 200 ") => outcome.served.push(took),
            shed if shed.starts_with(b"HTTP/1.1 503 ") => outcome.shed.push(took),
            other => return Err(format!("neither served nor shed: {}", String::from_utf8_lossy(other)).into()),
        }
        client.answer.clear();
        self.idle.push(number);
        Ok(())
    }
}
