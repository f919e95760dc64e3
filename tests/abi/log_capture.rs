//! Captures the log of the gateway and the plugins in this test process.

use std::{
    io,
    sync::{LazyLock, Mutex, PoisonError},
};

static LINES: LazyLock<Mutex<Vec<u8>>> = LazyLock::new(|| {
    tracing_subscriber::fmt().with_ansi(false).with_max_level(tracing::Level::TRACE).with_writer(|| Capture).init();
    Mutex::default()
});

struct Capture;

impl io::Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        LINES.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts capturing. Lines that are logged before are lost.
pub fn start() {
    LazyLock::force(&LINES);
}

/// The captured lines that contain a text.
pub fn lines(text: &str) -> Vec<String> {
    let logged = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    String::from_utf8_lossy(&logged).lines().filter(|l| l.contains(text)).map(str::to_owned).collect()
}
