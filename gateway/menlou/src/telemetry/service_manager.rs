//! Tells systemd the state of the service (`Type=notify`, `Type=notify-reload`), where it started the gateway.

use rustix::time::{ClockId, clock_gettime};
use std::os::{
    linux::net::SocketAddrExt,
    unix::net::{SocketAddr, UnixDatagram},
};

/// The gateway serves.
pub fn ready() {
    notify("READY=1");
}

/// A reload has begun; [`ready`] ends it.
pub fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec.saturating_mul(1_000_000).saturating_add(now.tv_nsec / 1000);
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// The gateway is stopping.
pub fn stopping() {
    notify("STOPPING=1");
}

/// Sends a message to the socket in `NOTIFY_SOCKET` (sd_notify(3)). Failures are ignored, as sd_notify recommends.
fn notify(state: &str) {
    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let address = match name.as_encoded_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest),
        _ => SocketAddr::from_pathname(&name),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        // A full queue must not delay the gateway.
        let _ = socket.set_nonblocking(true);
        let _ = socket.send_to_addr(state.as_bytes(), &address);
    }
}
