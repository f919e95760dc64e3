//! `menlou-benches overload`: what the gateway does at a multiple of the rate that it sustains.

use crate::{
    Result,
    environment::Environment,
    flood::{CLIENT_TIMEOUT, Flood, Outcome},
    load::Until,
    machine,
    rounds::median,
    subject::{Case, Subject},
    wire,
};
use std::{fmt::Write, fs, path::Path, thread, time::Duration};

/// Duration of a measurement of the peak throughput, and its number of connections.
const PEAK: (Duration, usize) = (Duration::from_secs(2), 64);
/// The rates that are tried: the first and the step, as fractions of the peak, and the duration of each.
const RATES: (f64, f64, Duration) = (0.4, 0.05, Duration::from_secs(1));
/// A rate is sustained if this fraction of the requests succeeds in time.
const SUSTAINED: f64 = 0.99;
/// Maximum number of login codes used per second.
const CODES_PER_SECOND: f64 = 40_000.0;

/// The results of one round. `peak` is the mean of the peaks before and after the flood, since a grown store is slower.
struct Round {
    peak: f64,
    sustained: f64,
    seconds: f64,
    outcome: Outcome,
    /// CPU time of the server in microseconds: per request served at the sustained rate, per request served in the flood, and
    /// per request shed, which is the CPU time of the flood beyond that of its served requests at the first cost.
    cpu: (f64, f64, f64),
}

/// Measures and prints a table. Writes it to a file if `keep` is set.
pub fn measure(
    only: Option<&str>,
    rounds: usize,
    seconds: f64,
    (clients, times): (usize, f64),
    keep: bool,
) -> Result<()> {
    let environment = Environment::new()?;
    let (date, machine) = (machine::date()?, machine::kind(environment.cores.count));
    let mut text = format!(
        "# Overload: {date}, {machine}, menlou {}\n\n{clients} clients, each with a connection, send {times} times the \
         sustained rate: the highest rate, in steps of {:.0} % of the peak from {} connections, at which {:.0} % of the requests of \
         the same clients are served in time. A client without a response after {} ms disconnects and connects again. Medians of \
         {rounds} rounds of {seconds} s.\n\n\
         | | peak /s | sustained /s | sent /s | served in time, of sustained · of peak | shed /s | timed out /s | served p50 · p99 | shed p50 · p99 | CPU µs per served: sustained · flood | per shed | memory after |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        env!("CARGO_PKG_VERSION"),
        RATES.1 * 100.0,
        PEAK.1,
        SUSTAINED * 100.0,
        CLIENT_TIMEOUT.as_millis(),
    );
    let cases = [Case::Bare, Case::Empty, Case::User, Case::Openid];
    for case in cases.into_iter().filter(|case| only.is_none_or(|only| case.name().contains(only))) {
        eprintln!("overload: {}", case.name());
        let mut subject = case.start(&environment, PEAK.1, &[])?;
        let mut results = Vec::new();
        for _ in 0..rounds {
            // Until the server has finished what the clients of the previous measurement left.
            thread::sleep(CLIENT_TIMEOUT);
            let before = peak(&mut subject)?;
            let mut send = |rate, time| flood(case, &subject, &environment, clients, rate, time);
            let (sustained, cost) = sustained(before, &mut send)?;
            let (outcome, cpu) = send(sustained * times, Duration::from_secs_f64(seconds))?;
            thread::sleep(CLIENT_TIMEOUT);
            let peak = f64::midpoint(before, peak(&mut subject)?);
            let served = outcome.served.len() as f64;
            let per_shed = (cpu - served * cost).max(0.0) / outcome.shed.len() as f64;
            results.push(Round { peak, sustained, seconds, cpu: (cost, cpu / served, per_shed), outcome });
        }
        row(&mut text, case, &results, subject.server.resident()?)?;
        subject.end();
    }
    println!("{text}");
    if keep {
        let path = Path::new("tests/benches/runs").join(format!("{date}-{machine}-overload.md"));
        fs::write(&path, &text)?;
        println!("kept: {}", path.display());
    }
    Ok(())
}

/// Requests per second of a few connections, each of which sends the next request as soon as it has the response.
fn peak(subject: &mut Subject<'_>) -> Result<f64> {
    let max = (PEAK.0.as_secs_f64() * CODES_PER_SECOND) as u64;
    let ((), answered) = subject.drive(Until::Elapsed(PEAK.0), max, |_| Ok(()))?;
    Ok(answered as f64 / PEAK.0.as_secs_f64())
}

