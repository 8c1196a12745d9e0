//! `desi_pipe`: creates a production or brings it up to date.

use clap::Parser;
use orchestrator::create::{Request, create};
use orchestrator::load::load;
use orchestrator::machine::Machine;
use orchestrator::numbers::positive;
use orchestrator::production::{Place, Production};
use orchestrator::slurm::{self, Asked, Mode};
use orchestrator::upkeep::{self, Upkeep};
use orchestrator::{Error, Result, say, scripts, slice};
use regex::Regex;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Creates a production or brings it up to date: plans of its nights, options, job scripts.
///
/// Run it again when there are new nights: options.yaml is kept, plans and scripts are written anew.
#[derive(Parser)]
#[command(name = "desi_pipe", version)]
struct Args {
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    upkeep: Option<Upkeep>,
    /// Nights to add: regular expressions matched from the start of YYYYMMDD [default: all of the raw data]
    #[arg(long, value_delimiter = ',')]
    nights: Vec<Regex>,
    /// File whose lines are pasted into every script
    #[arg(long, value_name = "FILE")]
    env: Option<PathBuf>,
    /// Machine that the Slurm jobs are written for: perlmutter, cori, edison, one of --machines, or generic, which asks
    /// sinfo for what the partition has
    #[arg(long = "nersc_host", alias = "nersc-host", default_value = "generic", value_name = "NAME")]
    nersc_host: String,
    /// TOML file with machines of your own
    #[arg(long, value_name = "FILE")]
    machines: Option<PathBuf>,
    /// Most nodes of a Slurm job [default: the machine's]
    #[arg(
        long = "nersc_max_nodes", visible_alias = "max-nodes", aliases = ["nersc-max-nodes", "max_nodes"], value_name = "N"
    )]
    nersc_max_nodes: Option<NonZeroUsize>,
    /// Slurm jobs of several nodes: as one job, or as an array of one-node jobs that start as nodes become free
    #[arg(long = "slurm-mode", alias = "slurm_mode", value_enum, default_value = "chain")]
    slurm_mode: Mode,
    #[command(flatten)]
    asked: Asked,
    /// Launcher of the shell scripts, followed by the number of ranks; ignored if --shell_max_cores is 1
    #[arg(long = "shell_mpi_run", alias = "shell-mpi-run", default_value = "mpirun -np", value_name = "COMMAND")]
    shell_mpi_run: String,
    /// Ranks that the shell scripts start; 1: no launcher, one process that runs tasks on all cores
    #[arg(long = "shell_max_cores", alias = "shell-max-cores", default_value = "1", value_name = "N")]
    shell_max_cores: NonZeroUsize,
    /// No bootcalib: psfboot files are links to $DESIMODEL/data/specpsf/psf-BAND.fits
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    fakeboot: Option<bool>,
    /// No specex and psfcombine: psfnight files are links to psfboot
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    fakepsf: Option<bool>,
    /// Spectrographs to process, as 0,2,5-7 [default: those of the production, 0-9 if it is new]
    #[arg(long, value_delimiter = ',', value_name = "LIST")]
    spectrographs: Vec<String>,
    /// Scripts log at level DEBUG
    #[arg(long)]
    debug: bool,
    /// Factor on the wall times of jobs
    #[arg(long = "time-scale", alias = "time_scale", default_value_t = 1.0, value_name = "FACTOR", value_parser = positive)]
    time_scale: f64,
    /// Table of another pipeline [default: the built-in pipelines/desi.toml]
    #[arg(long, value_name = "FILE")]
    pipeline: Option<PathBuf>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(what) = &args.upkeep {
        return exit(load(&args.place).and_then(|loaded| upkeep::run(&loaded, what)));
    }
    match run(args) {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            complaints.iter().for_each(|complaint| say::err(format_args!("desi_pipe: {complaint}")));
            ExitCode::from(1)
        }
        Err(error) => exit(Err(error)),
    }
}

fn exit(result: Result<u8>) -> ExitCode {
    ExitCode::from(result.unwrap_or_else(|error| {
        say::err(format_args!("desi_pipe: {error}"));
        error.exit_code()
    }))
}

fn run(args: Args) -> Result<Vec<String>> {
    let production = Production::locate(&args.place)?;
    let mut machine = Machine::named(&args.nersc_host, args.machines.as_deref())?;
    if machine.ask_slurm {
        machine = slurm::asked_slurm(machine, args.asked.partition.as_deref());
    }
    let executable = std::env::current_exe().map_err(Error::io("find", "desi_pipe".as_ref()))?;
    let env = args.env.as_ref().map(|path| std::fs::read_to_string(path).map_err(Error::io("read", path)));
    let settings = scripts::Settings {
        programs: executable.parent().map(PathBuf::from).unwrap_or_default(),
        env: env.transpose()?.unwrap_or_default(),
        max_nodes: args.nersc_max_nodes.map_or(machine.max_nodes, NonZeroUsize::get),
        machine,
        time_scale: args.time_scale,
        asked: args.asked,
        mode: args.slurm_mode,
        measured: false,
        mpi_run: args.shell_mpi_run,
        max_cores: args.shell_max_cores.get(),
        debug: args.debug,
    };
    let spectrographs = slice::spectrographs(&args.spectrographs)?;
    let request = Request {
        nights: args.nights,
        spectrographs: Some(spectrographs).filter(|set| !set.is_empty()),
        fakeboot: args.fakeboot,
        fakepsf: args.fakepsf,
        pipeline: args.pipeline,
    };
    create(&production, &request, &settings)
}
