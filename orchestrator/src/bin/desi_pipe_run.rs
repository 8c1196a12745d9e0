//! `desi_pipe_run`: runs the tasks of a production that are not done.

use clap::Parser;
use orchestrator::load::load;
use orchestrator::production::Place;
use orchestrator::runner::{self, Settings};
use orchestrator::slice::{self, Slice};
use orchestrator::state::Retry;
use orchestrator::{Result, ranks};
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the tasks of a production that are not done; exits with 1 unless all of them are done at the end.
///
/// A task starts as soon as its inputs are there. A failed task holds up only what needs its output. Failures of the
/// system (killed, no space) are tried again by the next run, others when an input or option changed.
#[derive(Parser)]
#[command(name = "desi_pipe_run", version)]
struct Args {
    #[command(flatten)]
    place: Place,
    /// First step [default: the first of the pipeline]
    #[arg(long, value_name = "STEP")]
    first: Option<String>,
    /// Last step [default: the last of the pipeline]
    #[arg(long, value_name = "STEP")]
    last: Option<String>,
    /// Nights [default: all of the production]
    #[arg(long, value_delimiter = ',')]
    nights: Vec<String>,
    /// Spectrographs, as 0,2,5-7 [default: all of the production]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    spectrographs: Vec<String>,
    /// Use all cores, whatever launcher started this process
    #[arg(long)]
    nompi: bool,
    /// Tasks at once [default: one per core, shared with the other ranks of a launcher on this host]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Try again every task that failed in an earlier run
    #[arg(long)]
    retry_failed: bool,
    /// File to which the lines that the run says are appended
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(Args::parse()) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("desi_pipe_run: {error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(args: Args) -> Result<u8> {
    let loaded = load(&args.place)?;
    let table = &loaded.graph.table;
    let step = |name: &Option<String>, default| name.as_ref().map_or(Ok(default), |name| table.step(name));
    let nights = slice::nights(&args.nights, &loaded.nights)?;
    let spectrographs = Some(slice::spectrographs(&args.spectrographs)?).filter(|set| !set.is_empty());
    let ranks = if args.nompi { 1 } else { ranks::on_this_host() };
    let cores = std::thread::available_parallelism().map_or(1, usize::from).div_ceil(ranks);
    let jobs = args.jobs.unwrap_or(cores).max(1);
    let settings = Settings {
        steps: (step(&args.first, 0)?, step(&args.last, table.steps.len() - 1)?),
        slice: Slice::new(&loaded.graph, nights.as_ref(), spectrographs.as_ref())?,
        only: None,
        jobs,
        cores,
        retry: if args.retry_failed { Retry::All } else { Retry::System },
        log: args.log,
    };
    Ok(runner::run(&loaded, &settings)?.exit_code())
}