/// The highest sustained rate, and the CPU time per request at that rate, in microseconds.
fn sustained(peak: f64, mut send: impl FnMut(f64, Duration) -> Result<(Outcome, f64)>) -> Result<(f64, f64)> {
    let (mut found, mut failed) = (None, 0);
    for step in 0.. {
        let rate = peak * (RATES.0 + RATES.1 * f64::from(step));
        let (outcome, cpu) = send(rate, RATES.2)?;
        let served = outcome.served.len() as f64;
        // The machine may have caused one failure.
        match served + outcome.waiting as f64 >= SUSTAINED * outcome.due as f64 {
            true => (found, failed) = (Some((served / RATES.2.as_secs_f64(), cpu / served)), 0),
            false => failed += 1,
        }
        if failed == 2 {
            break;
        }
    }
    found.ok_or_else(|| format!("not even {:.0} % of the peak is sustained", RATES.0 * 100.0).into())
}

/// Sends requests at this rate from this number of clients. Returns the outcome, and the CPU time of the server in
/// microseconds.
fn flood(
    case: Case,
    subject: &Subject<'_>,
    environment: &Environment,
    clients: usize,
    rate: f64,
    time: Duration,
) -> Result<(Outcome, f64)> {
    // Until the server has finished what the clients of the previous measurement left.
    thread::sleep(CLIENT_TIMEOUT);
    let mut requests = requests(case, subject, environment, (rate * time.as_secs_f64() * 1.05) as usize);
    let mut flood = Flood::open(subject.server.address, clients)?;
    let before = subject.server.cpu()?;
    let outcome = flood.run(rate, time, |request| requests(request))?;
    Ok((outcome, (subject.server.cpu()? - before).as_secs_f64() * 1e6))
}

/// The requests of the clients. Login codes are created before the flood begins.
fn requests(case: Case, subject: &Subject<'_>, environment: &Environment, max: usize) -> impl FnMut(&mut Vec<u8>) {
    let codes = match case {
        Case::Openid => max,
        _ => 0,
    };
    let code = |n| {
        wire::request(
            "openid",
            None,
            Some(&format!("code={}", environment.simulator.code(&format!("p-{}", n % 50_000)))),
        )
    };
    let mut ready: Vec<Vec<u8>> = (0..codes).map(code).collect();
    let repeated = subject.repeated().to_vec();
    let mut turns = (0..repeated.len().max(1)).cycle();
    move |request| match ready.pop() {
        Some(next) => *request = next,
        None => request.extend_from_slice(turns.next().and_then(|turn| repeated.get(turn)).map_or(&[], |next| next)),
    }
}

fn row(text: &mut String, case: Case, results: &[Round], resident: usize) -> Result<()> {
    let of = |number: &dyn Fn(&Round) -> f64| median(&results.iter().map(number).collect::<Vec<_>>());
    let quantile = |times: &dyn Fn(&Outcome) -> &[u32], fraction: f64| {
        of(&|round: &Round| {
            let mut sorted = times(&round.outcome).to_vec();
            sorted.sort_unstable();
            let index = (sorted.len() as f64 * fraction) as usize;
            sorted.get(index).map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
        })
    };
    let quantiles = |times: &dyn Fn(&Outcome) -> &[u32]| match quantile(times, 0.5) {
        none if none.is_nan() => "–".to_owned(),
        p50 => format!("{p50:.2} · {:.2} ms", quantile(times, 0.99)),
    };
    let per_shed = match of(&|r| r.cpu.2) {
        cost if cost.is_finite() => format!("{cost:.0}"),
        _ => "–".to_owned(),
    };
    writeln!(
        text,
        "| {} | {:.0} | {:.0} | {:.0} | {:.0} · {:.0} % | {:.0} | {:.0} | {} | {} | {:.1} · {:.1} | {} | {} MiB |",
        case.name(),
        of(&|r| r.peak),
        of(&|r| r.sustained),
        of(&|r| r.outcome.due as f64 / r.seconds),
        of(&|r| 100.0 * r.outcome.served.len() as f64 / r.seconds / r.sustained),
        of(&|r| 100.0 * r.outcome.served.len() as f64 / r.seconds / r.peak),
        of(&|r| r.outcome.shed.len() as f64 / r.seconds),
        of(&|r| r.outcome.timed_out as f64 / r.seconds),
        quantiles(&|o| &o.served),
        quantiles(&|o| &o.shed),
        of(&|r| r.cpu.0),
        of(&|r| r.cpu.1),
        per_shed,
        resident >> 20,
    )?;
    Ok(())
}
