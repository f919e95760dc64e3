//! Rounds: every subject in turn, several times, so that what else the machine does hits all of them alike.

use crate::{
    Result,
    environment::Environment,
    load::Until,
    server::Server,
    subject::{Case, Subject},
    tools::Counts,
};
use std::time::{Duration, Instant};

/// The first part of a round, which is not counted.
const WARM_UP: Duration = Duration::from_millis(300);
/// No server here answers more requests in a second.
const MOST_PER_SECOND: f64 = 25_000.0;

/// How to measure.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Plan {
    /// How many rounds.
    pub rounds: usize,
    /// How long each subject is asked in each.
    pub each: Duration,
    /// From how many connections.
    pub connections: usize,
}

/// What came out for one case: an entry for each round.
#[derive(Debug, serde::Serialize)]
pub struct Row {
    /// What was measured.
    pub case: Case,
    /// Processor time of the server for one request, in microseconds.
    pub cpu_us: Vec<f64>,
    /// The same against bare hyper in the same round.
    pub ratio: Vec<f64>,
    /// Answers per second of wall time: it measures the load and the machine as well.
    pub per_second: Vec<f64>,
    /// What the tools have counted.
    pub counts: Counts,
}

/// Starts all servers and measures them in turn.
pub fn measure(environment: &Environment, cases: &[Case], plan: &Plan) -> Result<Vec<Row>> {
    let mut subjects = Vec::new();
    for case in cases {
        eprintln!("starting: {}", case.name());
        subjects.push(case.start(environment, plan.connections, &[])?);
    }
    let new = |case: &Case| Row {
        case: *case,
        cpu_us: Vec::new(),
        ratio: Vec::new(),
        per_second: Vec::new(),
        counts: Counts::default(),
    };
    let mut rows: Vec<Row> = cases.iter().map(new).collect();
    for round in 1..=plan.rounds {
        eprintln!("round {round} of {}", plan.rounds);
        let mut base = f64::NAN;
        for (subject, row) in subjects.iter_mut().zip(&mut rows) {
            let (cpu_us, per_second) = once(subject, plan.each)?;
            if row.case.is_base() {
                base = cpu_us;
            }
            row.cpu_us.push(cpu_us);
            row.ratio.push(cpu_us / base);
            row.per_second.push(per_second);
        }
    }
    Ok(rows)
}

/// The middle of some numbers.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

fn once(subject: &mut Subject<'_>, each: Duration) -> Result<(f64, f64)> {
    let most = |time: Duration| (time.as_secs_f64() * MOST_PER_SECOND) as u64;
    subject.drive(Until::Elapsed(WARM_UP), most(WARM_UP), |_| Ok(()))?;
    let read = |server: &Server| Ok((server.cpu()?, Instant::now()));
    let ((cpu, started), answered) = subject.drive(Until::Elapsed(each), most(each), read)?;
    let (took, spent) = (started.elapsed(), subject.server.cpu()? - cpu);
    Ok((spent.as_secs_f64() * 1e6 / answered as f64, answered as f64 / took.as_secs_f64()))
}
