//! What a request costs with one tenant and with many: processor time, instructions.

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

/// Connections that ask, one request under way on each.
const CONNECTIONS: usize = 64;
/// How many requests valgrind counts, when everybody was asked once.
const SEEN: u64 = 10_000;

/// How to measure.
pub struct Plan {
    /// How many rounds.
    pub rounds: usize,
    /// How long each kind is asked in each.
    pub each: Duration,
    /// Whether to count instructions, too.
    pub tools: bool,
}

/// What is asked of the gateway with one tenant and of that with many.
pub struct RequestKinds(Vec<Kind>);

struct Kind {
    name: &'static str,
    /// Whether of the gateway with many tenants.
    of_many: bool,
    requests: Vec<Vec<u8>>,
}

/// The processor time of each kind in each round, in microseconds.
pub type Row = Vec<f64>;

impl RequestKinds {
    /// Makes the requests; both gateways run.
    pub fn new(environment: &Environment, one: &Fleet, many: &Fleet) -> Result<Self> {
        let kind = |name, of_many, requests| Kind { name, of_many, requests };
        Ok(Self(vec![
            kind("empty action, one tenant", false, one.empty(false)),
            kind("empty action, one of the many", true, many.empty(false)),
            kind("empty action, each tenant in turn", true, many.empty(true)),
            kind("`a=user`, one tenant", false, one.user(environment, false)?),
            kind("`a=user`, one of the many", true, many.user(environment, false)?),
            kind("`a=user`, each person of another tenant", true, many.user(environment, true)?),
        ]))
    }
}

/// Measures the processor time, kind by kind in turn.
pub fn times(asked: &RequestKinds, (one, many): (&Server, &Server), plan: &Plan) -> Result<Vec<Row>> {
    let mut loads = [Load::open(one.address, CONNECTIONS)?, Load::open(many.address, CONNECTIONS)?];
    let mut rows = vec![Row::new(); asked.0.len()];
    for round in 0..=plan.rounds {
        for (kind, row) in asked.0.iter().zip(&mut rows) {
            let (server, load) = (if kind.of_many { many } else { one }, &mut loads[usize::from(kind.of_many)]);
            // The first round makes sure that everybody was there once.
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

/// Counts instructions, of each kind; no gateway runs.
pub fn counts(environment: &Environment, asked: &RequestKinds, one: &Fleet, many: &Fleet) -> Result<Vec<f64>> {
    let out = environment.folder().join("callgrind");
    let count = |kind: &Kind| {
        eprintln!("counting: {}", kind.name);
        let (server, _) = if kind.of_many { many } else { one }.start(&tools::callgrind(&out))?;
        let mut load = Load::open(server.address, CONNECTIONS)?;
        drive(&mut load, Until::Requests(kind.requests.len() as u64), &kind.requests)?;
        tools::count_from_now(&server)?;
        let answered = drive(&mut load, Until::Requests(SEEN), &kind.requests)?;
        let counted = tools::counted(&server, &out)?;
        server.terminate();
        Ok(counted as f64 / answered as f64)
    };
    asked.0.iter().map(count).collect()
}

/// Adds the table.
pub fn table(text: &mut String, asked: &RequestKinds, rows: &[Row], counts: Option<&[f64]>, plan: &Plan) -> Result<()> {
    writeln!(
        text,
        "Requests: medians of {} rounds of {:.1} s, {CONNECTIONS} connections; against the same with one tenant in the \
         same round.\n\n| | CPU µs | against one tenant | instructions |\n|---|---:|---:|---:|",
        plan.rounds,
        plan.each.as_secs_f64()
    )?;
    let mut base = 0;
    for (at, (kind, row)) in asked.0.iter().zip(rows).enumerate() {
        if !kind.of_many {
            base = at;
        }
        let ratios: Vec<f64> = row.iter().zip(&rows[base]).map(|(own, base)| own / base).collect();
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        let instructions = counts.map_or("not measured".to_owned(), |counts| {
            let (own, of_base) = (counts[at], counts[base]);
            format!("{own:.0} ({:+.1} %)", 100.0 * (own / of_base - 1.0))
        });
        writeln!(
            text,
            "| {} | {:.1} | {:.2} ({least:.2}–{most:.2}) | {instructions} |",
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
