//! A TCP proxy that stands between two programs and does to their connections what networks and dying servers do.

use crate::process::loopback;
use std::{
    io::{ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread,
    time::Duration,
};

/// How often threads look whether something has changed.
const LOOK: Duration = Duration::from_millis(5);

/// What the proxy does with connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// Nothing: bytes pass as they come.
    None,
    /// Each piece passes so much later, either way.
    Delay(Duration),
    /// No byte passes, open connections stay open and new ones are taken.
    Freeze,
    /// One byte passes in so much time, either way.
    Trickle(Duration),
    /// Open connections are broken and new ones refused.
    Refuse,
    /// Open connections are broken; on new ones each piece is answered with this, and the other side hears nothing.
    Reply(Vec<u8>),
    /// As [`NetworkFault::Reply`], and then closes.
    ReplyAndClose(Vec<u8>),
}

/// A running proxy; it ends when dropped.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    target: SocketAddr,
    plan: Mutex<Plan>,
    ended: AtomicBool,
}

#[derive(Clone, Debug)]
struct Plan {
    fault: NetworkFault,
    /// Connections of an earlier one are broken.
    generation: u64,
}

impl FaultProxy {
    /// Starts one before this loopback port, on a port of its own.
    ///
    /// # Panics
    /// When there is no free port.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let addr = listener.local_addr().expect("the port just bound");
        let plan = Mutex::new(Plan { fault: NetworkFault::None, generation: 0 });
        let shared = Arc::new(Shared { target: loopback(target), plan, ended: AtomicBool::new(false) });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || accept(addr, listener, &of_thread));
        Self { addr, shared }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The same URL, by way of this proxy.
    ///
    /// # Panics
    /// When the URL does not name the proxy's target.
    pub fn in_front_of(&self, url: &str) -> String {
        let target = self.shared.target.to_string();
        assert!(url.contains(&target), "{url} is not at {target}");
        url.replace(&target, &self.addr.to_string())
    }

    /// From now on it does this, also to connections that are open.
    pub fn set(&self, fault: NetworkFault) {
        let mut plan = self.shared.plan();
        if matches!(fault, NetworkFault::Refuse | NetworkFault::Reply(_) | NetworkFault::ReplyAndClose(_))
            || matches!(plan.fault, NetworkFault::Reply(_) | NetworkFault::ReplyAndClose(_))
        {
            plan.generation += 1;
        }
        plan.fault = fault;
    }

    /// Breaks all open connections; new ones are treated as before.
    pub fn cut(&self) {
        self.shared.plan().generation += 1;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Plan {
        self.plan().clone()
    }
}

fn accept(addr: SocketAddr, listener: TcpListener, shared: &Arc<Shared>) {
    let mut listener = Some(listener);
    while !shared.ended.load(SeqCst) {
        let plan = shared.now();
        if plan.fault == NetworkFault::Refuse {
            listener = None;
        } else if listener.is_none() {
            // Somebody may be connecting from this very port at the moment.
            listener = TcpListener::bind(addr).ok();
        }
        let Some(listener) = &listener else {
            thread::sleep(LOOK);
            continue;
        };
        let taken = listener.set_nonblocking(true).and_then(|()| listener.accept());
        match taken {
            Ok((client, _)) => {
                let shared = Arc::clone(shared);
                thread::spawn(move || serve(client, plan.generation, &shared));
            }
            Err(_) => thread::sleep(LOOK),
        }
    }
}

/// One connection, until either side ends it or it is broken.
fn serve(client: TcpStream, generation: u64, shared: &Arc<Shared>) {
    let _ = client.set_nonblocking(false);
    if let NetworkFault::Reply(words) | NetworkFault::ReplyAndClose(words) = shared.now().fault {
        return say(client, &words, generation, shared);
    }
    // Where the server is not there, neither is the connection.
    let Ok(server) = TcpStream::connect(shared.target) else { return };
    let (Ok(from_server), Ok(to_client)) = (server.try_clone(), client.try_clone()) else { return };
    let of_thread = Arc::clone(shared);
    let back = thread::spawn(move || pump(from_server, to_client, generation, &of_thread));
    pump(client, server, generation, shared);
    let _ = back.join();
}

/// Passes on what comes from one side, as the plan of the moment says.
fn pump(mut from: TcpStream, mut to: TcpStream, generation: u64, shared: &Shared) {
    let _ = from.set_read_timeout(Some(LOOK));
    let _ = to.set_nodelay(true);
    let stands = || !shared.ended.load(SeqCst) && shared.now().generation == generation;
    let mut piece = [0; 16 * 1024];
    'connection: while stands() {
        if shared.now().fault == NetworkFault::Freeze {
            thread::sleep(LOOK);
            continue;
        }
        let length = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                continue;
            }
            Err(_) => break,
        };
        let mut rest = &piece[..length];
        while !rest.is_empty() {
            let count = match shared.now().fault {
                NetworkFault::Freeze => {
                    thread::sleep(LOOK);
                    0
                }
                NetworkFault::Trickle(pause) => {
                    thread::sleep(pause);
                    1
                }
                NetworkFault::Delay(pause) => {
                    thread::sleep(pause);
                    rest.len()
                }
                _ => rest.len(),
            };
            let (part, later) = rest.split_at(count);
            if !stands() || to.write_all(part).is_err() {
                break 'connection;
            }
            rest = later;
        }
    }
    // Each may be gone already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Answers each piece with the same words.
fn say(mut client: TcpStream, words: &[u8], generation: u64, shared: &Shared) {
    let _ = client.set_read_timeout(Some(LOOK));
    let mut piece = [0; 4096];
    while !shared.ended.load(SeqCst) && shared.now().generation == generation {
        match client.read(&mut piece) {
            Ok(0) => return,
            Ok(_) => {
                if client.write_all(words).is_err() || matches!(shared.now().fault, NetworkFault::ReplyAndClose(_)) {
                    return;
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}
