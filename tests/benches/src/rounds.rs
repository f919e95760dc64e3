//! Interleaved rounds: every subject is measured once per round, so that other work on the machine affects all alike.

use crate::{
    Result,
    environment::Environment,
    load::Until,
    server::Server,
    subject::{Case, Subject},
    tools::Counts,
};
use std::time::{Duration, Instant};

/// Duration of the load before each measurement.
const WARM_UP: Duration = Duration::from_millis(300);
/// Maximum number of login codes used per second.
const CODES_PER_SECOND: f64 = 25_000.0;

/// The parameters of a run.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Plan {
    /// Number of rounds.
    pub rounds: usize,
    /// Duration of one measurement.
    pub each: Duration,
    /// Number of connections.
    pub connections: usize,
}

/// The results of one case, with an entry per round.
#[derive(Debug, serde::Serialize)]
pub struct Row {
    /// The case.
    pub case: Case,
    /// CPU time of the server per request, in microseconds.
    pub cpu_us: Vec<f64>,
    /// `cpu_us` divided by that of bare hyper in the same round.
    pub ratio: Vec<f64>,
    /// Responses per second of wall time, which depend on the load and the machine as well.
    pub per_second: Vec<f64>,
    /// Counts from strace and valgrind.
    pub counts: Counts,
}

/// Starts all servers and measures them in interleaved rounds.
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
        let mut baseline = f64::NAN;
        for (subject, row) in subjects.iter_mut().zip(&mut rows) {
            let (cpu_us, per_second) = measure_once(subject, plan.each)?;
            if row.case.is_baseline() {
                baseline = cpu_us;
            }
            row.cpu_us.push(cpu_us);
            row.ratio.push(cpu_us / baseline);
            row.per_second.push(per_second);
        }
    }
    Ok(rows)
}

/// The median; NaN of no numbers.
pub fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => sorted[n / 2],
        n => (sorted[n / 2 - 1] + sorted[n / 2]) / 2.0,
    }
}

fn measure_once(subject: &mut Subject<'_>, each: Duration) -> Result<(f64, f64)> {
    let max = |time: Duration| (time.as_secs_f64() * CODES_PER_SECOND) as u64;
    subject.drive(Until::Elapsed(WARM_UP), max(WARM_UP), |_| Ok(()))?;
    let cpu_and_time = |server: &Server| Ok((server.cpu()?, Instant::now()));
    let ((cpu, started), answered) = subject.drive(Until::Elapsed(each), max(each), cpu_and_time)?;
    let (elapsed, spent) = (started.elapsed(), subject.server.cpu()? - cpu);
    Ok((spent.as_secs_f64() * 1e6 / answered as f64, answered as f64 / elapsed.as_secs_f64()))
}
