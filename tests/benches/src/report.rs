//! The results as text and as files.

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

/// Folder of the kept runs, relative to the root of the repository.
const RUNS: &str = "tests/benches/runs";
/// Target of the plugin ABI: maximum added time per call, in nanoseconds.
const ABI_TARGET_NS: f64 = 1000.0;
/// Target of the proxy action: maximum CPU time, as a multiple of nginx's.
const PROXY_TARGET: f64 = 1.2;

/// A complete run.
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
    /// Creates the report, with the current date and the kind of the machine.
    pub fn new(cores: usize, plan: Plan, rows: Vec<Row>, abi: AbiCost) -> Result<Self> {
        let (date, machine) = (machine::date()?, machine::kind(cores));
        Ok(Self { date, machine, version: env!("CARGO_PKG_VERSION"), plan, rows, abi })
    }

    /// Writes the run as Markdown and as JSON. A later run of the same day replaces it. Returns the paths.
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
            "{rounds} rounds of {:.1} s each, {connections} kept-alive connections, medians; in brackets minimum and maximum.\n",
            each.as_secs_f64()
        )?;
        let width = self.rows.iter().map(|row| row.case.name().len()).max().unwrap_or_default();
        writeln!(
            f,
            "| {:width$} | CPU against bare hyper | target | CPU µs | requests/s | instructions | system calls | allocations |",
            ""
        )?;
        writeln!(
            f,
            "|-{:-<width$}-|-----------------------:|-------:|-------:|-----------:|-------------:|-------------:|------------:|",
            ""
        )?;
        for row in &self.rows {
            let min = row.ratio.iter().copied().fold(f64::INFINITY, f64::min);
            let max = row.ratio.iter().copied().fold(0.0, f64::max);
            let ratio = median(&row.ratio);
            let counts = &row.counts;
            writeln!(
                f,
                "| {:width$} | {:>22} | {:>6} | {:>6.1} | {:>10.0} | {:>12} | {:>12} | {:>11} |",
                row.case.name(),
                format!("{ratio:.2} ({min:.2}–{max:.2})"),
                target(ratio, row.case.target()),
                median(&row.cpu_us),
                median(&row.per_second),
                optional(counts.instructions, 0),
                optional(counts.system_calls, 2),
                optional(counts.allocations, 1),
            )?;
        }
        writeln!(f, "\nSystem calls per request:")?;
        for row in self.rows.iter().filter(|row| !row.counts.by_name.is_empty()) {
            let calls: Vec<String> = row.counts.by_name.iter().map(|(name, n)| format!("{name} {n:.2}")).collect();
            writeln!(f, "- {}: {}", row.case.name(), calls.join(", "))?;
        }
        write!(f, "\nCPU of the proxy action against nginx proxy_pass: ")?;
        match (self.cpu(Case::Proxy), self.cpu(Case::Nginx)) {
            (Some(ours), Some(theirs)) => writeln!(f, "{:.2} (target: {PROXY_TARGET})", ours / theirs)?,
            _ => writeln!(f, "not measured")?,
        }
        let abi = &self.abi;
        writeln!(
            f,
            "\nThe plugin ABI adds {:.0} ns (target: {ABI_TARGET_NS} ns, {}), {} instructions and {} allocations to the call of a linked function, which takes {:.0} ns. Loading a plugin takes {:.1} ms.",
            abi.times.added_ns,
            if abi.times.added_ns < ABI_TARGET_NS { "met" } else { "missed" },
            optional(abi.added_instructions, 0),
            optional(abi.added_allocations, 1),
            abi.times.linked_ns,
            abi.times.load_ms
        )
    }
}

fn target(ratio: f64, target: Option<f64>) -> String {
    match target {
        Some(target) => format!("{target:.1}× {}", if ratio <= target { "✓" } else { "✗" }),
        None => "–".into(),
    }
}

fn optional(value: Option<f64>, places: usize) -> String {
    value.map_or_else(|| "not measured".into(), |v| format!("{v:.places$}"))
}
