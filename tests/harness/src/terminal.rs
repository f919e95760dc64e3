//! A command on a pseudo-terminal (by `script` of util-linux), with line-by-line input.

use crate::process::START_TIMEOUT;
use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Time that a program gets between its prompt and the input, to switch off the echo. The pseudo-terminal belongs to
/// `script`, so that its state cannot be polled.
const ECHO_OFF_DELAY: Duration = Duration::from_millis(300);

/// A command that runs on a terminal.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    input: Option<ChildStdin>,
    shown: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    seen: usize,
}

impl Terminal {
    /// Starts a command, with its environment and folder.
    ///
    /// # Panics
    /// Where it cannot be started, or an argument is not UTF-8.
    pub fn start(command: &Command) -> Self {
        let quoted = |part: &std::ffi::OsStr| format!("'{}'", part.to_str().expect("UTF-8").replace('\'', "'\\''"));
        let line: Vec<_> = std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--flush", "--command", &line.join(" "), "/dev/null"]);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            script.current_dir(folder);
        }
        script.env("SHELL", "/bin/sh").env("TERM", "dumb");
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = script.spawn().expect("script, of the Debian package bsdutils");
        let shown = Arc::new(Mutex::new(String::new()));
        let (mut output, page) = (child.stdout.take().expect("its output"), shown.clone());
        let reader = thread::spawn(move || {
            let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..read]);
                *page.lock().unwrap_or_else(PoisonError::into_inner) = String::from_utf8_lossy(&bytes).into_owned();
            }
        });
        let input = child.stdin.take();
        Self { child, input, shown, reader: Some(reader), seen: 0 }
    }

    /// Waits for this text in the output after the previously expected text.
    ///
    /// # Panics
    /// Where it does not appear within [`START_TIMEOUT`]. The text has the complete output.
    pub fn expect(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            let shown = self.shown();
            if let Some(at) = shown.get(self.seen..).and_then(|rest| rest.find(text)) {
                self.seen += at + text.len();
                return;
            }
            assert!(start.elapsed() < START_TIMEOUT, "{text:?} does not appear:\n{shown}");
            // The interval of the polls.
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types a line.
    ///
    /// # Panics
    /// Where the command has ended.
    pub fn type_line(&mut self, line: &str) {
        thread::sleep(ECHO_OFF_DELAY);
        let input = self.input.as_mut().expect("an open terminal");
        input.write_all(format!("{line}\r").as_bytes()).and_then(|()| input.flush()).expect("a running command");
    }

    /// Types Ctrl-D.
    ///
    /// # Panics
    /// Where the command has ended.
    pub fn type_end(&mut self) {
        thread::sleep(ECHO_OFF_DELAY);
        let input = self.input.as_mut().expect("an open terminal");
        input.write_all(b"\x04").and_then(|()| input.flush()).expect("a running command");
    }

    /// The output so far.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the end of the command. Returns its exit code and the complete output.
    ///
    /// # Panics
    /// Where it does not end.
    pub fn end(mut self) -> (i32, String) {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("its status") {
                Some(status) => break status,
                None => assert!(start.elapsed() < START_TIMEOUT, "the command does not end:\n{}", self.shown()),
            }
            // The interval of the polls.
            thread::sleep(Duration::from_millis(10));
        };
        // The reader ends when it has read the last of the output.
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
        (status.code().unwrap_or(-1), self.shown())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Without its terminal, the command ends as well.
        self.input.take();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
