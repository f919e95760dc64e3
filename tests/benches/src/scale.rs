//! `menlou-benches scale`: what many tenants cost: starting, changing one, watching them, a request to one of them.

mod cost;
mod fleet;
mod pages;

use crate::{Result, environment::Environment, machine, rounds::median};
pub use cost::Plan;
use fleet::{Fleet, name_of};
use pages::{Opened, counter};
use std::{
    fmt::Write,
    fs,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// How often starting and each kind of change are measured.
const STARTS: usize = 3;
const CHANGES: usize = 7;
/// For how long the gateway is watched while nobody asks.
const IDLE: Duration = Duration::from_secs(10);

/// Times, the shortest first, in milliseconds.
struct Times(Vec<f64>);

/// Measures, prints the tables, and keeps them where asked.
pub fn measure(tenants: usize, plan: &Plan, keep: bool) -> Result<()> {
    let environment = Environment::new()?;
    let (date, machine) = (machine::date()?, machine::kind(environment.cores.count));
    let (one, many) = (Fleet::new(&environment, 1)?, Fleet::new(&environment, tenants.max(2))?);
    let mut text = format!(
        "# Scale: {date}, {machine}, menlou {}, {tenants} tenants\n\nA third of the secrets stand in the files, in the \
         environment, in a file of their own; one tenant in four has limits; four actions each. The gateway has one core.\n\n",
        env!("CARGO_PKG_VERSION"),
    );

    eprintln!("starting");
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

    eprintln!("changing");
    let before = counter(&many, "menlou_tenant_reloads_total")?;
    let changes = changes(&many)?;
    let built = counter(&many, "menlou_tenant_reloads_total")? - before;

    eprintln!("opening pages");
    let fresh = pages::open(&many, &name_of(many.tenants / 2))?;

    eprintln!("asking");
    let asked = cost::RequestKinds::new(&environment, &one, &many)?;
    let rows = cost::times(&asked, (&first.0, &running.0), plan)?;
    let (after, metrics) = (running.0.resident()?, pages::open(&many, &name_of(many.tenants / 2))?);

    writeln!(text, "| | |\n|---|---:|")?;
    writeln!(
        text,
        "| from the start of the process until the first call is served | {} |",
        Times::from_times(&starts)
    )?;
    writeln!(text, "| the same with one tenant | {:.0} ms |", first.1.as_secs_f64() * 1000.0)?;
    for (what, times) in ["changed", "added", "removed"].iter().zip(&changes) {
        writeln!(text, "| a tenant's file {what}, until calls are answered so | {times} |")?;
    }
    let expected = CHANGES * 2;
    writeln!(text, "| tenants built by the {expected} files changed and added | {built} |")?;
    writeln!(text, "| processor time while nobody asks, of one core | {:.2} % |", idle * 100.0)?;
    let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    writeln!(text, "| memory with one tenant | {:.0} MiB |", mib(alone))?;
    writeln!(text, "| memory once started | {:.0} MiB |", mib(resident))?;
    writeln!(text, "| memory when every tenant has been called and every page opened | {:.0} MiB |\n", mib(after))?;
    table_of_pages(&mut text, &fresh, &metrics)?;

    first.0.terminate();
    running.0.terminate();
    let counts = if plan.tools { Some(cost::counts(&environment, &asked, &one, &many)?) } else { None };
    cost::table(&mut text, &asked, &rows, counts.as_deref(), plan)?;
    println!("{text}");
    if keep {
        let path = Path::new("tests/benches/runs").join(format!("{date}-{machine}-{tenants}-scale.md"));
        fs::write(&path, &text)?;
        println!("kept: {}", path.display());
    }
    Ok(())
}

/// What part of a core the gateway takes when there is nothing to do.
fn idle(server: &crate::server::Server) -> Result<f64> {
    thread::sleep(Duration::from_secs(2));
    let (cpu, start) = (server.cpu()?, Instant::now());
    thread::sleep(IDLE);
    Ok((server.cpu()? - cpu).as_secs_f64() / start.elapsed().as_secs_f64())
}

/// Files of tenants here and there changed, added and removed.
fn changes(fleet: &Fleet) -> Result<[Times; 3]> {
    let (mut changed, mut added, mut removed) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..CHANGES {
        // The first is called by others.
        let number = 1 + (at * fleet.tenants / CHANGES) % (fleet.tenants - 1);
        let more = fleet.file(number, "\n[actions.more]\nplugin = \"empty\"\n");
        changed.push(fleet.change(number, Some(&more), "more", None)?);
        let new = fleet.tenants + at;
        added.push(fleet.change(new, Some(&fleet.file(new, "")), "empty", None)?);
        removed.push(fleet.change(new, None, "empty", Some("unknown_tenant"))?);
    }
    Ok([changed, added, removed].map(|times| Times::from_times(&times)))
}

fn table_of_pages(text: &mut String, fresh: &[Opened], called: &[Opened]) -> Result<()> {
    writeln!(text, "| page | ms | KiB | once every tenant has been called: ms | KiB |\n|---|---:|---:|---:|---:|")?;
    for (fresh, called) in fresh.iter().zip(called) {
        let kib = |opened: &Opened| opened.bytes as f64 / 1024.0;
        let (now, then) = (kib(fresh), kib(called));
        writeln!(text, "| `{}` | {:.1} | {now:.0} | {:.1} | {then:.0} |", fresh.page, fresh.ms, called.ms)?;
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
        let (least, most) = (self.0.first().copied().unwrap_or_default(), self.0.last().copied().unwrap_or_default());
        write!(f, "{:.0} ms ({least:.0}–{most:.0}, {} times)", median(&self.0), self.0.len())
    }
}
