//! Counts that are reproducible on a busy machine: system calls by strace, user instructions and allocations by valgrind.

use crate::{
    Result,
    environment::Environment,
    load::Until,
    rounds::Row,
    server::{Server, Wrapper},
    subject::Case,
};
use menlou_harness::process::Process;
use serde::Deserialize;
use std::{
    ffi::OsString,
    fs, iter,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Number of requests counted by strace.
const TRACED: u64 = 10_000;
/// Requests in valgrind's first run; the second has twice as many, and the difference excludes start and stop.
const COUNTED: u64 = 2_000;
/// Number of connections.
const CONNECTIONS: usize = 64;

/// Counts per request; `None` where the tool is not installed.
#[derive(Debug, Default, serde::Serialize)]
pub struct Counts {
    /// System calls.
    pub system_calls: Option<f64>,
    /// The most frequent system calls by name.
    pub by_name: Vec<(String, f64)>,
    /// Instructions in user space.
    pub instructions: Option<f64>,
    /// Heap allocations.
    pub allocations: Option<f64>,
}

/// Totals of a process, counted by DHAT.
#[derive(Clone, Copy)]
pub struct Profile {
    pub instructions: u64,
    pub allocations: u64,
}

/// Adds the counts to every row.
pub fn count(environment: &Environment, rows: &mut [Row]) -> Result<()> {
    let (strace, valgrind) = (is_installed("strace"), is_installed("valgrind"));
    for row in rows {
        eprintln!("counting: {}", row.case.name());
        if strace {
            let by_name = system_calls(environment, row.case)?;
            row.counts.system_calls = Some(by_name.iter().map(|(_, n)| n).sum());
            row.counts.by_name = by_name.into_iter().filter(|(_, n)| *n >= 0.005).collect();
        }
        if valgrind {
            let per_request = per_request(COUNTED, |requests| profile(environment, row.case, requests))?;
            (row.counts.instructions, row.counts.allocations) = (Some(per_request.0), Some(per_request.1));
        }
    }
    Ok(())
}

/// Whether a program can be started.
pub fn is_installed(program: &str) -> bool {
    let mut version = Command::new(program);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Instructions and allocations per request: the difference between runs of `2 * n` and `n` requests, divided by `n`.
pub fn per_request(n: u64, run: impl Fn(u64) -> Result<Profile>) -> Result<(f64, f64)> {
    let (once, twice) = (run(n)?, run(2 * n)?);
    let each = |once: u64, twice: u64| twice.saturating_sub(once) as f64 / n as f64;
    Ok((each(once.instructions, twice.instructions), each(once.allocations, twice.allocations)))
}

/// The command that runs a program under DHAT.
pub fn dhat_command(out: &Path) -> Vec<OsString> {
    let mut file = OsString::from("--dhat-out-file=");
    file.push(out);
    vec!["valgrind".into(), "--tool=dhat".into(), file]
}

/// Reads the output of DHAT.
pub fn read_dhat(out: &Path) -> Result<Profile> {
    #[derive(Deserialize)]
    struct Output {
        /// Time of the program's end, in instructions.
        te: u64,
        pps: Vec<ProgramPoint>,
    }
    #[derive(Deserialize)]
    struct ProgramPoint {
        /// Total number of blocks.
        tbk: u64,
    }
    let output: Output = serde_json::from_slice(&fs::read(out)?)?;
    Ok(Profile { instructions: output.te, allocations: output.pps.iter().map(|p| p.tbk).sum() })
}

/// The command that runs a gateway under callgrind. It counts the instructions of serving connections only, from
/// [`start_counting`] on.
pub fn callgrind_command(out: &Path) -> Vec<OsString> {
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(out);
    let options = ["--tool=callgrind", "--instr-atstart=no", "--toggle-collect=menlou_server::listener::serve::*"];
    iter::once("valgrind").chain(options).map(OsString::from).chain([file]).collect()
}

/// Starts counting.
pub fn start_counting(server: &Server) -> Result<()> {
    callgrind_control(server, &["-i", "on"])
}

/// The number of instructions counted by callgrind.
pub fn counted_instructions(server: &Server, out: &Path) -> Result<u64> {
    callgrind_control(server, &["-d"])?;
    let profile = fs::read_to_string(out.with_extension("1"))?;
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok());
    totals
        .filter(|counted| *counted > 0)
        .ok_or_else(|| "callgrind counted no instructions of menlou_server::listener::serve".into())
}

fn callgrind_control(server: &Server, arguments: &[&str]) -> Result<()> {
    let mut control = Command::new("callgrind_control");
    match control.args(arguments).arg(server.id().to_string()).stdout(Stdio::null()).status()?.success() {
        true => Ok(()),
        false => Err("callgrind_control cannot reach the server; skip the tools with --no-tools".into()),
    }
}

fn profile(environment: &Environment, case: Case, requests: u64) -> Result<Profile> {
    let out = environment.folder().join("dhat.json");
    let wrapper: Wrapper<'_> = &dhat_command(&out);
    let mut subject = case.start(environment, CONNECTIONS, wrapper)?;
    subject.drive(Until::Requests(requests), requests, |_| Ok(()))?;
    subject.end();
    read_dhat(&out)
}

/// System calls per request by name, the most frequent first.
fn system_calls(environment: &Environment, case: Case) -> Result<Vec<(String, f64)>> {
    let mut subject = case.start(environment, CONNECTIONS, &[])?;
    subject.drive(Until::Requests(TRACED / 10), TRACED / 10, |_| Ok(()))?;
    let (out, log) = (environment.folder().join("strace"), environment.folder().join("strace.log"));
    let attach = |server: &Server| {
        let mut strace = Command::new("strace");
        strace.args(["-c", "-f", "-o"]).arg(&out).arg("-p").arg(server.id().to_string());
        let strace = Process::start(&mut strace, &log, "strace");
        wait_until_attached(server.id())?;
        Ok(strace)
    };
    let (mut strace, answered) = subject.drive(Until::Requests(TRACED), TRACED, attach)?;
    // On SIGTERM, strace detaches from the server and writes its table.
    strace.terminate();
    let mut by_name: Vec<(String, f64)> = fs::read_to_string(&out)?
        .lines()
        .filter_map(parse_line)
        .map(|(name, n)| (name, n as f64 / answered as f64))
        .collect();
    by_name.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(by_name)
}

/// Waits until strace has attached to every thread.
fn wait_until_attached(id: u32) -> Result<()> {
    let start = Instant::now();
    loop {
        let threads = fs::read_dir(format!("/proc/{id}/task"))?;
        let status = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok());
        if status.into_iter().all(|status| !status.contains("TracerPid:\t0\n")) {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(10) {
            return Err("strace cannot attach to the server; skip the tools with --no-tools".into());
        }
        // The interval of the polls.
        thread::sleep(Duration::from_millis(20));
    }
}

/// Parses a line `% time, seconds, usecs/call, calls, [errors,] syscall`. Returns `None` for header, rules and total.
fn parse_line(line: &str) -> Option<(String, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let name = *fields.last()?;
    let calls = fields.get(3)?.parse().ok()?;
    (name != "total").then(|| (name.to_owned(), calls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strace_table_is_parsed_without_its_total() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
             60.00    0.000060           1        60           writev\n\
             40.00    0.000040           1        40        12 recvfrom\n\
            100.00    0.000100           1       100        12 total\n";
        let read: Vec<_> = table.lines().filter_map(parse_line).collect();
        assert_eq!(read, [("writev".to_owned(), 60), ("recvfrom".to_owned(), 40)]);
    }
}
