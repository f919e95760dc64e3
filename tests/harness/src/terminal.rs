//! A person at a terminal: a command on a pseudo-terminal of its own (`script`, of util-linux), spoken to line by line.

use crate::process::PATIENCE;
use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// How long a program has, after it has asked, to switch off the echo.
const HUSH: Duration = Duration::from_millis(300);

/// A command that runs on a terminal.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    input: Option<ChildStdin>,
    shown: Arc<Mutex<String>>,
    seen: usize,
}

impl Terminal {
    /// Starts a command, with its environment and folder.
    ///
    /// # Panics
    /// When it can't be started, or an argument is not UTF-8.
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
        thread::spawn(move || {
            let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                bytes.extend_from_slice(&buffer[..read]);
                *page.lock().unwrap_or_else(PoisonError::into_inner) = String::from_utf8_lossy(&bytes).into_owned();
            }
        });
        let input = child.stdin.take();
        Self { child, input, shown, seen: 0 }
    }

    /// Waits until this is shown, after what was waited for before.
    ///
    /// # Panics
    /// When it never is; the text has all that is shown.
    pub fn expect(&mut self, text: &str) {
        let start = Instant::now();
        loop {
            let shown = self.shown();
            if let Some(at) = shown.get(self.seen..).and_then(|rest| rest.find(text)) {
                self.seen += at + text.len();
                return;
            }
            assert!(start.elapsed() < PATIENCE, "{text:?} is not shown:\n{shown}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types a line.
    ///
    /// # Panics
    /// When the command has ended.
    pub fn type_line(&mut self, line: &str) {
        thread::sleep(HUSH);
        let input = self.input.as_mut().expect("an open terminal");
        input.write_all(format!("{line}\r").as_bytes()).and_then(|()| input.flush()).expect("a running command");
    }

    /// Types Ctrl-D.
    ///
    /// # Panics
    /// When the command has ended.
    pub fn type_end(&mut self) {
        thread::sleep(HUSH);
        let input = self.input.as_mut().expect("an open terminal");
        input.write_all(b"\x04").and_then(|()| input.flush()).expect("a running command");
    }

    /// All that is shown so far.
    pub fn shown(&self) -> String {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the end; its exit code and all that was shown.
    ///
    /// # Panics
    /// When it does not end.
    pub fn end(mut self) -> (i32, String) {
        let start = Instant::now();
        let status = loop {
            match self.child.try_wait().expect("its status") {
                Some(status) => break status,
                None => assert!(start.elapsed() < PATIENCE, "it does not end:\n{}", self.shown()),
            }
            thread::sleep(Duration::from_millis(10));
        };
        // The last of the output may be on its way.
        thread::sleep(HUSH);
        (status.code().unwrap_or(-1), self.shown())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // With its terminal gone, the command ends as well.
        self.input.take();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
