//! `menlou-benches scale`: measures the cost of many tenants: start, changes, idle CPU, memory, admin pages, requests.

mod cost;
mod fleet;
mod pages;

use crate::{Result, environment::Environment, machine, rounds::median};
pub use cost::Plan;
use fleet::{Fleet, tenant_name};
use pages::{PageCost, counter};
use std::{
    fmt::Write,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// Number of measured starts.
const STARTS: usize = 3;
/// Number of measured changes of each kind.
const CHANGES: usize = 7;
/// Duration of the measurement of an idle gateway.
const IDLE_TIME: Duration = Duration::from_secs(10);

/// Times in milliseconds, in ascending order.
struct Times(Vec<f64>);

/// Measures and prints the tables. Writes them to a file if `keep` is set.
pub fn measure(tenants: usize, plan: &Plan, keep: bool) -> Result<()> {
    let environment = Environment::new()?;
    let (date, machine) = (machine::date()?, machine::kind(environment.cores.count));
    let (one, many) = (Fleet::new(&environment, 1)?, Fleet::new(&environment, tenants.max(2))?);
    let mut text = format!(
        "# Scale: {date}, {machine}, menlou {}, {tenants} tenants\n\nEach tenant has four actions. The \
         secrets are, a third each, in the tenant's file, in the environment and in a separate file; one tenant in four has limits. \
         The gateway has one core.\n\n",
        env!("CARGO_PKG_VERSION"),
    );

    eprintln!("measuring: start");
    let (first, mut starts) = (one.start(&[])?, Vec::new());
    let mut running = many.start(&[])?;
    for _ in 1..STARTS {
        starts.push(running.1);
        running.0.terminate();
        running = many.start(&[])?;
    }
    starts.push(running.1);
    let server = &running.0;
    let (alone, resident) = (first.0.resident()?, server.resident()?);
    let idle = idle(server)?;

    eprintln!("measuring: changes");
    let before = counter(&many, "menlou_tenant_reloads_total")?;
    let changes = changes(&many)?;
    let reloads = counter(&many, "menlou_tenant_reloads_total")? - before;

    eprintln!("measuring: admin pages");
    let fresh = pages::measure(&many, &tenant_name(many.tenants / 2))?;

    eprintln!("measuring: requests");
    let kinds = cost::RequestKinds::new(&environment, &one, &many)?;
    let rows = cost::times(&kinds, (&first.0, &running.0), plan)?;
    let (after, called) = (running.0.resident()?, pages::measure(&many, &tenant_name(many.tenants / 2))?);

    writeln!(text, "| | |\n|---|---:|")?;
    writeln!(text, "| from the start of the process to the first success | {} |", Times::from_times(&starts))?;
    writeln!(text, "| the same with one tenant | {:.0} ms |", first.1.as_secs_f64() * 1000.0)?;
    for (what, times) in ["changed", "added", "removed"].iter().zip(&changes) {
        writeln!(text, "| from a tenant's file {what} to the first response that shows it | {times} |")?;
    }
    let expected = CHANGES * 2;
    writeln!(text, "| tenants loaded for the {expected} files changed and added | {reloads} |")?;
    writeln!(text, "| CPU utilisation of an idle gateway, of one core | {:.2} % |", idle * 100.0)?;
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    writeln!(text, "| memory with one tenant | {:.0} MiB |", mib(alone))?;
    writeln!(text, "| memory after the start | {:.0} MiB |", mib(resident))?;
    writeln!(text, "| memory after requests to every tenant and every page | {:.0} MiB |\n", mib(after))?;
    page_table(&mut text, &fresh, &called)?;

    first.0.terminate();
    running.0.terminate();
    let counts = if plan.tools { Some(cost::counts(&environment, &kinds, &one, &many)?) } else { None };
    cost::table(&mut text, &kinds, &rows, counts.as_deref(), plan)?;
    println!("{text}");
    if keep {
        let path = Path::new("tests/benches/runs").join(format!("{date}-{machine}-{tenants}-scale.md"));
        fs::write(&path, &text)?;
        println!("kept: {}", path.display());
    }
    Ok(())
}

/// Fraction of a core that the gateway uses without requests.
fn idle(server: &crate::server::Server) -> Result<f64> {
    // Until the work of the start is done; then time is the subject: the CPU time of an interval without requests.
    thread::sleep(Duration::from_secs(2));
    let (cpu, start) = (server.cpu()?, Instant::now());
    thread::sleep(IDLE_TIME);
    Ok((server.cpu()? - cpu).as_secs_f64() / start.elapsed().as_secs_f64())
}

/// Changes, adds and removes files of tenants spread over the folder. Returns the times until the gateway serves each.
fn changes(fleet: &Fleet) -> Result<[Times; 3]> {
    let (mut changed, mut added, mut removed) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..CHANGES {
        // The first tenant is used by other measurements.
        let number = 1 + (at * fleet.tenants / CHANGES) % (fleet.tenants - 1);
        let with_action = fleet.file(number, "\n[actions.more]\nplugin = \"empty\"\n");
        changed.push(fleet.change(number, Some(&with_action), "more", None)?);
        let new = fleet.tenants + at;
        added.push(fleet.change(new, Some(&fleet.file(new, "")), "empty", None)?);
        removed.push(fleet.change(new, None, "empty", Some("unknown_tenant"))?);
    }
    Ok([changed, added, removed].map(|times| Times::from_times(&times)))
}

fn page_table(text: &mut String, fresh: &[PageCost], called: &[PageCost]) -> Result<()> {
    writeln!(text, "| page | ms | KiB | after requests to every tenant: ms | KiB |\n|---|---:|---:|---:|---:|")?;
    for (fresh, called) in fresh.iter().zip(called) {
        let kib = |cost: &PageCost| cost.bytes as f64 / 1024.0;
        let (fresh_kib, called_kib) = (kib(fresh), kib(called));
        writeln!(text, "| `{}` | {:.1} | {fresh_kib:.0} | {:.1} | {called_kib:.0} |", fresh.page, fresh.ms, called.ms)?;
    }
    writeln!(text)?;
    Ok(())
}

impl Times {
    fn from_times(times: &[Duration]) -> Self {
        let mut sorted: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (min, max) = (self.0.first().copied().unwrap_or_default(), self.0.last().copied().unwrap_or_default());
        write!(f, "{:.0} ms ({min:.0}–{max:.0}, {} times)", median(&self.0), self.0.len())
    }
}
