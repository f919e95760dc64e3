//! The program behind `make bench`: measures the cost of a request in the gateway against bare hyper in the same run.

mod abi;
mod bare;
mod cores;
mod environment;
mod flood;
mod load;
mod machine;
mod nginx;
mod overload;
mod report;
mod rounds;
mod scale;
mod server;
mod subject;
mod tools;
mod wire;

use clap::{Parser, Subcommand};
use std::{error::Error, net::SocketAddr, path::PathBuf, process::ExitCode, time::Duration};

/// The result of a step; the text of the error is printed.
pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// Measures the gateway against bare hyper. Run it from the root of the repository, after a release build.
#[derive(Parser)]
struct Arguments {
    /// Number of rounds; each round measures every subject once.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Duration of one measurement, in seconds.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Number of keep-alive connections of the load.
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Measure only bare hyper and the subjects whose name contains this text.
    #[arg(long)]
    only: Option<String>,
    /// Skip what needs strace and valgrind: system calls, instructions, allocations.
    #[arg(long)]
    no_tools: bool,
    /// Write the results to tests/benches/runs.
    #[arg(long)]
    keep: bool,
    #[command(subcommand)]
    command: Option<BenchCommand>,
}

/// The other commands.
#[derive(Subcommand)]
enum BenchCommand {
    /// Measure what is served, shed and timed out at a multiple of the rate that the gateway sustains.
    Overload {
        /// Number of clients.
        #[arg(long, default_value_t = 2000)]
        clients: usize,
        /// Multiple of the sustained rate.
        #[arg(long, default_value_t = 2.0)]
        times: f64,
    },
    /// Measure the cost of many tenants: start, changes, admin pages, memory, requests.
    Scale {
        /// Number of tenants.
        #[arg(long, default_value_t = 10_000)]
        tenants: usize,
    },
    /// Serve the same response to every request with bare hyper.
    #[command(hide = true)]
    Bare {
        /// Address of the listener.
        #[arg(long)]
        listen: SocketAddr,
        /// File with the complete response.
        #[arg(long)]
        response: PathBuf,
    },
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.command {
        None => bench(&arguments),
        Some(BenchCommand::Overload { clients, times }) => {
            let Arguments { rounds, seconds, keep, .. } = arguments;
            overload::measure(arguments.only.as_deref(), rounds.max(1), seconds, (*clients, *times), keep)
        }
        Some(BenchCommand::Scale { tenants }) => {
            let Arguments { rounds, seconds, no_tools, keep, .. } = arguments;
            let each = Duration::from_secs_f64(seconds);
            scale::measure(*tenants, &scale::Plan { rounds: rounds.max(1), each, tools: !no_tools }, keep)
        }
        Some(BenchCommand::Bare { listen, response }) => bare::serve(*listen, response),
    };
    match result {
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
    let wanted = |case: &subject::Case| case.is_available() && (case.is_baseline() || wanted(case.name()));
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
