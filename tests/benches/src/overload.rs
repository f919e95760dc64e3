//! `menlou-benches overload`: what the gateway does at twice the load that it can bear.

use crate::{
    Result,
    environment::Environment,
    flood::{Flood, Outcome, PATIENCE},
    load::Until,
    machine, post,
    rounds::median,
    subject::{Case, Subject},
};
use std::{fmt::Write, fs, path::Path, thread, time::Duration};

/// How long the peak from a few connections is measured, and how many those are.
const PEAK: (Duration, usize) = (Duration::from_secs(2), 64);
/// The rates that are tried, as parts of that peak: from the first one on in such steps, each for so long.
const RATES: (f64, f64, Duration) = (0.4, 0.05, Duration::from_secs(1));
/// What the server bears is the rate at which this part is served in time.
const BORNE: f64 = 0.99;
/// How many codes a second of flood may need.
const CODES_PER_SECOND: f64 = 40_000.0;

/// One round: what the server bears from all clients, the flood, and the peak before and after, of which this is the mean: a
/// store that has grown meanwhile takes longer.
struct Round {
    peak: f64,
    borne: f64,
    seconds: f64,
    outcome: Outcome,
    /// The server's processor time, in microseconds: for each call served of what it bears and of the flood, and for each
    /// that was shed, which is what it took beyond the first.
    cpu: (f64, f64, f64),
}

