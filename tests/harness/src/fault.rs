//! A TCP proxy that injects network faults into the connections between two programs.

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

/// Interval at which threads check for a changed fault.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The fault that the proxy injects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// No fault: bytes are forwarded as they arrive.
    None,
    /// Each chunk is delayed by this time, in both directions.
    Delay(Duration),
    /// No byte is forwarded; open connections stay open and new ones are accepted.
    Freeze,
    /// One byte is forwarded per this time, in both directions.
    Trickle(Duration),
    /// Open connections are closed and new ones refused.
    Refuse,
    /// Open connections are closed. On new ones the proxy responds to each chunk with these bytes, and forwards nothing.
    Reply(Vec<u8>),
    /// As [`NetworkFault::Reply`], then closes the connection.
    ReplyAndClose(Vec<u8>),
}

/// A running proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    addr: SocketAddr,
    shared: Arc<ProxyState>,
}

#[derive(Debug)]
struct ProxyState {
    target: SocketAddr,
    plan: Mutex<Plan>,
    ended: AtomicBool,
}

#[derive(Clone, Debug)]
struct Plan {
    fault: NetworkFault,
    /// Connections of an earlier generation are closed.
    generation: u64,
}

impl FaultProxy {
    /// Starts a proxy in front of this loopback port.
    ///
    /// # Panics
    /// Where there is no free port.
    pub fn start(target: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free loopback port");
        let addr = listener.local_addr().expect("the port just bound");
        let plan = Mutex::new(Plan { fault: NetworkFault::None, generation: 0 });
        let shared = Arc::new(ProxyState { target: loopback(target), plan, ended: AtomicBool::new(false) });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || accept(addr, listener, &of_thread));
        Self { addr, shared }
    }

    /// The address of the proxy.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The URL with the proxy's address instead of its target's.
    ///
    /// # Panics
    /// Where the URL does not have the target's address.
    pub fn in_front_of(&self, url: &str) -> String {
        let target = self.shared.target.to_string();
        assert!(url.contains(&target), "{url} is not at {target}");
        url.replace(&target, &self.addr.to_string())
    }

    /// Injects this fault from now on, also into open connections.
    pub fn set(&self, fault: NetworkFault) {
        let mut plan = self.shared.plan();
        if matches!(fault, NetworkFault::Refuse | NetworkFault::Reply(_) | NetworkFault::ReplyAndClose(_))
            || matches!(plan.fault, NetworkFault::Reply(_) | NetworkFault::ReplyAndClose(_))
        {
            plan.generation += 1;
        }
        plan.fault = fault;
    }

    /// Closes all open connections. The fault for new ones is unchanged.
    pub fn cut(&self) {
        self.shared.plan().generation += 1;
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
    }
}

impl ProxyState {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Plan {
        self.plan().clone()
    }
}

fn accept(addr: SocketAddr, listener: TcpListener, shared: &Arc<ProxyState>) {
    let mut listener = Some(listener);
    while !shared.ended.load(SeqCst) {
        let plan = shared.now();
        if plan.fault == NetworkFault::Refuse {
            listener = None;
        } else if listener.is_none() {
            // Binding fails while a connection from this port exists.
            listener = TcpListener::bind(addr).ok();
        }
        let Some(listener) = &listener else {
            // The interval of the polls.
            thread::sleep(POLL_INTERVAL);
            continue;
        };
        let accepted = listener.set_nonblocking(true).and_then(|()| listener.accept());
        match accepted {
            Ok((client, _)) => {
                let shared = Arc::clone(shared);
                thread::spawn(move || serve(client, plan.generation, &shared));
            }
            Err(_) => thread::sleep(POLL_INTERVAL),
        }
    }
}

/// Serves one connection until either side or the proxy closes it.
fn serve(client: TcpStream, generation: u64, shared: &Arc<ProxyState>) {
    let _ = client.set_nonblocking(false);
    if let NetworkFault::Reply(bytes) | NetworkFault::ReplyAndClose(bytes) = shared.now().fault {
        return reply(client, &bytes, generation, shared);
    }
    // Where the target is down, the connection is closed.
    let Ok(server) = TcpStream::connect(shared.target) else { return };
    let (Ok(from_server), Ok(to_client)) = (server.try_clone(), client.try_clone()) else { return };
    let of_thread = Arc::clone(shared);
    let back = thread::spawn(move || pump(from_server, to_client, generation, &of_thread));
    pump(client, server, generation, shared);
    let _ = back.join();
}

/// Forwards bytes of one direction, with the current fault.
fn pump(mut from: TcpStream, mut to: TcpStream, generation: u64, shared: &ProxyState) {
    let _ = from.set_read_timeout(Some(POLL_INTERVAL));
    let _ = to.set_nodelay(true);
    let is_current = || !shared.ended.load(SeqCst) && shared.now().generation == generation;
    let mut chunk = [0; 16 * 1024];
    'connection: while is_current() {
        if shared.now().fault == NetworkFault::Freeze {
            // The interval of the polls.
            thread::sleep(POLL_INTERVAL);
            continue;
        }
        let length = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                continue;
            }
            Err(_) => break,
        };
        let mut rest = &chunk[..length];
        while !rest.is_empty() {
            let count = match shared.now().fault {
                NetworkFault::Freeze => {
                    thread::sleep(POLL_INTERVAL);
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
            if !is_current() || to.write_all(part).is_err() {
                break 'connection;
            }
            rest = later;
        }
    }
    // Either side may have closed it already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

/// Responds to each chunk with the same bytes.
fn reply(mut client: TcpStream, bytes: &[u8], generation: u64, shared: &ProxyState) {
    let _ = client.set_read_timeout(Some(POLL_INTERVAL));
    let mut chunk = [0; 4096];
    while !shared.ended.load(SeqCst) && shared.now().generation == generation {
        match client.read(&mut chunk) {
            Ok(0) => return,
            Ok(_) => {
                if client.write_all(bytes).is_err() || matches!(shared.now().fault, NetworkFault::ReplyAndClose(_)) {
                    return;
                }
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return,
        }
    }
}
