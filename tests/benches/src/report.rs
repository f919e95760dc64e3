//! The results for people, and for keeping.

use crate::{
    Result,
    abi::AbiCost,
    machine,
    rounds::{Plan, Row, median},
    subject::Case,
};
use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

/// Where runs are kept, from the root of the repository.
const RUNS: &str = "tests/benches/runs";
/// What the plugin ABI must stay under, in nanoseconds.
const BORDER: f64 = 1000.0;

/// A whole run.
#[derive(serde::Serialize)]
pub struct Report {
    date: String,
    machine: String,
    version: &'static str,
    plan: Plan,
    rows: Vec<Row>,
    abi: AbiCost,
}

impl Report {
    /// Of today, on this machine.
    pub fn new(cores: usize, plan: Plan, rows: Vec<Row>, abi: AbiCost) -> Result<Self> {
        let (date, machine) = (machine::date()?, machine::kind(cores));
        Ok(Self { date, machine, version: env!("CARGO_PKG_VERSION"), plan, rows, abi })
    }

    /// Writes the run as Markdown and as JSON; a second one of the same day replaces the first.
    pub fn keep(&self) -> Result<[PathBuf; 2]> {
        let name = format!("{}-{}", self.date, self.machine);
        let paths = ["md", "json"].map(|end| Path::new(RUNS).join(format!("{name}.{end}")));
        fs::create_dir_all(RUNS)?;
        fs::write(&paths[0], format!("{self}"))?;
        fs::write(&paths[1], serde_json::to_string_pretty(self)? + "\n")?;
        Ok(paths)
    }
}

impl Report {
    fn cpu(&self, case: Case) -> Option<f64> {
        self.rows.iter().find(|row| row.case == case).map(|row| median(&row.cpu_us))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { rounds, each, connections } = self.plan;
        writeln!(f, "# {}, {}, menlou {}\n", self.date, self.machine, self.version)?;
        writeln!(
            f,
            "{rounds} rounds of {:.1} s each, {connections} kept-alive connections, medians; in brackets the least and the most.\n",
            each.as_secs_f64()
        )?;
        let width = self.rows.iter().map(|row| row.case.name().len()).max().unwrap_or_default();
        writeln!(
            f,
            "| {:width$} | CPU against bare hyper | bar    | CPU µs | requests/s | instructions | system calls | allocations |",
            ""
        )?;
        writeln!(
            f,
            "|-{:-<width$}-|-----------------------:|-------:|-------:|-----------:|-------------:|-------------:|------------:|",
            ""
        )?;
        for row in &self.rows {
            let least = row.ratio.iter().copied().fold(f64::INFINITY, f64::min);
            let most = row.ratio.iter().copied().fold(0.0, f64::max);
            let ratio = median(&row.ratio);
            let counts = &row.counts;
            writeln!(
                f,
                "| {:width$} | {:>22} | {:>6} | {:>6.1} | {:>10.0} | {:>12} | {:>12} | {:>11} |",
                row.case.name(),
                format!("{ratio:.2} ({least:.2}–{most:.2})"),
                bar(ratio, row.case.bar(), "×"),
                median(&row.cpu_us),
                median(&row.per_second),
                number(counts.instructions, 0),
                number(counts.system_calls, 2),
                number(counts.allocations, 1),
            )?;
        }
        writeln!(f, "\nSystem calls for one request:")?;
        for row in self.rows.iter().filter(|row| !row.counts.by_name.is_empty()) {
            let calls: Vec<String> = row.counts.by_name.iter().map(|(name, n)| format!("{name} {n:.2}")).collect();
            writeln!(f, "- {}: {}", row.case.name(), calls.join(", "))?;
        }
        write!(f, "\nForwarding against nginx's proxy_pass: ")?;
        match (self.cpu(Case::Proxy), self.cpu(Case::Nginx)) {
            (Some(ours), Some(theirs)) => writeln!(f, "{:.2} (bar: 1.2)", ours / theirs)?,
            _ => writeln!(f, "not measured")?,
        }
        let b = &self.abi;
        writeln!(
            f,
            "\nThe plugin ABI adds {:.0} ns (bar: 1000 ns, {}), {} instructions and {} allocations to a linked function's call of {:.0} ns. Loading a plugin: {:.1} ms.",
            b.times.added_ns,
            if b.times.added_ns < BORDER { "met" } else { "missed" },
            number(b.added_instructions, 0),
            number(b.added_allocations, 1),
            b.times.linked_ns,
            b.times.load_ms
        )
    }
}

fn bar(value: f64, bar: Option<f64>, unit: &str) -> String {
    match bar {
        Some(bar) => format!("{bar:.1}{unit} {}", if value <= bar { "✓" } else { "✗" }),
        None => "–".into(),
    }
}

fn number(value: Option<f64>, places: usize) -> String {
    value.map_or_else(|| "not measured".into(), |v| format!("{v:.places$}"))
}
