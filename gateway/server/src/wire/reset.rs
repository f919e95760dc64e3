//! Giving a connection up at once, with what it still has to send.

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// A connection that the kernel can be told to forget. Closed in the usual way, it would keep what a client doesn't read,
/// some mebibytes perhaps, for as long as that client likes.
pub trait Reset {
    /// Has nothing more sent, but that it is over, once it is dropped.
    fn reset(&self);
}

impl Reset for TcpStream {
    fn reset(&self) {
        // Where that fails, the connection is broken already.
        let _ = self.set_zero_linger();
    }
}

impl<T: Reset> Reset for TlsStream<T> {
    fn reset(&self) {
        self.get_ref().0.reset();
    }
}
