//! `desi_pipe_run`: runs the tasks of a production that are not done.

use clap::{Parser, value_parser};
use orchestrator::claim;
use orchestrator::load::{Loaded, load};
use orchestrator::production::{Place, Production};
use orchestrator::ranks::{self, Post};
use orchestrator::runner::{self, Settings};
use orchestrator::scope::Retry;
use orchestrator::seats::Offer;
use orchestrator::slice::{self, Slice};
use orchestrator::{Error, Result, dry_run, say};
use std::collections::BTreeSet;
use std::io::Write;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

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
    /// Steps, instead of a first and a last one
    #[arg(long, value_delimiter = ',', value_name = "STEP,..", conflicts_with_all = ["first", "last"])]
    steps: Vec<String>,
    /// Nights [default: all of the production]
    #[arg(long, value_delimiter = ',')]
    nights: Vec<String>,
    /// Exposures and what belongs to them, as 3,7-12 [default: all]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    expids: Vec<String>,
    /// Spectrographs, as 0,2,5-7 [default: all of the production]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    spectrographs: Vec<String>,
    /// Use all cores, whatever launcher started this process
    #[arg(long)]
    nompi: bool,
    /// Say what would run, with command lines, and run nothing
    #[arg(long)]
    dry_run: bool,
    /// Tasks at once [default: one per core, shared with the other ranks of a launcher on this host]
    #[arg(long, value_name = "N")]
    jobs: Option<NonZeroUsize>,
    /// Try again every task that failed in an earlier run
    #[arg(long)]
    retry_failed: bool,
    /// How often a task is tried again, after a pause, that the system failed (killed, no space, no memory)
    #[arg(long, default_value_t = 2, value_name = "N")]
    retries: u32,
    /// Seconds without a sign of life after which another host's task is taken over
    #[arg(long, default_value_t = claim::LEASE.as_secs(), value_name = "SECONDS", value_parser = value_parser!(u64).range(1..))]
    lease: u64,
    /// File to which the lines that the run says are appended
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// File for the exit status, for launchers that do not pass it on
    #[arg(long, value_name = "FILE")]
    exit_file: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut job = if args.nompi || args.dry_run { None } else { ranks::join() };
    let is_first = job.as_ref().is_none_or(|job| job.rank() == 0);
    let post = job.as_deref_mut().map(|job| job as &mut dyn Post);
    let (code, whole) = match post {
        Some(post) if !is_first => serve(&args, post),
        post => run(&args, post),
    }
    .unwrap_or_else(|error| {
        say::err(format_args!("desi_pipe_run: {error}"));
        (error.exit_code(), false)
    });
    if let Some(path) = args.exit_file.filter(|_| is_first)
        && let Err(error) = std::fs::write(&path, format!("{code}\n"))
    {
        say::err(format_args!("desi_pipe_run: cannot write {}: {error}", path.display()));
    }
    if let Some(job) = job {
        job.leave(whole);
    }
    ExitCode::from(code)
}

/// Runs what rank 0 hands out; exit status, and whether all ranks were there at the end.
fn serve(args: &Args, post: &mut dyn Post) -> Result<(u8, bool)> {
    let production = Production::open(&args.place)?;
    let (jobs, cores) = share(args);
    Ok((0, ranks::serve(post, &production, Offer::own(jobs, cores))?))
}

/// Runs what is to be done; exit status, and whether all ranks were there at the end.
fn run(args: &Args, post: Option<&mut dyn Post>) -> Result<(u8, bool)> {
    let loaded = load(&args.place)?;
    let settings = settings(args, &loaded)?;
    say::warn("desi_pipe_run", &loaded.options.idle_overrides(&loaded.production, &loaded.graph));
    if args.dry_run {
        // a reader that went away (`| head`) is no error
        let _ = std::io::stdout().write_all(dry_run::text(&loaded, &settings).as_bytes());
        return Ok((0, true));
    }
    let summary = runner::run(&loaded, &settings, post)?;
    Ok((summary.exit_code(), summary.whole))
}

/// Tasks at once, and the cores that they share.
fn share(args: &Args) -> (usize, usize) {
    let ranks = if args.nompi { 1 } else { ranks::on_this_host() };
    let cores = std::thread::available_parallelism().map_or(1, usize::from).div_ceil(ranks);
    (args.jobs.map_or(cores, NonZeroUsize::get).max(1), cores)
}

fn settings(args: &Args, loaded: &Loaded) -> Result<Settings> {
    let graph = &loaded.graph;
    let table = &graph.table;
    let step = |name: &Option<String>, default| name.as_ref().map_or(Ok(default), |name| table.step(name));
    let steps = match &args.steps[..] {
        [] => (step(&args.first, 0)?..=step(&args.last, table.steps.len() - 1)?).collect(),
        names => names.iter().map(|name| table.step(name)).collect::<Result<BTreeSet<usize>>>()?,
    };
    if steps.is_empty() {
        return Err(Error::Usage("the first step comes after the last".into()));
    }
    let exposures = graph.space.dim("expid").map(|dim| graph.space.values(dim)).unwrap_or_default();
    let limits = [
        ("night", slice::nights(&args.nights, &loaded.nights)?),
        ("expid", slice::expids(&args.expids, exposures)?),
        ("spectrograph", slice::spectrographs(&args.spectrographs)?),
    ];
    let limits: Vec<(&str, &BTreeSet<String>)> =
        limits.iter().filter(|(_, values)| !values.is_empty()).map(|(key, values)| (*key, values)).collect();
    let (jobs, cores) = share(args);
    Ok(Settings {
        steps,
        slice: Slice::new(graph, &limits)?,
        only: None,
        jobs,
        cores,
        retry: if args.retry_failed { Retry::All } else { Retry::System },
        retries: args.retries,
        lease: Duration::from_secs(args.lease),
        log: args.log.clone(),
    })
}