/// Measures, prints a table, and keeps it where asked.
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
        "# Overload: {date}, {machine}, menlou {}\n\n{clients} clients on connections of their own ask {times} times as often as \
         the server bears: the highest rate, in steps of {:.0} % of the peak from {} connections, at which {:.0} % of what the same \
         clients ask is served in time. Who has no answer after {} ms hangs up and comes again. Medians of {rounds} rounds of \
         {seconds} s.\n\n\
         | | peak /s | borne /s | asked /s | served in time, of what is borne · of the peak | shed /s | given up /s | served p50 · p99 | shed p50 · p99 | CPU µs for each served: borne · flood | for each shed | memory after |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        env!("CARGO_PKG_VERSION"),
        RATES.1 * 100.0,
        PEAK.1,
        BORNE * 100.0,
        PATIENCE.as_millis(),
    );
    let cases = [Case::Bare, Case::Empty, Case::User, Case::Openid];
    for case in cases.into_iter().filter(|case| only.is_none_or(|only| case.name().contains(only))) {
        eprintln!("overload: {}", case.name());
        let mut subject = case.start(&environment, PEAK.1, &[])?;
        let mut done = Vec::new();
        for _ in 0..rounds {
            thread::sleep(PATIENCE);
            let before = peak(&mut subject)?;
            let mut ask = |rate, time| asked(case, &subject, &environment, clients, rate, time);
            let (borne, at_rest) = borne(before, &mut ask)?;
            let (outcome, cpu) = ask(borne * times, Duration::from_secs_f64(seconds))?;
            thread::sleep(PATIENCE);
            let peak = f64::midpoint(before, peak(&mut subject)?);
            let served = outcome.served.len() as f64;
            let each_shed = (cpu - served * at_rest).max(0.0) / outcome.shed.len() as f64;
            done.push(Round { peak, borne, seconds, cpu: (at_rest, cpu / served, each_shed), outcome });
        }
        row(&mut text, case, &done, subject.server.resident()?)?;
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

/// The calls of a second that are answered to a few connections, each of which asks again when it has its answer.
fn peak(subject: &mut Subject<'_>) -> Result<f64> {
    let most = (PEAK.0.as_secs_f64() * CODES_PER_SECOND) as u64;
    let ((), answered) = subject.drive(Until::Elapsed(PEAK.0), most, |_| Ok(()))?;
    Ok(answered as f64 / PEAK.0.as_secs_f64())
}

/// The highest rate that the server bears, and its processor time for each call then.
fn borne(peak: f64, mut ask: impl FnMut(f64, Duration) -> Result<(Outcome, f64)>) -> Result<(f64, f64)> {
    let (mut found, mut failed) = (None, 0);
    for step in 0.. {
        let rate = peak * (RATES.0 + RATES.1 * f64::from(step));
        let (outcome, cpu) = ask(rate, RATES.2)?;
        let served = outcome.served.len() as f64;
        // Once may be the machine's fault.
        match served + outcome.waiting as f64 >= BORNE * outcome.due as f64 {
            true => (found, failed) = (Some((served / RATES.2.as_secs_f64(), cpu / served)), 0),
            false => failed += 1,
        }
        if failed == 2 {
            break;
        }
    }
    found.ok_or_else(|| format!("not even {:.0} % of the peak is borne", RATES.0 * 100.0).into())
}

/// What comes of this rate from so many clients, and the server's processor time, in microseconds.
fn asked(
    case: Case,
    subject: &Subject<'_>,
    environment: &Environment,
    clients: usize,
    rate: f64,
    time: Duration,
) -> Result<(Outcome, f64)> {
    // What is left of the time before ends first.
    thread::sleep(PATIENCE);
    let mut requests = requests(case, subject, environment, (rate * time.as_secs_f64() * 1.05) as usize);
    let mut flood = Flood::open(subject.server.address, clients)?;
    let before = subject.server.cpu()?;
    let outcome = flood.run(rate, time, |request| requests(request))?;
    Ok((outcome, (subject.server.cpu()? - before).as_secs_f64() * 1e6))
}

/// What the clients ask: the codes are made before the flood begins.
fn requests(case: Case, subject: &Subject<'_>, environment: &Environment, most: usize) -> impl FnMut(&mut Vec<u8>) {
    let codes = match case {
        Case::Openid => most,
        _ => 0,
    };
    let code = |n| {
        post::request(
            "openid",
            None,
            Some(&format!("code={}", environment.simulator.code(&format!("p-{}", n % 50_000)))),
        )
    };
    let mut ready: Vec<Vec<u8>> = (0..codes).map(code).collect();
    let same = subject.same().to_vec();
    let mut turns = (0..same.len().max(1)).cycle();
    move |request| match ready.pop() {
        Some(next) => *request = next,
        None => request.extend_from_slice(turns.next().and_then(|turn| same.get(turn)).map_or(&[], |same| same)),
    }
}

fn row(text: &mut String, case: Case, done: &[Round], resident: usize) -> Result<()> {
    let of = |number: &dyn Fn(&Round) -> f64| median(&done.iter().map(number).collect::<Vec<_>>());
    let at = |times: &dyn Fn(&Outcome) -> &[u32], part: f64| {
        of(&|round: &Round| {
            let mut sorted = times(&round.outcome).to_vec();
            sorted.sort_unstable();
            let index = (sorted.len() as f64 * part) as usize;
            sorted.get(index).map_or(f64::NAN, |us| f64::from(*us) / 1000.0)
        })
    };
    let quantiles = |times: &dyn Fn(&Outcome) -> &[u32]| match at(times, 0.5) {
        none if none.is_nan() => "–".to_owned(),
        half => format!("{half:.2} · {:.2} ms", at(times, 0.99)),
    };
    let each_shed = match of(&|r| r.cpu.2) {
        some if some.is_finite() => format!("{some:.0}"),
        _ => "–".to_owned(),
    };
    writeln!(
        text,
        "| {} | {:.0} | {:.0} | {:.0} | {:.0} · {:.0} % | {:.0} | {:.0} | {} | {} | {:.1} · {:.1} | {} | {} MiB |",
        case.name(),
        of(&|r| r.peak),
        of(&|r| r.borne),
        of(&|r| r.outcome.due as f64 / r.seconds),
        of(&|r| 100.0 * r.outcome.served.len() as f64 / r.seconds / r.borne),
        of(&|r| 100.0 * r.outcome.served.len() as f64 / r.seconds / r.peak),
        of(&|r| r.outcome.shed.len() as f64 / r.seconds),
        of(&|r| r.outcome.given_up as f64 / r.seconds),
        quantiles(&|o| &o.served),
        quantiles(&|o| &o.shed),
        of(&|r| r.cpu.0),
        of(&|r| r.cpu.1),
        each_shed,
        resident >> 20,
    )?;
    Ok(())
}
