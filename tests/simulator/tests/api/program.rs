//! The program `menlou-simulator`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_menlou-simulator"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        Self { child, stdout }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line
    }

    fn stop(mut self, signal: &str) -> ExitStatus {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // The process has ended already unless the test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The response to the request of a printed curl command.
fn run_curl_line(line: &str) -> String {
    let url = line.split('\'').nth(1).unwrap();
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}

#[test]
fn the_program_prints_its_address_and_two_working_commands() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    assert!(program.line().contains("http://127.0.0.1:"));
    for _ in 0..2 {
        let response = run_curl_line(&program.line());
        assert!(response.starts_with("HTTP/1.1 200") && response.contains("\"code\":"), "{response}");
    }
    assert!(program.stop("-INT").success());
}

#[test]
fn the_program_registers_the_given_apps() {
    let app = "wx0000000000000001:secret:account";
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--app", app]);
    program.line();
    let response = run_curl_line(&program.line());
    assert!(response.contains("wx0000000000000001") && response.contains("\"unionid\":\"o"));
}

#[test]
fn sigterm_ends_the_program_with_exit_code_0() {
    let mut program = Program::start(&["--listen", "127.0.0.1:0"]);
    program.line();
    assert!(program.stop("-TERM").success());
}

#[test]
fn an_invalid_app_is_rejected_with_exit_code_2() {
    let output = Command::new(env!("CARGO_BIN_EXE_menlou-simulator"))
        .args(["--listen", "127.0.0.1:0", "--app", "no-secret"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
}
