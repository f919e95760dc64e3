//! Closing a connection immediately, together with the data that it still has to send.

use tokio::net::TcpStream;

/// A connection that can be reset. Closed normally, the kernel would keep what a client does not read, which may be some
/// mebibytes, for as long as the client likes.
pub trait Reset {
    /// Makes the connection discard its unsent data and send a reset when it is dropped.
    fn reset(&self);
}

impl Reset for TcpStream {
    fn reset(&self) {
        // Fails only on a connection that is broken already.
        let _ = self.set_zero_linger();
    }
}

#[cfg(feature = "tokio-rustls")]
impl<T: Reset> Reset for tokio_rustls::server::TlsStream<T> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}
