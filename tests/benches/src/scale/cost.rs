//! The cost of a request with one tenant and with many: CPU time and instructions.

use super::fleet::Fleet;
use crate::{
    Result,
    environment::Environment,
    load::{Load, Until},
    rounds::median,
    server::Server,
    tools,
};
use std::{
    fmt::Write,
    time::{Duration, Instant},
};

/// Number of connections, with one request in flight on each.
const CONNECTIONS: usize = 64;
/// Number of requests counted by callgrind, after a request to every tenant.
const COUNTED: u64 = 10_000;

/// The parameters of a run.
pub struct Plan {
    /// Number of rounds.
    pub rounds: usize,
    /// Duration of one measurement.
    pub each: Duration,
    /// Whether to count instructions as well.
    pub tools: bool,
}

/// The kinds of requests to the gateway with one tenant and to the gateway with many.
pub struct RequestKinds(Vec<Kind>);

struct Kind {
    name: &'static str,
    /// Whether the requests go to the gateway with many tenants.
    many_tenants: bool,
    requests: Vec<Vec<u8>>,
}

/// The CPU time per request of one kind in each round, in microseconds.
pub type Row = Vec<f64>;

impl RequestKinds {
    /// Creates the requests. Both gateways must be running.
    pub fn new(environment: &Environment, one: &Fleet, many: &Fleet) -> Result<Self> {
        let kind = |name, many_tenants, requests| Kind { name, many_tenants, requests };
        Ok(Self(vec![
            kind("empty action, one tenant", false, one.empty_requests(false)),
            kind("empty action, one of the many", true, many.empty_requests(false)),
            kind("empty action, every tenant in turn", true, many.empty_requests(true)),
            kind("`a=user`, one tenant", false, one.user_requests(environment, false)?),
            kind("`a=user`, one of the many", true, many.user_requests(environment, false)?),
            kind("`a=user`, every person in another tenant", true, many.user_requests(environment, true)?),
        ]))
    }
}

/// Measures the CPU time of all kinds in interleaved rounds.
pub fn times(kinds: &RequestKinds, (one, many): (&Server, &Server), plan: &Plan) -> Result<Vec<Row>> {
    let mut loads = [Load::open(one.address, CONNECTIONS)?, Load::open(many.address, CONNECTIONS)?];
    let mut rows = vec![Row::new(); kinds.0.len()];
    for round in 0..=plan.rounds {
        for (kind, row) in kinds.0.iter().zip(&mut rows) {
            let (server, load) =
                (if kind.many_tenants { many } else { one }, &mut loads[usize::from(kind.many_tenants)]);
            // Round 0 is not counted: it sends every request at least once.
            let until = match round {
                0 => Until::Requests(2 * kind.requests.len() as u64),
                _ => Until::Elapsed(plan.each),
            };
            let (cpu, start) = (server.cpu()?, Instant::now());
            let answered = drive(load, until, &kind.requests)?;
            let spent = (server.cpu()? - cpu).as_secs_f64();
            if round > 0 {
                row.push(spent * 1e6 / answered as f64);
            }
            eprintln!("round {round}: {}: {answered} in {:?}", kind.name, start.elapsed());
        }
    }
    Ok(rows)
}

/// Counts the instructions per request of each kind. No gateway may be running.
pub fn counts(environment: &Environment, kinds: &RequestKinds, one: &Fleet, many: &Fleet) -> Result<Vec<f64>> {
    let out = environment.folder().join("callgrind");
    let count = |kind: &Kind| {
        eprintln!("counting: {}", kind.name);
        let (server, _) = if kind.many_tenants { many } else { one }.start(&tools::callgrind_command(&out))?;
        let mut load = Load::open(server.address, CONNECTIONS)?;
        drive(&mut load, Until::Requests(kind.requests.len() as u64), &kind.requests)?;
        tools::start_counting(&server)?;
        let answered = drive(&mut load, Until::Requests(COUNTED), &kind.requests)?;
        let counted = tools::counted_instructions(&server, &out)?;
        server.terminate();
        Ok(counted as f64 / answered as f64)
    };
    kinds.0.iter().map(count).collect()
}

/// Writes the table.
pub fn table(text: &mut String, kinds: &RequestKinds, rows: &[Row], counts: Option<&[f64]>, plan: &Plan) -> Result<()> {
    writeln!(
        text,
        "Requests: medians of {} rounds of {:.1} s, {CONNECTIONS} connections; ratios to the same request with one \
         tenant in the same round.\n\n| | CPU µs | against one tenant | instructions |\n|---|---:|---:|---:|",
        plan.rounds,
        plan.each.as_secs_f64()
    )?;
    let mut baseline = 0;
    for (at, (kind, row)) in kinds.0.iter().zip(rows).enumerate() {
        if !kind.many_tenants {
            baseline = at;
        }
        let ratios: Vec<f64> = row.iter().zip(&rows[baseline]).map(|(own, baseline)| own / baseline).collect();
        let min = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let max = ratios.iter().copied().fold(0.0, f64::max);
        let instructions = counts.map_or("not measured".to_owned(), |counts| {
            let (own, baseline) = (counts[at], counts[baseline]);
            format!("{own:.0} ({:+.1} %)", 100.0 * (own / baseline - 1.0))
        });
        writeln!(
            text,
            "| {} | {:.1} | {:.2} ({min:.2}–{max:.2}) | {instructions} |",
            kind.name,
            median(row),
            median(&ratios),
        )?;
    }
    Ok(())
}

fn drive(load: &mut Load, until: Until, requests: &[Vec<u8>]) -> Result<u64> {
    let mut turn = requests.iter().cycle();
    load.drive(until, |_, request| match turn.next() {
        Some(next) => {
            request.extend_from_slice(next);
            true
        }
        None => false,
    })
}
