//! Keeps plugins from ending the gateway as if it had been stopped, and children that they fork from keeping its ports.
//!
//! A plugin that calls `exit(0)` would end the process with success, so that a process manager does not restart it. A
//! child of `fork` inherits every socket; while it lives, the ports stay in use and clients see open connections.

use super::{
    exit_code::{self, EXIT_CODE},
    plugin_call,
};
use std::{
    mem::{MaybeUninit, size_of},
    sync::{
        Once,
        atomic::{AtomicU16, AtomicU32, Ordering},
    },
};

/// Number of file descriptors that a child looks at. Sockets beyond it belong to connections, of which few are that high.
const MAX_DESCRIPTOR: i32 = 65_536;

/// The process that must not end by `exit`, or 0.
static GUARDED: AtomicU32 = AtomicU32::new(0);
/// The ports that the process listens on. 0 is none.
static PORTS: [AtomicU16; 4] = [const { AtomicU16::new(0) }; 4];
static INSTALL: Once = Once::new();

/// Guards the process until this is dropped: an `exit` in between ends it with exit code 70.
#[derive(Debug)]
pub struct ExitGuard(());

impl ExitGuard {
    /// Starts the guard. `ports` are those that the process listens on.
    pub fn start(ports: &[u16]) -> Self {
        for (slot, port) in PORTS.iter().zip(ports) {
            slot.store(*port, Ordering::Relaxed);
        }
        INSTALL.call_once(|| {
            // SAFETY: both functions call only what is allowed there. If the system has no memory for the registrations,
            // the guard is missing.
            unsafe {
                libc::atexit(at_exit);
                libc::pthread_atfork(None, None, Some(in_child));
            }
        });
        GUARDED.store(std::process::id(), Ordering::Release);
        Self(())
    }
}

impl Drop for ExitGuard {
    fn drop(&mut self) {
        GUARDED.store(0, Ordering::Release);
    }
}

extern "C" fn at_exit() {
    if GUARDED.load(Ordering::Acquire) != std::process::id() {
        return;
    }
    let (plugin, action) = plugin_call::current_names().unwrap_or_default();
    tracing::error!(
        plugin,
        action,
        "a plugin called exit: the gateway ends with exit code {EXIT_CODE}, so that it is restarted"
    );
    // Time for the log to write its last line.
    std::thread::sleep(std::time::Duration::from_millis(200));
    exit_code::end();
}

/// Closes the gateway's sockets in a child of `fork`. Calls only async-signal-safe functions.
unsafe extern "C" fn in_child() {
    if GUARDED.load(Ordering::Acquire) == 0 {
        return;
    }
    for descriptor in 3..MAX_DESCRIPTOR {
        let mut address = MaybeUninit::<libc::sockaddr_storage>::zeroed();
        let mut len = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        // SAFETY: `address` has `len` writable bytes.
        if unsafe { libc::getsockname(descriptor, address.as_mut_ptr().cast(), &raw mut len) } != 0 {
            continue;
        }
        // SAFETY: all bytes were zeroed, so every field is initialised.
        let family = i32::from(unsafe { (*address.as_ptr()).ss_family });
        let port = match family {
            // SAFETY: the storage is large enough and aligned for any socket address, and the family says which it is.
            libc::AF_INET => unsafe { (*address.as_ptr().cast::<libc::sockaddr_in>()).sin_port },
            // SAFETY: as above.
            libc::AF_INET6 => unsafe { (*address.as_ptr().cast::<libc::sockaddr_in6>()).sin6_port },
            _ => continue,
        };
        let port = u16::from_be(port);
        if port != 0 && PORTS.iter().any(|ours| ours.load(Ordering::Relaxed) == port) {
            // SAFETY: the descriptor is the child's copy; nothing in the child uses it.
            unsafe { libc::close(descriptor) };
        }
    }
}
