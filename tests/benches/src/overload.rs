//! `menlou-benches overload`: what the gateway does at twice the load that it can bear.

use crate::{
    Result,
    flood::{Flood, Outcome, PATIENCE},
    house::House,
    load::Until,
    machine, post,
    rounds::median,
    subject::{Case, Subject},
};
use std::{fmt::Write, fs, path::Path, thread, time::Duration};

/// How long the peak is measured, with so many connections.
const PEAK: (Duration, usize) = (Duration::from_secs(2), 64);
/// How many codes a second of flood may need.
const CODES_PER_SECOND: f64 = 40_000.0;

/// One round: the peak, and then the flood, on the same server.
struct Round {
    peak: f64,
    seconds: f64,
    outcome: Outcome,
    /// The server's processor time for each call served, in microseconds: at the peak, and in the flood with all that
    /// is shed and given up meanwhile.
    cpu: (f64, f64),
}

/// Measures, prints a table, and keeps it where asked.
pub fn measure(
    only: Option<&str>,
    rounds: usize,
    seconds: f64,
    (clients, times): (usize, f64),
    keep: bool,
) -> Result<()> {
    let house = House::new()?;
    let (date, machine) = (machine::date()?, machine::kind(house.cores.count));
    let mut text = format!(
        "# Overload: {date}, {machine}, menlou {}\n\n{clients} clients on connections of their own ask {times} times as often as \
         the gateway answers at its peak (closed loop, {} connections, measured just before on the same server). Who has \
         no answer after {} ms hangs up and comes again. Medians of {rounds} rounds of {seconds} s.\n\n\
         | | peak /s | asked /s | served in time, of the peak | shed /s | given up /s | served p50 · p99 | shed p50 · p99 | CPU µs for each served: peak · flood | memory after |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
        env!("CARGO_PKG_VERSION"),
        PEAK.1,
        PATIENCE.as_millis(),
    );
    let cases = [Case::Empty, Case::User, Case::Openid];
    for case in cases.into_iter().filter(|case| only.is_none_or(|only| case.name().contains(only))) {
        eprintln!("overload: {}", case.name());
        let mut subject = case.start(&house, PEAK.1, &[])?;
        let mut done = Vec::new();
        for _ in 0..rounds {
            // What is left of the flood before ends first.
            thread::sleep(PATIENCE);
            let most = (PEAK.0.as_secs_f64() * CODES_PER_SECOND) as u64;
            let (before, answered) = subject.drive(Until::Elapsed(PEAK.0), most, |server| server.cpu())?;
            let at_peak = micros(subject.server.cpu()? - before, answered);
            let peak = answered as f64 / PEAK.0.as_secs_f64();
            let (rate, time) = (peak * times, Duration::from_secs_f64(seconds));
            let mut requests = requests(case, &subject, &house, (rate * seconds * 1.05) as usize);
            let mut flood = Flood::open(subject.server.address, clients)?;
            let before = subject.server.cpu()?;
            let outcome = flood.run(rate, time, |request| requests(request))?;
            let in_flood = micros(subject.server.cpu()? - before, outcome.served.len() as u64);
            done.push(Round { peak, seconds, outcome, cpu: (at_peak, in_flood) });
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

fn micros(cpu: Duration, calls: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / calls as f64
}

/// What the clients ask: the codes are made before the flood begins.
fn requests(case: Case, subject: &Subject<'_>, house: &House, most: usize) -> impl FnMut(&mut Vec<u8>) {
    let codes = match case {
        Case::Openid => most,
        _ => 0,
    };
    let code = |n| {
        post::request("openid", None, Some(&format!("code={}", house.simulator.code(&format!("p-{}", n % 50_000)))))
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
    writeln!(
        text,
        "| {} | {:.0} | {:.0} | {:.0} % | {:.0} | {:.0} | {} | {} | {:.0} · {:.0} | {} MiB |",
        case.name(),
        of(&|r| r.peak),
        of(&|r| r.outcome.due as f64 / r.seconds),
        of(&|r| 100.0 * r.outcome.served.len() as f64 / r.seconds / r.peak),
        of(&|r| r.outcome.shed.len() as f64 / r.seconds),
        of(&|r| r.outcome.given_up as f64 / r.seconds),
        quantiles(&|o| &o.served),
        quantiles(&|o| &o.shed),
        of(&|r| r.cpu.0),
        of(&|r| r.cpu.1),
        resident >> 20,
    )?;
    Ok(())
}
