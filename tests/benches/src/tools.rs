//! What repeats on a busy machine too: system calls by strace, user instructions and allocations by valgrind.

use crate::{
    Result,
    environment::Environment,
    load::Until,
    rounds::Row,
    server::{Server, Under},
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

/// How many requests strace watches.
const WATCHED: u64 = 10_000;
/// How many requests valgrind sees, once and then twice over: the difference is free of starting and stopping.
const SEEN: u64 = 2_000;
/// Connections of these runs.
const CONNECTIONS: usize = 64;

/// What one request takes; `None` where the tool is not there.
#[derive(Debug, Default, serde::Serialize)]
pub struct Counts {
    /// System calls.
    pub system_calls: Option<f64>,
    /// The most frequent ones.
    pub by_name: Vec<(String, f64)>,
    /// Instructions in user space.
    pub instructions: Option<f64>,
    /// Heap blocks.
    pub allocations: Option<f64>,
}

/// What DHAT has seen of a whole process.
#[derive(Clone, Copy)]
pub struct Seen {
    pub instructions: u64,
    pub allocations: u64,
}

/// Counts for every row.
pub fn count(environment: &Environment, rows: &mut [Row]) -> Result<()> {
    let (strace, valgrind) = (is_there("strace"), is_there("valgrind"));
    for row in rows {
        eprintln!("counting: {}", row.case.name());
        if strace {
            let by_name = system_calls(environment, row.case)?;
            row.counts.system_calls = Some(by_name.iter().map(|(_, n)| n).sum());
            row.counts.by_name = by_name.into_iter().filter(|(_, n)| *n >= 0.005).collect();
        }
        if valgrind {
            let seen = per_request(SEEN, |requests| served(environment, row.case, requests))?;
            (row.counts.instructions, row.counts.allocations) = (Some(seen.0), Some(seen.1));
        }
    }
    Ok(())
}

/// Whether a program can be started.
pub fn is_there(program: &str) -> bool {
    let mut version = Command::new(program);
    version.arg("--version").stdout(Stdio::null()).stderr(Stdio::null());
    version.status().is_ok_and(|status| status.success())
}

/// Instructions and allocations for one of `n`: what twice `n` take beyond what `n` take.
pub fn per_request(n: u64, run: impl Fn(u64) -> Result<Seen>) -> Result<(f64, f64)> {
    let (once, twice) = (run(n)?, run(2 * n)?);
    let each = |once: u64, twice: u64| twice.saturating_sub(once) as f64 / n as f64;
    Ok((each(once.instructions, twice.instructions), each(once.allocations, twice.allocations)))
}

/// The words in front of a program that DHAT is to watch.
pub fn dhat(out: &Path) -> Vec<OsString> {
    let mut file = OsString::from("--dhat-out-file=");
    file.push(out);
    vec!["valgrind".into(), "--tool=dhat".into(), file]
}

/// Reads what DHAT wrote.
pub fn read(out: &Path) -> Result<Seen> {
    #[derive(Deserialize)]
    struct Profile {
        /// When the program ended, in instructions.
        te: u64,
        pps: Vec<Point>,
    }
    #[derive(Deserialize)]
    struct Point {
        /// Blocks in all.
        tbk: u64,
    }
    let profile: Profile = serde_json::from_slice(&fs::read(out)?)?;
    Ok(Seen { instructions: profile.te, allocations: profile.pps.iter().map(|p| p.tbk).sum() })
}

/// The words in front of a gateway whose instructions callgrind counts from [`count_from_now`] on: those that it takes for
/// its connections, not what it does besides.
pub fn callgrind(out: &Path) -> Vec<OsString> {
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(out);
    let what = ["--tool=callgrind", "--instr-atstart=no", "--toggle-collect=menlou_server::listener::serve::*"];
    iter::once("valgrind").chain(what).map(OsString::from).chain([file]).collect()
}

/// Has callgrind count.
pub fn count_from_now(server: &Server) -> Result<()> {
    callgrind_control(server, &["-i", "on"])
}

/// What callgrind has counted.
pub fn counted(server: &Server, out: &Path) -> Result<u64> {
    callgrind_control(server, &["-d"])?;
    let profile = fs::read_to_string(out.with_extension("1"))?;
    let totals = profile.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok());
    totals.filter(|counted| *counted > 0).ok_or_else(|| "callgrind saw nothing of what serves a connection".into())
}

fn callgrind_control(server: &Server, asked: &[&str]) -> Result<()> {
    let mut control = Command::new("callgrind_control");
    match control.args(asked).arg(server.id().to_string()).stdout(Stdio::null()).status()?.success() {
        true => Ok(()),
        false => Err("callgrind_control can't reach the server; leave it out with --no-tools".into()),
    }
}

fn served(environment: &Environment, case: Case, requests: u64) -> Result<Seen> {
    let out = environment.folder().join("dhat.json");
    let under: Under<'_> = &dhat(&out);
    let mut subject = case.start(environment, CONNECTIONS, under)?;
    subject.drive(Until::Requests(requests), requests, |_| Ok(()))?;
    subject.end();
    read(&out)
}

/// How often each was made for one request, the most frequent first.
fn system_calls(environment: &Environment, case: Case) -> Result<Vec<(String, f64)>> {
    let mut subject = case.start(environment, CONNECTIONS, &[])?;
    subject.drive(Until::Requests(WATCHED / 10), WATCHED / 10, |_| Ok(()))?;
    let (out, log) = (environment.folder().join("strace"), environment.folder().join("strace.log"));
    let watch = |server: &Server| {
        let mut strace = Command::new("strace");
        strace.args(["-c", "-f", "-o"]).arg(&out).arg("-p").arg(server.id().to_string());
        let strace = Process::start(&mut strace, &log, "strace");
        attached(server.id())?;
        Ok(strace)
    };
    let (mut strace, answered) = subject.drive(Until::Requests(WATCHED), WATCHED, watch)?;
    strace.terminate(); // it lets go of the server, and writes its table
    let mut by_name: Vec<(String, f64)> = fs::read_to_string(&out)?
        .lines()
        .filter_map(line)
        .map(|(name, n)| (name, n as f64 / answered as f64))
        .collect();
    by_name.sort_by(|a, b| b.1.total_cmp(&a.1));
    Ok(by_name)
}

/// Waits until every thread is being watched.
fn attached(id: u32) -> Result<()> {
    let start = Instant::now();
    loop {
        let threads = fs::read_dir(format!("/proc/{id}/task"))?;
        let status = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("status")).ok());
        if status.into_iter().all(|status| !status.contains("TracerPid:\t0\n")) {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(10) {
            return Err("strace can't attach to the server; leave it out with --no-tools".into());
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// `% time, seconds, usecs/call, calls, [errors,] syscall`; not the head, the rules and the total.
fn line(line: &str) -> Option<(String, u64)> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let name = *fields.last()?;
    let calls = fields.get(3)?.parse().ok()?;
    (name != "total").then(|| (name.to_owned(), calls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_strace_is_read_without_its_total() {
        let table = "% time     seconds  usecs/call     calls    errors syscall\n\
            ------ ----------- ----------- --------- --------- ----------------\n\
             60.00    0.000060           1        60           writev\n\
             40.00    0.000040           1        40        12 recvfrom\n\
            100.00    0.000100           1       100        12 total\n";
        let read: Vec<_> = table.lines().filter_map(line).collect();
        assert_eq!(read, [("writev".to_owned(), 60), ("recvfrom".to_owned(), 40)]);
    }
}
