//! The program behind `make bench`: what a request costs in the gateway, against bare hyper, side by side in one run.

mod abi;
mod bare;
mod cores;
mod environment;
mod flood;
mod load;
mod machine;
mod nginx;
mod overload;
mod post;
mod report;
mod rounds;
mod scale;
mod server;
mod subject;
mod tools;

use clap::{Parser, Subcommand};
use std::{error::Error, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

/// What any step gives; the text is for whoever runs the benches.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures the gateway against bare hyper. Run it from the root of the repository, after a release build.
#[derive(Parser)]
struct Arguments {
    /// How many times each subject is measured, in turn.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each subject is measured in each round, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many kept-alive connections the load comes from.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Measure only the subjects whose name contains this, besides bare hyper.
    #[arg(long)]
    only: Option<String>,
    /// Leave out what needs strace and valgrind: system calls, instructions, allocations.
    #[arg(long)]
    no_tools: bool,
    /// Write the results to tests/benches/runs.
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    part: Option<Part>,
}

/// What else the program does.
#[derive(Subcommand)]
enum Part {
    /// Floods the gateway with more than it can bear, and tells what it serves, sheds and gives up.
    Overload {
        /// From how many clients.
        #[arg(long, default_value_t = 2000)]
        clients: usize,
        /// How many times the peak's rate.
        #[arg(long, default_value_t = 2.0)]
        times: f64,
    },
    /// Tells what many tenants cost: starting, changing one, the console, a request.
    Scale {
        /// How many.
        #[arg(long, default_value_t = 10_000)]
        tenants: usize,
    },
    /// Serves one answer to everything with bare hyper.
    #[command(hide = true)]
    Bare {
        /// Where.
        #[arg(long)]
        listen: SocketAddr,
        /// A file with the whole answer.
        #[arg(long)]
        answer: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.part {
        None => bench(&arguments),
        Some(Part::Overload { clients, times }) => {
            let Arguments { rounds, seconds, keep, .. } = arguments;
            overload::measure(arguments.only.as_deref(), rounds.max(1), seconds, (*clients, *times), keep)
        }
        Some(Part::Scale { tenants }) => {
            let Arguments { rounds, seconds, no_tools, keep, .. } = arguments;
            let each = Duration::from_secs_f64(seconds);
            scale::measure(*tenants, &scale::Plan { rounds: rounds.max(1), each, tools: !no_tools }, keep)
        }
        Some(Part::Bare { listen, answer }) => bare::serve(*listen, answer),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("menlou-benches: {e}");
            ExitCode::FAILURE
        }
    }
}

fn bench(arguments: &Arguments) -> Result<()> {
    let environment = environment::Environment::new()?;
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| name.contains(only));
    let wanted = |case: &subject::Case| case.is_there() && (case.is_base() || wanted(case.name()));
    let cases: Vec<_> = subject::Case::ALL.into_iter().filter(wanted).collect();

    let plan = rounds::Plan {
        rounds: arguments.rounds.max(1),
        each: Duration::from_secs_f64(arguments.seconds),
        connections: arguments.connections.max(1),
    };
    let mut rows = rounds::measure(&environment, &cases, &plan)?;
    if !arguments.no_tools {
        tools::count(&environment, &mut rows)?;
    }
    let abi = abi::measure(&environment, arguments.no_tools)?;

    let report = report::Report::new(environment.cores.count, plan, rows, abi)?;
    println!("{report}");
    if arguments.keep {
        for path in report.keep()? {
            println!("kept: {}", path.display());
        }
    }
    Ok(())
}
